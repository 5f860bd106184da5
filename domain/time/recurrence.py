"""Times that recur: occurrence n is anchor + n intervals, for every whole n, also below zero.

Every occurrence is counted from the anchor, never from the one before it: monthly from 31 January falls on 28 or 29
February and on 31 March. A period runs from one occurrence to the next, `[start, end)`.

Every search costs the same, however far away the time is. What falls outside the years 1 to 9999 is Refused with code
`time_out_of_range`.

Source: metering §5.3.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from domain.errors import Refused
from domain.time.duration import (
    Duration,
    add_clamped,
    clamped_microseconds,
    from_microseconds,
    to_microseconds,
)
from domain.time.interval import Interval

_MEAN_MONTH_US = 146_097 * 86_400_000_000 // 4_800  # 400 years have 146,097 days


@dataclass(frozen=True, slots=True, kw_only=True)
class Recurrence:
    """`interval` leads forward, else Refused with code `interval_not_positive`."""

    interval: Duration
    anchor: datetime

    def __post_init__(self) -> None:
        if not self.interval.is_positive:
            raise Refused(
                "interval_not_positive", "a recurrence needs an interval above zero", "$.interval"
            )


def next_after(recurrence: Recurrence, at: datetime, *, inclusive: bool) -> datetime:
    """The first occurrence after `at`; `inclusive`: or at it."""
    moment = to_microseconds(at)
    index = _index_at(recurrence, moment)
    found = _occurrence(recurrence, index)
    if found == moment and inclusive:
        return from_microseconds(found)
    return from_microseconds(_occurrence(recurrence, index + 1))


def prev_before(recurrence: Recurrence, at: datetime, *, inclusive: bool) -> datetime:
    """The last occurrence before `at`; `inclusive`: or at it."""
    moment = to_microseconds(at)
    index = _index_at(recurrence, moment)
    found = _occurrence(recurrence, index)
    if found == moment and not inclusive:
        found = _occurrence(recurrence, index - 1)
    return from_microseconds(found)


def period_at(recurrence: Recurrence, at: datetime) -> Interval:
    """The period that contains `at`; an occurrence begins a period."""
    index = _index_at(recurrence, to_microseconds(at))
    return Interval(
        start=add_clamped(recurrence.anchor, recurrence.interval, index),
        end=add_clamped(recurrence.anchor, recurrence.interval, index + 1),
    )


def occurrences(recurrence: Recurrence, start: datetime, end: datetime) -> Iterator[datetime]:
    """Every occurrence in `[start, end)`, in order."""
    first, last = to_microseconds(start), to_microseconds(end)
    index = _index_at(recurrence, first - 1) + 1
    while (found := _occurrence(recurrence, index)) < last:
        yield from_microseconds(found)
        index += 1


def about_how_many(recurrence: Recurrence, start: datetime, end: datetime) -> int:
    """How many occurrences `[start, end)` has, by the mean length of a month: for bounds, not for counting."""
    return (to_microseconds(end) - to_microseconds(start)) // _mean_us(recurrence.interval)


def _occurrence(recurrence: Recurrence, index: int) -> int:
    return clamped_microseconds(recurrence.anchor, recurrence.interval, index)


def _index_at(recurrence: Recurrence, moment: int) -> int:
    """Of the last occurrence that is not after `moment`.

    The guess goes by the mean length of a month. It is off by a few where the interval is short, because months and the
    mean part by less than three days each way of the cycle of 400 years; the steps that mend it are therefore few.
    """
    interval = recurrence.interval
    mean = _mean_us(interval)
    index = (moment - to_microseconds(recurrence.anchor)) // mean
    while _occurrence(recurrence, index) > moment:
        index -= 1
    while _occurrence(recurrence, index + 1) <= moment:
        index += 1
    return index


def _mean_us(interval: Duration) -> int:
    return interval.total_months * _MEAN_MONTH_US + interval.total_microseconds
