"""Half-open intervals of time, and the grains that times are cut to.

Times are aware datetimes. Credits have minute resolution, billing periods have second resolution.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from domain.errors import Refused

_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """`[start, end)`; `end` None = open. Equal ends are a point in time: an empty interval that contains nothing.

    An end before the start is Refused with code `interval_ends_before_it_starts`.
    """

    start: datetime
    end: datetime | None

    def __post_init__(self) -> None:
        if self.end is not None and self.end < self.start:
            raise Refused(
                "interval_ends_before_it_starts",
                f"ends at {self.end.isoformat()}, before it starts at {self.start.isoformat()}",
            )

    def __contains__(self, at: datetime) -> bool:
        return self.contains(at)

    @property
    def is_empty(self) -> bool:
        """Whether no moment lies in it."""
        return self.start == self.end

    @property
    def length(self) -> timedelta | None:
        """None when it is open."""
        return None if self.end is None else self.end - self.start

    def contains(self, at: datetime) -> bool:
        """Whether `start <= at < end`."""
        return self.start <= at and (self.end is None or at < self.end)

    def intersection(self, other: "Interval") -> "Interval | None":
        """The moments in both; None when there are none, so never an empty interval."""
        start, end = max(self.start, other.start), earlier(self.end, other.end)
        return None if end is not None and end <= start else Interval(start=start, end=end)


def earlier(one: datetime | None, other: datetime | None) -> datetime | None:
    """The earlier of two ends; None is open, later than all."""
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)


def truncate_minute(at: datetime) -> datetime:
    """The start of the minute that `at` lies in."""
    return at.replace(second=0, microsecond=0)


def ceil_minute(at: datetime) -> datetime:
    """The first full minute that is not before `at`. Refused with code `time_out_of_range` past the year 9999."""
    start = truncate_minute(at)
    if start == at:
        return at
    try:
        return start + _MINUTE
    except OverflowError:
        raise out_of_range() from None


def truncate_second(at: datetime) -> datetime:
    """The start of the second that `at` lies in."""
    return at.replace(microsecond=0)


def out_of_range() -> Refused:
    """What is raised where a result lies outside the years 1 to 9999."""
    return Refused("time_out_of_range", "the result lies outside the years 1 to 9999")
