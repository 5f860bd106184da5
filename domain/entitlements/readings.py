"""Rows of usage as readings of a balance.

A row is the usage of a minute and stands at its start, LATEST's at the second of its value. Cut points are whole minutes,
so no row lies on both sides of one. Source: metering §6.7, §6.8.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import accumulate

from domain.credits.quantity import ZERO
from domain.credits.readings import Readings, UsageBetween
from domain.credits.usage import Added, Last, Reading
from domain.metering.meter import Aggregation
from domain.metering.rows import EXACT
from domain.metering.series import SeriesRow, nearest, quantity

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def readings(rows: Iterable[SeriesRow], aggregation: Aggregation) -> UsageBetween:
    """To be asked for what any span of whole minutes used, in whatever order the rows come.

    An answer costs a search; of UNIQUE_COUNT it costs the span's values.
    """
    if aggregation is Aggregation.UNIQUE_COUNT:
        return Readings(aggregation, _values(rows))
    if aggregation is Aggregation.LATEST:
        return _Latest(rows)
    return _Sums(rows, aggregation)


def minute_at(minute: int) -> datetime:
    """The start of a minute that is counted from 1970."""
    return _EPOCH + timedelta(minutes=minute)


def _values(rows: Iterable[SeriesRow]) -> Iterator[Reading]:
    """Values by their hashes: only whether they were seen before matters."""
    for r in rows:
        at = minute_at(r.minute)
        for value in r.values:
            yield Reading(at, value.hex())


class _Sums:
    """SUM and COUNT, as sums up to each minute: a history asks for many spans of the same rows."""

    __slots__ = ("_minutes", "_totals")

    def __init__(self, rows: Iterable[SeriesRow], aggregation: Aggregation) -> None:
        by_minute: dict[int, Decimal] = {}
        for r in rows:
            more = quantity(r.row, aggregation)
            by_minute[r.minute] = EXACT.add(by_minute.get(r.minute, ZERO), more)
        self._minutes = sorted(by_minute)
        used = [by_minute[minute] for minute in self._minutes]
        self._totals = list(accumulate(used, EXACT.add, initial=ZERO))

    def __call__(self, start: datetime, end: datetime) -> Added:
        """What was used in `[start, end)`."""
        first = bisect_left(self._minutes, start, key=minute_at)
        last = bisect_left(self._minutes, end, first, key=minute_at)
        return Added(EXACT.subtract(self._totals[last], self._totals[first]))


class _Latest:
    """Of one second the value of the later position counts, of two partitions' in one position the greater (`fold_latest`)."""

    __slots__ = ("_at", "_values")

    def __init__(self, rows: Iterable[SeriesRow]) -> None:
        found = sorted(latest for r in rows if (latest := r.row.latest) is not None)
        self._at = [_EPOCH + timedelta(seconds=latest.second) for latest in found]
        self._values = [nearest(latest.value) for latest in found]

    def __call__(self, start: datetime, end: datetime) -> Last:
        """The last value of `[start, end)`."""
        last = bisect_left(self._at, end) - 1
        if last < 0 or self._at[last] < start:
            return Last()
        return Last(self._values[last], self._at[last])
