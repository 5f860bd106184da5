"""Where a zone changes its offset."""

from datetime import datetime
from zoneinfo import ZoneInfo


def changes(tz: ZoneInfo, first: int, last: int) -> list[tuple[int, int, int]]:
    """(first second of the new offset, old offset, new offset) between two Unix seconds."""
    found = []
    step = 6 * 3600
    for second in range(first, last, step):
        before, after = _offset(second, tz), _offset(second + step, tz)
        if before != after:
            low, high = second, second + step
            while high - low > 1:
                middle = (low + high) // 2
                if _offset(middle, tz) == before:
                    low = middle
                else:
                    high = middle
            found.append((high, before, after))
    return found


def _offset(second: int, tz: ZoneInfo) -> int:
    return int(datetime.fromtimestamp(second, tz).utcoffset().total_seconds())
