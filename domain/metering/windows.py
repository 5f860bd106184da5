"""Tumbling windows in a time zone. Times are Unix seconds; a window is `[start, end)`.

MINUTE and HOUR have a fixed length and follow the zone's offset (a half-hour zone's hours start at :30); DAY and MONTH run
from local midnight to local midnight, so that a day has 23 or 25 hours when the clock changes. Source: metering §2.4.
"""

from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from domain.errors import Refused


class WindowSize(StrEnum):
    """The length of a window."""

    MINUTE = "MINUTE"
    HOUR = "HOUR"
    DAY = "DAY"
    MONTH = "MONTH"


def zone(name: str) -> ZoneInfo:
    """The IANA zone `name`; "" is UTC. Refused with code `time_zone_unknown`."""
    try:
        return _zone(name or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise Refused(
            "time_zone_unknown", f"unknown time zone: {name!r}", "windowTimeZone"
        ) from None


@lru_cache(maxsize=1024)
def _zone(name: str) -> ZoneInfo:
    if name != name.strip() or name in ("localtime", "posixrules") or name.startswith(("/", ".")):
        raise ValueError(name)
    return ZoneInfo(name)


def window_start(second: int, size: WindowSize, tz: ZoneInfo) -> int:
    """The start of the window that holds `second`."""
    if size is WindowSize.MINUTE:
        return second - second % 60
    local = datetime.fromtimestamp(second, tz)
    if size is WindowSize.HOUR:
        offset = local.utcoffset() or timedelta()
        shifted = second + int(offset.total_seconds())
        return second - shifted % 3600
    day = local.date() if size is WindowSize.DAY else local.date().replace(day=1)
    return _midnight(day, tz)


def window_end(start: int, size: WindowSize, tz: ZoneInfo) -> int:
    """The end of the window that starts at `start`."""
    if size is WindowSize.MINUTE:
        return start + 60
    if size is WindowSize.HOUR:
        return start + 3600
    day = datetime.fromtimestamp(start, tz).date()
    if size is WindowSize.DAY:
        return _midnight(day + timedelta(days=1), tz)
    return _midnight(date(day.year + day.month // 12, day.month % 12 + 1, 1), tz)


def _midnight(day: date, tz: ZoneInfo) -> int:
    """The first moment of a local day; where the clock jumps over midnight, the moment after the jump."""
    wall = datetime(day.year, day.month, day.day, tzinfo=tz)
    moment = int(wall.timestamp())
    back = datetime.fromtimestamp(moment, tz)
    if back.replace(tzinfo=None) == wall.replace(tzinfo=None):
        return moment
    # The wall time does not exist: the transition lies between a moment of the day before and one of this day.
    before, after = moment - 7200, moment + 7200
    while after - before > 1:
        middle = (before + after) // 2
        if datetime.fromtimestamp(middle, tz).date() < day:
            before = middle
        else:
            after = middle
    return after


def utc(second: int) -> datetime:
    """Unix seconds as an aware time."""
    return datetime.fromtimestamp(second, UTC)
