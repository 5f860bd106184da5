"""Which days of a meter are added up, and may be read so: those that nothing has touched since, as one moment sees them.

A roll holds all rows of its day below `positions`. The day's rows are the roll's as long as no row of it has a position at
or above them; and they are what may be seen as long as none has a position that may not. What has touched the day last is
kept beside the rows, in the same parts, so it is never behind them. Source: docs/decisions/0140-days-are-added-up.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from connectors.clickhouse.asking import Asking
from connectors.clickhouse.sql import Parameters, between_days
from domain.metering.answer import Plan
from domain.metering.query import MeterQuery
from domain.metering.windows import WindowSize, window_start, zone

DAY_S = 86_400
_DAYS_MAX = 2_000
_EPOCH = date(1970, 1, 1)


class DayRolls:
    """Finds the days of a question that need not be read by the minute."""

    def __init__(self, asking: Asking) -> None:
        self._asking = asking

    def usable(self, query: MeterQuery, split: Plan, visible: Mapping[int, int]) -> dict[int, int]:
        """Days since 1970 with the roll to read; the newest 2,000 at most. `visible` was read before."""
        start = None if split.first_minute is None else -(-split.first_minute * 60 // DAY_S)
        end = None if split.end_minute is None else split.end_minute * 60 // DAY_S
        if query.subjects is not None or not _may_span_days(query):
            return {}
        if start is not None and end is not None and start >= end:
            return {}
        rolls = self._rolls(query, start, end)
        if not rolls:
            return {}
        touched = self._touched(query, min(rolls), max(rolls))
        found = {}
        for day in sorted(rolls, reverse=True)[:_DAYS_MAX]:
            roll, positions = rolls[day]
            stands = all(
                newest < min(positions.get(partition, 0), visible.get(partition, 0))
                for partition, newest in touched.get(day, {}).items()
            )
            inside = (start is None or start <= day) and (end is None or day < end)
            if inside and stands and touched.get(day) and _in_one_window(day, query):
                found[day] = roll
        return found

    def _rolls(
        self, query: MeterQuery, start: int | None, end: int | None
    ) -> dict[int, tuple[int, dict[int, int]]]:
        parameters = Parameters()
        rows = self._asking.rows(
            "SELECT toInt32(day), roll, partitions, positions FROM day_rolls FINAL "
            f"WHERE {self._asking.of_meter(query.meter, parameters)} AND topic = {parameters.text(self._asking.topic)} "
            f"AND {between_days('day', _second(start), _second(end, -1))}",
            parameters,
        )
        return {
            int(day): (int(roll), dict(zip(map(int, partitions), map(int, positions), strict=True)))
            for day, roll, partitions, positions in rows
        }

    def _touched(self, query: MeterQuery, first: int, last: int) -> dict[int, dict[int, int]]:
        """The newest position of a row of each day and partition; read from the projection of that name."""
        parameters = Parameters()
        rows = self._asking.rows(
            "SELECT toInt32(toDate32(minute)), partition, max(position) FROM usage "
            f"WHERE {self._asking.of_meter(query.meter, parameters)} "
            f"AND {between_days('toDate32(minute)', first * DAY_S, last * DAY_S)} GROUP BY toDate32(minute), partition",
            parameters,
        )
        found: dict[int, dict[int, int]] = {}
        for day, partition, newest in rows:
            found.setdefault(int(day), {})[int(partition)] = int(newest)
        return found


def _may_span_days(query: MeterQuery) -> bool:
    return query.window_size not in (WindowSize.MINUTE, WindowSize.HOUR)


def _in_one_window(day: int, query: MeterQuery) -> bool:
    """Whether the UTC day lies in one window of the question's own zone."""
    if query.window_size is None:
        return True
    tz = zone(query.zone)
    first = window_start(day * DAY_S, query.window_size, tz)
    return first == window_start((day + 1) * DAY_S - 60, query.window_size, tz)


def _second(day: int | None, more: int = 0) -> int | None:
    return None if day is None else (day + more) * DAY_S
