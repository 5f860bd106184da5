"""Who is measured, by letter: the only list of them. What each is and may be compared with: docs/benchmarks.md."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Contestant:
    """`module` runs in a process of its own; without one it is our worker, with `sink` or not.

    `part`: how many records it reads when it is not to read all; a peer has a topic of its own with so many, at whose end
    it stops, and its totals are compared. `environment`: the peer's, see `peers/environment.py`; else ours.
    """

    name: str
    module: str | None = None
    sink: bool = False
    repeats_min: int = 1
    part: int | None = None
    peer: bool = False
    environment: str | None = None
    sums: bool = True
    """Gives the sum of tokens, and counts an event sent twice once; else it counts records."""


CONTESTANTS = {
    "a": Contestant(name="librdkafka + typed decode", module="limit", repeats_min=3),
    "b": Contestant(name="stock Faust agent, decode only", module="stock_faust", part=100_000),
    "c": Contestant(name="meterstream worker, meter"),
    "d": Contestant(name="meterstream worker, meter + sink", sink=True),
    "e": Contestant(
        name="Quix Streams, dedupe + sums",
        module="peers.quix",
        environment="quix",
        peer=True,
        part=200_000,
    ),
    "f": Contestant(
        name="Bytewax, dedupe + sums",
        module="peers.bytewax_flow",
        environment="bytewax",
        peer=True,
        part=400_000,
    ),
    "g": Contestant(
        name="stock Faust, count in a RocksDB table",
        module="peers.faust_table",
        peer=True,
        part=80_000,
        sums=False,
    ),
}
