"""The start of a row's window as SQL, exactly as domain/metering/windows.py has it, in any zone.

ClickHouse's own time-zone functions are not used: the windows' starts are computed here and ClickHouse looks them up.
"""

from __future__ import annotations

from collections.abc import Callable
from zoneinfo import ZoneInfo

from domain.metering.query import MeterQuery
from domain.metering.windows import WindowSize, window_end, window_start, zone

_PROBE_S = 6 * 3600


def window_expression(query: MeterQuery, bounds: Callable[[], tuple[int, int] | None]) -> str:
    """An expression over the column `second`; `bounds` tells the first and last second there are rows for."""
    size = query.window_size
    assert size is not None
    tz = zone(query.zone)
    if size is WindowSize.MINUTE:
        return "second"
    if query.zone in ("", "UTC"):
        fixed = {WindowSize.HOUR: 3600, WindowSize.DAY: 86_400}.get(size)
        if fixed is not None:
            return f"intDiv(second, {fixed}) * {fixed}"
    found = bounds()
    if found is None:
        return "second"
    first, last = found
    if size is WindowSize.HOUR:
        residues = {_residue(second, tz) for second in (*range(first, last, _PROBE_S), last)}
        if len(residues) == 1:
            residue = residues.pop()
            return f"second - (second + {residue}) % 3600"
    starts = [window_start(first, size, tz)]
    while (following := window_end(starts[-1], size, tz)) <= last:
        starts.append(following)
    if size is WindowSize.HOUR:
        starts = sorted(
            {window_start(second, size, tz) for second in range(first - 60, last + 60, 60)}
        )
    return f"roundDown(second, {starts}::Array(Int64))"


def _residue(second: int, tz: ZoneInfo) -> int:
    """How far the zone's hours are shifted against UTC's at `second`."""
    return -window_start(second, WindowSize.HOUR, tz) % 3600
