"""The start of a row's window as SQL, exactly as domain/metering/windows.py has it, in any zone.

ClickHouse's own time-zone functions are not used: their rules come with the server. Where a zone's offset stays the same,
hours and days begin a whole number of hours or days apart; around a change of it their starts are listed one by one.
"""

from __future__ import annotations

from collections.abc import Callable
from zoneinfo import ZoneInfo

from connectors.clickhouse.sql import Parameters
from domain.metering.windows import WindowSize, utc, window_end, window_start, zone

_PROBE_S = 6 * 3600
_PERIODS = {WindowSize.HOUR: 3600, WindowSize.DAY: 86_400}
_ONE_WINDOW = -1

Piece = tuple[int, int]
"""(start, shift): from `start` on, windows begin where (second + shift) % period is 0; _ONE_WINDOW: one begins at `start`."""


def window_expression(
    size: WindowSize,
    zone_name: str,
    bounds: Callable[[], tuple[int, int] | None],
    parameters: Parameters,
) -> str:
    """An expression over the column `second`; `bounds` tells the first and last second there are rows for."""
    if size is WindowSize.MINUTE:
        return "second"
    period = _PERIODS.get(size)
    if period is not None and zone_name in ("", "UTC"):
        return f"second - positiveModulo(second, {period})"
    found = bounds()
    if found is None:
        return "second"
    if period is None:
        return f"roundDown(second, {parameters.numbers(_months(*found, zone(zone_name)))})"
    pieces = _pieces(*found, size, period, zone(zone_name))
    if len(pieces) == 1 and pieces[0][1] != _ONE_WINDOW:
        return f"second - positiveModulo(second + {pieces[0][1]}, {period})"
    starts = parameters.numbers([start for start, _ in pieces])
    shifts = parameters.numbers([shift for _, shift in pieces])
    start = f"roundDown(second, {starts})"
    shift = f"transform({start}, {starts}, {shifts}, toInt64({_ONE_WINDOW}))"
    return f"if({shift} < 0, {start}, second - positiveModulo(second + {shift}, {period}))"


def _months(first: int, last: int, tz: ZoneInfo) -> list[int]:
    starts = [window_start(first, WindowSize.MONTH, tz)]
    while (following := window_end(starts[-1], WindowSize.MONTH, tz)) <= last:
        starts.append(following)
    return starts


def _pieces(first: int, last: int, size: WindowSize, period: int, tz: ZoneInfo) -> list[Piece]:
    """What the windows of the seconds from `first` to `last` are made of."""
    pieces: list[Piece] = []
    at = window_start(first, size, tz)
    for start, end in _around_changes(at, last, period, tz):
        if at < start:
            pieces.append((at, _offset(at, tz) % period))
            at = window_start(start, size, tz)
        while at < end:
            pieces.append((at, _ONE_WINDOW))
            at = window_end(at, size, tz)
    if at <= last:
        pieces.append((at, _offset(at, tz) % period))
    return pieces


def _around_changes(first: int, last: int, period: int, tz: ZoneInfo) -> list[tuple[int, int]]:
    """Spans, in order and apart, outside of which no change of the offset is nearer than two periods."""
    spans: list[tuple[int, int]] = []
    probe = first - 3 * period
    offset = _offset(probe, tz)
    while probe < last + 3 * period:
        following = _offset(probe + _PROBE_S, tz)
        if following != offset or following % 60:
            start, end = probe - 2 * period, probe + _PROBE_S + 2 * period
            if spans and spans[-1][1] >= start:
                start = spans.pop()[0]
            spans.append((start, end))
        probe, offset = probe + _PROBE_S, following
    return spans


def _offset(second: int, tz: ZoneInfo) -> int:
    offset = utc(second).astimezone(tz).utcoffset()
    assert offset is not None
    return offset.days * 86_400 + offset.seconds
