"""Stored events behind rows of usage: who sent what when, and whether it counted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal

import msgspec

from connectors.clickhouse.asking import Asking, is_seen
from connectors.clickhouse.client import Clients
from connectors.clickhouse.series_question import SeriesQuestion, series_question
from connectors.clickhouse.sql import Parameters, between, is_one_of
from domain.metering.filters import TextFilter, text_matches
from domain.metering.fold import groupings
from domain.metering.jsonpath import MISSING
from domain.metering.meter import Aggregation, Meter
from domain.metering.numbers import json_text, read_number
from domain.metering.usage_events import EventPlace, UsageEvent

_SETTINGS = {
    "optimize_move_to_prewhere_if_final": 1,
    "do_not_merge_across_partitions_select_final": 1,
}
_decode_data = msgspec.json.Decoder(float_hook=Decimal).decode


class ClickHouseUsageEvents:
    """The port UsageEvents, for one topic and namespace."""

    def __init__(self, clients: Clients, *, namespace: str, topic: str, threads: int) -> None:
        self._asking = Asking(clients, namespace=namespace, topic=topic, threads=threads)

    async def events(
        self,
        meter: Meter,
        subjects: Sequence[str],
        start: int,
        end: int,
        *,
        limit: int,
        after: EventPlace | None = None,
        group_filters: Sequence[tuple[str, TextFilter]] = (),
    ) -> list[UsageEvent]:
        """The first `limit` visible events of the meter's type in seconds `[start, end)` after a place, duplicates too.

        What a filter leaves out is left out. Unavailable.
        """
        asked = series_question(meter, subjects, start // 60, -(-end // 60), group_filters)
        if not asked.subjects or limit <= 0:
            return []
        return await self._asking.in_thread(self._read, asked, start, end, limit, after)

    def close(self) -> None:
        """Stop the threads."""
        self._asking.close()

    def _read(
        self, asked: SeriesQuestion, start: int, end: int, limit: int, after: EventPlace | None
    ) -> list[UsageEvent]:
        """Pages of ClickHouse until enough pass the filters."""
        found: list[UsageEvent] = []
        while len(found) < limit:
            page, last = self._page(asked, start, end, limit, after)
            found += page
            if last is None:
                break
            after = last
        return found[:limit]

    def _page(
        self, asked: SeriesQuestion, start: int, end: int, limit: int, after: EventPlace | None
    ) -> tuple[list[UsageEvent], EventPlace | None]:
        """The events of one page that pass, and the place of its last when there may be more."""
        parameters = Parameters()
        where = [
            f"namespace = {parameters.text(self._asking.namespace)}",
            f"type = {parameters.text(asked.meter.event_type)}",
            is_one_of("subject", sorted(set(asked.subjects)), parameters),
            between("time", start if after is None else max(start, after.second), end),
            is_seen(self._asking.visible()),
        ]
        if after is not None:
            where.append(
                "(toUnixTimestamp64Second(time), partition, position) > "
                f"({int(after.second)}, {int(after.partition)}, {int(after.position)})"
            )
        sql = (
            "SELECT toUnixTimestamp64Second(time), partition, position, id, source, subject, "
            "toUnixTimestamp64Milli(ingested_at), verdict = 'accepted', data FROM events FINAL "
            f"WHERE {' AND '.join(where)} ORDER BY time, partition, position LIMIT {int(limit)}"
        )
        rows = self._asking.rows(sql, parameters, _SETTINGS)
        last = EventPlace(*map(int, rows[-1][:3])) if len(rows) == limit else None
        return list(_events(asked, rows)), last


def _events(asked: SeriesQuestion, rows: Sequence[Sequence[object]]) -> Iterator[UsageEvent]:
    ((grouping,),) = groupings([asked.meter]).values()
    (measure,) = grouping.measures
    keys = sorted(asked.meter.group_by)
    tests = [(keys.index(key), test) for key, test in asked.filters]
    for second, partition, position, id_, source, subject, arrived, counts, data in rows:
        read = _decode_data(data) if data else None  # type: ignore[arg-type]  # a column of text
        groups = tuple(json_text(find(read)) for find in grouping.find_groups)
        if not all(text_matches(test, groups[i]) for i, test in tests):
            continue
        value = MISSING if measure.find_value is None else measure.find_value(read)
        adds_up = asked.meter.aggregation is Aggregation.COUNT or read_number(value) is not None
        yield UsageEvent(
            place=EventPlace(int(second), int(partition), int(position)),  # type: ignore[call-overload]
            id=str(id_),
            source=str(source),
            subject=str(subject),
            arrived_ms=int(arrived),  # type: ignore[call-overload]
            counts=bool(counts),
            groups=groups,
            value=None if value is MISSING else json_text(value),
            is_number=adds_up,
        )
