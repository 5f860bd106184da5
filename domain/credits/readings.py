"""Readings of a meter in the order of time, to be asked for what a span of time used."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Protocol

from domain.credits.quantity import ZERO
from domain.credits.usage import Added, Fresh, Last, PhaseUsage, Reading
from domain.metering.meter import Aggregation


class UsageBetween(Protocol):
    """What was used in `[start, end)`. The engine asks for spans that follow each other."""

    def __call__(self, start: datetime, end: datetime) -> PhaseUsage:
        """The span's usage; of UNIQUE_COUNT all its values, seen before or not."""
        ...


class Readings:
    """All readings in memory, kept by column: a million take about a second to build and 0.1 s to add up."""

    __slots__ = ("_aggregation", "_at", "_values")

    def __init__(self, aggregation: Aggregation, readings: Iterable[Reading]) -> None:
        """Readings of one instant keep their order."""
        ordered = sorted(readings, key=lambda reading: reading.at)
        self._aggregation = aggregation
        self._at: Sequence[datetime] = [reading.at for reading in ordered]
        self._values: Sequence[Decimal | str] = [reading.value for reading in ordered]

    def __call__(self, start: datetime, end: datetime) -> PhaseUsage:
        """What was used in `[start, end)`."""
        first = bisect_left(self._at, start)
        last = bisect_left(self._at, end, first)
        values = self._values[first:last]
        if self._aggregation is Aggregation.UNIQUE_COUNT:
            return Fresh(frozenset(values))  # type: ignore[arg-type]  # texts: `Reading`
        if self._aggregation is Aggregation.LATEST:
            return Last(values[-1], self._at[last - 1]) if values else Last()  # type: ignore[arg-type]
        return Added(sum(values, ZERO))  # type: ignore[arg-type]
