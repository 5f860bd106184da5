"""Answers questions about meters. The rule is in docs/internals.md, "Rule of a query".

Every answer is the state at one moment: the positions in `visible` as one statement reads them. What they say was written
before they moved, so everything read afterwards is there; what is newer is left out by position. Order of reading is part
of that: `visible`, `meter_ranges`, rows, distinct values, events.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace

from connectors.clickhouse.asking import Asking
from connectors.clickhouse.client import Clients
from connectors.clickhouse.from_events import EventParts
from connectors.clickhouse.from_rows import RowParts
from connectors.clickhouse.roller import Roller
from connectors.clickhouse.sql import Parameters
from domain.metering.answer import AnswerKey, Part, combine, plan, results
from domain.metering.meter import Aggregation, Meter
from domain.metering.query import MeterQuery, ResultRow

_REREADS_MAX = 20
_REREAD_S = 0.025


class UsageReader:
    """Implements the API's port MeterUsage."""

    def __init__(self, clients: Clients, *, namespace: str, topic: str, threads: int) -> None:
        self._asking = Asking(clients, namespace=namespace, topic=topic, threads=threads)
        self._rows = RowParts(self._asking)
        self._events = EventParts(self._asking)
        self.roller = Roller(self._asking)

    async def query(self, query: MeterQuery) -> list[ResultRow]:
        """The answer's rows; Unavailable."""
        return results(query, await self._asking.in_thread(self._parts, query))

    async def subjects(self, meter: Meter, start: int | None, end: int | None) -> list[str]:
        """Distinct subjects of the events of the meter's type, by code point."""
        return await self._asking.in_thread(self._events.subjects, meter, start, end)

    async def group_values(
        self, meter: Meter, key: str, start: int | None, end: int | None
    ) -> list[str]:
        """Distinct values of a group key, sorted."""
        counting = replace(meter, aggregation=Aggregation.COUNT, value_property=None)
        query = MeterQuery(meter=counting, start=start, end=end, group_by=(key,))
        parts = await self._asking.in_thread(self._parts, query)
        return sorted({found.groups[0] for found in parts})

    async def answers(self) -> bool:
        """Whether ClickHouse answers; Unavailable."""
        return bool(
            await self._asking.in_thread(lambda: self._asking.rows("SELECT 1", Parameters()))
        )

    def close(self) -> None:
        """Stop the threads."""
        self.roller.stop()
        self._asking.close()

    def _parts(self, query: MeterQuery) -> dict[AnswerKey, Part]:
        """From rows and events; from events alone when too many rows stay under way."""
        for _ in range(_REREADS_MAX):
            visible = self._asking.visible()
            if not visible:
                return {}
            parts = self._parts_at(query, visible)
            if parts is not None:
                return parts
            time.sleep(_REREAD_S)
        return self._events.fold(query, query.start, query.end, visible)

    def _parts_at(
        self, query: MeterQuery, visible: Mapping[int, int]
    ) -> dict[AnswerKey, Part] | None:
        """The parts as of `visible`; None when too many rows are under way."""
        ranges = self._asking.ranges(query.meter.id, query.meter.version)
        split = plan(query)
        rows = self._rows.read(query, split, visible)
        if rows is None:
            return None
        events = self._events.uncovered(query, split, visible, ranges)
        if rows.ahead:
            events = combine([events, self._events.under_way(query, rows.ahead, visible, ranges)])
        if query.meter.aggregation is Aggregation.UNIQUE_COUNT:
            self._rows.add_distinct(query, split, visible, rows.parts, as_sets=bool(events))
        return combine([rows.parts, events])
