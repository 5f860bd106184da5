"""Tumbling windows in a time zone. Times are Unix seconds; a window is `[start, end)`; windows tile time without gaps.

- A MINUTE is a minute of UTC, and every other window is made of whole ones: rows of usage are kept by minute.
- An HOUR begins at the zone's full hour (:30 or :45 of UTC in some zones) and has 60 minutes; only where the offset
  changes by a part of an hour (Lord Howe's half hour) the change ends one early and begins the next.
- DAY and MONTH run from local midnight to local midnight, so a day has 23 or 25 hours when the clock changes. A day
  begins after the last moment whose local date is earlier: at the jump when midnight does not exist, at the second
  midnight when the clock goes back from it into the day before, at the first when both are of the same date.

Zones come from the `tzdata` package, not from the machine, so that every process gives the same answer.
Source: metering §2.4; compared with ClickHouse's toStartOf… by tests/contract/test_windows_against_chdb.py.
"""

from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from functools import cache, lru_cache
from importlib.resources import files
from zoneinfo import ZoneInfo

from domain.errors import Refused

_HOUR_S = 3600
_DAY = timedelta(days=1)


class WindowSize(StrEnum):
    """The length of a window."""

    MINUTE = "MINUTE"
    HOUR = "HOUR"
    DAY = "DAY"
    MONTH = "MONTH"


def window_start(second: int, size: WindowSize, tz: ZoneInfo) -> int:
    """The start of the window that holds `second`."""
    minute = second - second % 60
    if size is WindowSize.MINUTE:
        return minute
    if size is WindowSize.HOUR:
        return _hour_start(minute + 59, tz)
    day = _day_of(minute, tz)
    return _first_minute(day if size is WindowSize.DAY else day.replace(day=1), tz)


def window_end(start: int, size: WindowSize, tz: ZoneInfo) -> int:
    """The end of the window that starts at `start`; the start of the next one."""
    if size is WindowSize.MINUTE:
        return start + 60
    if size is WindowSize.HOUR:
        return _hour_end(start + 59, tz)
    day = _day_of(start, tz)
    if size is WindowSize.DAY:
        return _first_minute(day + _DAY, tz)
    return _first_minute(date(day.year + day.month // 12, day.month % 12 + 1, 1), tz)


def zone(name: str) -> ZoneInfo:
    """The IANA zone `name`; "" is UTC. Refused with code `time_zone_unknown`."""
    if name and name not in _names():
        raise Refused("time_zone_unknown", f"unknown time zone: {name[:80]!r}", "windowTimeZone")
    return _zone(name or "UTC")


def utc(second: int) -> datetime:
    """Unix seconds as an aware time."""
    return datetime.fromtimestamp(second, UTC)


@cache
def _names() -> frozenset[str]:
    return frozenset(files("tzdata").joinpath("zones").read_text("ascii").split())


@cache
def _zone(name: str) -> ZoneInfo:
    with files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as file:
        return ZoneInfo.from_file(file, key=name)


def _offset(second: int, tz: ZoneInfo) -> int:
    offset = datetime.fromtimestamp(second, tz).utcoffset()
    assert offset is not None
    return offset.days * 86_400 + offset.seconds


def _hour_start(second: int, tz: ZoneInfo) -> int:
    """The start of the hour that holds `second`, the last one of a minute."""
    offset = _offset(second, tz)
    start = second - (second + offset) % _HOUR_S
    if (_offset(start, tz) - offset) % _HOUR_S:
        start = _change(start, second, tz)
    return start - start % 60


def _hour_end(second: int, tz: ZoneInfo) -> int:
    """The end of the hour whose first minute ends with `second`."""
    offset = _offset(second, tz)
    end = second + _HOUR_S - (second + offset) % _HOUR_S
    if (_offset(end - 1, tz) - offset) % _HOUR_S:
        end = _change(second, end, tz)
    return end - end % 60


def _change(before: int, after: int, tz: ZoneInfo) -> int:
    """The first second in `(before, after]` with another offset than `before`; there is one."""
    offset = _offset(before, tz)
    while after - before > 1:
        middle = (before + after) // 2
        if _offset(middle, tz) == offset:
            before = middle
        else:
            after = middle
    return after


def _day_of(minute: int, tz: ZoneInfo) -> date:
    """The day whose window holds the minute that starts at `minute`."""
    second = minute + 59
    day = datetime.fromtimestamp(second, tz).date()
    return day if _day_start(day, tz) <= second else day - _DAY


def _first_minute(day: date, tz: ZoneInfo) -> int:
    start = _day_start(day, tz)
    return start - start % 60


@lru_cache(maxsize=65_536)
def _day_start(day: date, tz: ZoneInfo) -> int:
    """The moment after the last one whose local date is before `day`."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=tz)
    first, second = int(midnight.timestamp()), int(midnight.replace(fold=1).timestamp())
    if first == second:
        return first
    if first > second:  # midnight does not exist: the clock jumps over it between the two
        return _change(second, first, tz)
    return first if datetime.fromtimestamp(second - 1, tz).date() == day else second
