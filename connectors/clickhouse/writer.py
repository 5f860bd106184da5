"""Writes the sink's blocks: events, uniques, rows, then what reads may see. Writing a block again changes nothing.

Inserts are split by the month that partitions the table, each with a token made of the block's own, which lets
ClickHouse drop a repeated insert; what it does not drop, reads leave out by position.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from typing import Any

from connectors.clickhouse.client import Clients
from domain.metering.rows import Number
from schemas.sink_block import Block, BlockRow, BlockUnique, EventColumns

_DAY_S = 86_400
_EVENT_COLUMNS = (
    "namespace", "id", "type", "subject", "source", "time", "data", "ingested_at", "stored_at", "partition", "position", "verdict",
)  # fmt: skip
_ROW_COLUMNS = (
    "namespace", "meter", "version", "subject", "groups", "minute", "partition", "epoch", "part", "position", "count", "numeric",
    "total", "outside", "least", "least_outside", "most", "most_outside", "latest_time", "latest_position", "latest",
    "latest_outside", "updated_at",
)  # fmt: skip
_UNIQUE_COLUMNS = (
    "namespace", "meter", "version", "subject", "groups", "minute", "hash", "partition", "position", "updated_at",
)  # fmt: skip
_RANGE_COLUMNS = (
    "namespace",
    "meter",
    "version",
    "topic",
    "partition",
    "from_position",
    "until_position",
    "closed",
    "at",
)
_FROM_STREAM = 1


class UsageWriter:
    """The sink's door to ClickHouse, with a thread and a connection of its own."""

    def __init__(self, clients: Clients, now_ms: Callable[[], int]) -> None:
        self._clients = clients
        self._now_ms = now_ms
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="clickhouse-writer")
        self._types: dict[tuple[str, tuple[str, ...]], list[Any]] = {}

    async def write_block(self, block: Block) -> None:
        """Write `block`; Unavailable when ClickHouse is down."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._write, block)

    async def visible(self, topic: str, partition: int) -> int | None:
        """Up to which position the partition's events are readable."""
        return await asyncio.get_running_loop().run_in_executor(
            self._thread, self._visible, topic, partition
        )

    def close(self) -> None:
        """Stop the thread."""
        self._thread.shutdown()

    def _visible(self, topic: str, partition: int) -> int | None:
        with self._clients.client() as client:
            rows = client.query(
                "SELECT max(position), count() FROM visible WHERE topic = {t:String} AND partition = {p:UInt32}",
                parameters={"t": topic, "p": partition},
            ).result_rows
        return int(rows[0][0]) if rows[0][1] else None

    def _write(self, block: Block) -> None:
        stored_ms = self._now_ms()
        for month, indexes in _by_month(block.events.seconds):
            self._insert(
                "events", month, block, _EVENT_COLUMNS, _event_columns(block, indexes, stored_ms)
            )
        for month, found in _grouped([u.minute * 60 for u in block.uniques], block.uniques):
            self._insert(
                "uniques", month, block, _UNIQUE_COLUMNS, _unique_columns(block, found, stored_ms)
            )
        for month, rows in _grouped([r.minute * 60 for r in block.rows], block.rows):
            self._insert("usage", month, block, _ROW_COLUMNS, _row_columns(block, rows, stored_ms))
        if block.ranges:
            self._insert(
                "meter_ranges", None, block, _RANGE_COLUMNS, _range_columns(block, stored_ms)
            )
        columns: list[list[Any]] = [[block.topic], [block.partition], [block.visible], [stored_ms]]
        self._insert("visible", None, block, ("topic", "partition", "position", "at"), columns)

    def _insert(
        self,
        table: str,
        month: int | None,
        block: Block,
        names: Sequence[str],
        columns: list[list[Any]],
    ) -> None:
        settings = (
            {}
            if month is None
            else {"insert_deduplication_token": f"{block.token}:{table}:{month}"}
        )
        with self._clients.client() as client:
            types = self._types.get((table, tuple(names)))
            if types is None:
                context = client.create_insert_context(table, column_names=names)
                types = self._types[table, tuple(names)] = list(context.column_types)
            client.insert(
                table,
                columns,
                column_names=names,
                column_types=types,
                column_oriented=True,
                settings=settings,
            )


def _event_columns(block: Block, indexes: Sequence[int], stored_ms: int) -> list[list[Any]]:
    events = (
        block.events if len(indexes) == len(block.events.ids) else _chosen(block.events, indexes)
    )
    count = len(indexes)
    return [
        [block.namespace] * count,
        events.ids,
        events.types,
        events.subjects,
        events.sources,
        events.seconds,
        events.datas,
        events.ingested_ms,
        [stored_ms] * count,
        [block.partition] * count,
        events.positions,
        ["accepted" if accepted else "duplicate" for accepted in events.accepted],
    ]


def _chosen(events: EventColumns, indexes: Sequence[int]) -> EventColumns:
    columns = {name: getattr(events, name) for name in EventColumns.__slots__}
    return EventColumns(**{name: [column[i] for i in indexes] for name, column in columns.items()})


def _row_columns(block: Block, rows: Sequence[BlockRow], stored_ms: int) -> list[list[Any]]:
    found = [r.row for r in rows]
    count = len(rows)
    latest = [row.latest for row in found]
    values = [None if x is None else x.value for x in latest]
    return [
        [block.namespace] * count,
        [r.meter for r in rows],
        [r.version for r in rows],
        [r.subject for r in rows],
        [r.groups for r in rows],
        [r.minute * 60 for r in rows],
        [block.partition] * count,
        [row.epoch for row in found],
        [_FROM_STREAM] * count,
        [row.position for row in found],
        [row.count for row in found],
        [row.numeric for row in found],
        [row.total for row in found],
        [row.outside for row in found],
        [_exact(row.least) for row in found],
        [_float(row.least) for row in found],
        [_exact(row.most) for row in found],
        [_float(row.most) for row in found],
        [None if x is None else x.second for x in latest],
        [None if x is None else x.position for x in latest],
        [_exact(v) for v in values],
        [_float(v) for v in values],
        [block.newest_ms or stored_ms] * count,
    ]


def _unique_columns(
    block: Block, uniques: Sequence[BlockUnique], stored_ms: int
) -> list[list[Any]]:
    count = len(uniques)
    return [
        [block.namespace] * count,
        [u.meter for u in uniques],
        [u.version for u in uniques],
        [u.subject for u in uniques],
        [u.groups for u in uniques],
        [u.minute * 60 for u in uniques],
        [u.hash for u in uniques],
        [block.partition] * count,
        [u.position for u in uniques],
        [block.newest_ms or stored_ms] * count,
    ]


def _range_columns(block: Block, stored_ms: int) -> list[list[Any]]:
    ranges = block.ranges
    count = len(ranges)
    return [
        [block.namespace] * count,
        [a.meter.id for a in ranges],
        [a.meter.version for a in ranges],
        [block.topic] * count,
        [block.partition] * count,
        [a.start for a in ranges],
        [a.until or 0 for a in ranges],
        [int(a.until is not None) for a in ranges],
        [stored_ms] * count,
    ]


def _exact(value: Number | None) -> Number | None:
    return None if type(value) is float else value


def _float(value: Number | None) -> Number | None:
    return value if type(value) is float else None


def _month(second: int) -> int:
    """Calendar months since year 0 (civil from days, proleptic Gregorian)."""
    z = second // _DAY_S + 719_468
    era = z // 146_097
    doe = z - era * 146_097
    yoe = (doe - doe // 1460 + doe // 36_524 - doe // 146_096) // 365
    doy = doe - (365 * yoe + yoe // 4 - yoe // 100)
    mp = (5 * doy + 2) // 153
    month = mp + 3 if mp < 10 else mp - 9
    return (yoe + era * 400 + (month <= 2)) * 12 + month - 1


def _by_month(seconds: Sequence[int]) -> Iterable[tuple[int, list[int]]]:
    """Indexes by the month of their second; one pass when they are all of one month, as they mostly are."""
    if not seconds:
        return []
    if _month(min(seconds)) == _month(max(seconds)):
        return [(_month(seconds[0]), list(range(len(seconds))))]
    months = [(_month(second), i) for i, second in enumerate(seconds)]
    return [
        (month, [i for _, i in found])
        for month, found in groupby(sorted(months), key=lambda pair: pair[0])
    ]


def _grouped(seconds: Sequence[int], items: Sequence[Any]) -> Iterable[tuple[int, list[Any]]]:
    return [(month, [items[i] for i in indexes]) for month, indexes in _by_month(seconds)]
