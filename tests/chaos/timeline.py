"""What happened when: faults, restarts, and samples of the load and the lag."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.chaos.cluster import Cluster
from tests.chaos.load import Load

_SAMPLE_S = 0.5


@dataclass(kw_only=True)
class Happening:
    """A fault, by time.monotonic: broken from `began` on, mended between `healing` and `healed`."""

    kind: str
    said: str
    began: float
    healing: float = 0.0
    healed: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """`lag`: records straight to Kafka that were acknowledged and that ClickHouse does not have."""

    at: float
    acknowledged: int
    lag: int
    waiting: int


@dataclass
class Timeline:
    """`say` prints and remembers a line."""

    began: float = field(default_factory=time.monotonic)
    happenings: list[Happening] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    out: Callable[[str], None] = print

    def say(self, text: str) -> None:
        line = f"{time.monotonic() - self.began:7.1f} s  {text}"
        self.lines.append(line)
        self.out(line)

    async def watch(self, cluster: Cluster, load: Load) -> None:
        """Sample until cancelled. A partition between two owners keeps what was last seen of it."""
        seen: dict[int, int] = {}
        while True:
            seen |= await asyncio.to_thread(cluster.visible)
            lag = sum(max(0, end - seen.get(number, 0)) for number, end in load.ends.items())
            self.samples.append(
                Sample(
                    at=time.monotonic(),
                    acknowledged=load.acks,
                    lag=lag,
                    waiting=load.outstanding_http,
                )
            )
            await asyncio.sleep(_SAMPLE_S)
