"""All that is measured of balances, and the table."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich.console import Console
from rich.table import Table

from tests.benchmarks.balances.folding import ratio
from tests.benchmarks.balances.measuring import Measured, latency, reads
from tests.benchmarks.balances.opening import opening
from tests.benchmarks.table import machine

PARTS: dict[str, Callable[[], list[Measured]]] = {
    "latency": latency,
    "reads": reads,
    "opening": opening,
    "folding": ratio,
}


def measure(parts: Sequence[str] = tuple(PARTS)) -> list[Measured]:
    """One after the other."""
    return [one for part in parts for one in PARTS[part]()]


def show(console: Console, found: Sequence[Measured]) -> None:
    """The table."""
    table = Table(title="Balances", title_justify="left")
    for name in ("what", "to reach", "measured", ""):
        table.add_column(name)
    for one in found:
        reached = {None: "", True: "reached", False: "not reached"}[one.met]
        table.add_row(one.what, one.target, one.measured, reached)
    console.print(table)
    console.print(machine(), soft_wrap=True)
