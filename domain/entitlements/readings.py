"""Rows of usage as readings of a balance.

A row is the usage of a minute and stands at its start, LATEST's at the second of its value. Cut points are whole minutes,
so no row lies on both sides of one. Source: metering §6.7, §6.8.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import starmap

from domain.credits.readings import Readings
from domain.credits.usage import Reading
from domain.metering.meter import Aggregation
from domain.metering.series import SeriesRow, nearest, quantity

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def readings(rows: Iterable[SeriesRow], aggregation: Aggregation) -> Readings:
    """To be asked for what any span of whole minutes used, in whatever order the rows come."""
    if aggregation is Aggregation.UNIQUE_COUNT:
        return Readings(aggregation, _values(rows))
    if aggregation is Aggregation.LATEST:
        return Readings(aggregation, _latest(rows))
    return Readings(
        aggregation, (Reading(minute_at(r.minute), quantity(r.row, aggregation)) for r in rows)
    )


def minute_at(minute: int) -> datetime:
    """The start of a minute that is counted from 1970."""
    return _EPOCH + timedelta(minutes=minute)


def _values(rows: Iterable[SeriesRow]) -> Iterator[Reading]:
    """Values by their hashes: only whether they were seen before matters."""
    for r in rows:
        at = minute_at(r.minute)
        for value in r.values:
            yield Reading(at, value.hex())


def _latest(rows: Iterable[SeriesRow]) -> Iterator[Reading]:
    """Of one second the value of the later position counts, of two partitions' in one position the greater (`fold_latest`)."""
    found = sorted(latest for r in rows if (latest := r.row.latest) is not None)
    return starmap(
        Reading, ((_EPOCH + timedelta(seconds=x.second), nearest(x.value)) for x in found)
    )
