"""The windows of a time zone as intervals, contiguous from one time to another.

Which moments a window has, also where the clock changes, is said once, in domain/metering/windows.py.

Source: metering §5.8 (windowed history).
"""

from collections.abc import Iterator
from datetime import datetime
from zoneinfo import ZoneInfo

from domain.metering.windows import WindowSize, utc, window_end, window_start
from domain.time.interval import Interval


def windows_between(
    start: datetime, end: datetime, size: WindowSize, tz: ZoneInfo
) -> Iterator[Interval]:
    """Every window that shares a moment with `[start, end)`, in order, none cut."""
    at = window_start(int(start.timestamp()), size, tz)
    while utc(at) < end and start < end:
        after = window_end(at, size, tz)
        yield Interval(start=utc(at), end=utc(after))
        at = after
