"""Writes the sink's blocks: events, uniques, rows, then what reads may see. Writing a block again changes nothing.

Each insert has a token made of the block's own, which lets ClickHouse drop a repeated insert; what it does not drop, reads
leave out by position. An insert over several months is not one atom: reads see nothing of a block before `visible` moves.
"""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from clickhouse_connect.datatypes.registry import get_from_name

from connectors.clickhouse.client import Clients
from domain.metering.rows import Number
from schemas.sink_block import Block

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
_VISIBLE_COLUMNS = ("topic", "partition", "position", "at")
_TOKENED = ("events", "uniques", "usage")
_FROM_STREAM = 1
_EXACT_COLUMNS = frozenset(("total", "least", "most", "latest"))
_INTEGER = get_from_name("Int64")
_NULLABLE_INTEGER = get_from_name("Nullable(Int64)")


class UsageWriter:
    """The sink's door to ClickHouse, with a thread and a connection of its own."""

    def __init__(self, clients: Clients, now_ms: Callable[[], int]) -> None:
        self._clients = clients
        self._now_ms = now_ms
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="clickhouse-writer")
        self._types: dict[str, list[Any]] = {}

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
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _visible(self, topic: str, partition: int) -> int | None:
        with self._clients.client() as client:
            rows = client.query(
                "SELECT max(position), count() FROM visible WHERE topic = {t:String} AND partition = {p:UInt32}",
                parameters={"t": topic, "p": partition},
            ).result_rows
        return int(rows[0][0]) if rows[0][1] else None

    def _write(self, block: Block) -> None:
        stored_ms = self._now_ms()
        if block.events.ids:
            self._insert("events", block, _EVENT_COLUMNS, _event_columns(block, stored_ms))
        if block.uniques:
            self._insert("uniques", block, _UNIQUE_COLUMNS, _unique_columns(block, stored_ms))
        if block.rows:
            self._insert("usage", block, _ROW_COLUMNS, _row_columns(block, stored_ms))
        if block.ranges:
            self._insert("meter_ranges", block, _RANGE_COLUMNS, _range_columns(block, stored_ms))
        visible: list[list[Any]] = [[block.topic], [block.partition], [block.visible], [stored_ms]]
        self._insert("visible", block, _VISIBLE_COLUMNS, visible)

    def _insert(
        self, table: str, block: Block, names: Sequence[str], columns: list[list[Any]]
    ) -> None:
        settings: dict[str, object] = {
            "async_insert": 0,
            "max_partitions_per_insert_block": 0,
            "input_format_native_allow_types_conversion": 1,
        }
        if table in _TOKENED:
            settings["insert_deduplication_token"] = f"{block.token}:{table}"
        with self._clients.client() as client:
            types = self._types.get(table)
            if types is None:
                context = client.create_insert_context(table, column_names=names)
                types = self._types[table] = list(context.column_types)
            client.insert(
                table,
                columns,
                column_names=names,
                column_types=list(map(_narrowed, names, types, columns)),
                column_oriented=True,
                settings=settings,
            )


def _event_columns(block: Block, stored_ms: int) -> list[list[Any]]:
    events = block.events
    count = len(events.ids)
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


def _row_columns(block: Block, stored_ms: int) -> list[list[Any]]:
    rows = block.rows
    found = [r.row for r in rows]
    count = len(rows)
    latest = [row.latest for row in found]
    least, least_outside = _lanes([row.least for row in found])
    most, most_outside = _lanes([row.most for row in found])
    newest, newest_outside = _lanes([None if x is None else x.value for x in latest])
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
        least,
        least_outside,
        most,
        most_outside,
        [None if x is None else x.second for x in latest],
        [None if x is None else x.position for x in latest],
        newest,
        newest_outside,
        [block.newest_ms or stored_ms] * count,
    ]


def _unique_columns(block: Block, stored_ms: int) -> list[list[Any]]:
    uniques = block.uniques
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


def _lanes(values: list[Number | None]) -> tuple[list[Number | None], list[Number | None]]:
    """The values of the exact lane and those outside it, None in the places of the others."""
    if float not in set(map(type, values)):
        return values, [None] * len(values)
    exact = [None if type(value) is float else value for value in values]
    return exact, [value if type(value) is float else None for value in values]


def _narrowed(name: str, kind: Any, column: list[Any]) -> Any:
    """The type to send `column` as: decimals that are all 64-bit integers go as such, and ClickHouse widens them.

    The client makes a Decimal of every value by its text, which takes as long as all the other columns of a row.
    """
    if name not in _EXACT_COLUMNS:
        return kind
    try:
        array("q", filter(_is_there, column))
    except (TypeError, OverflowError):
        return kind
    return _NULLABLE_INTEGER if kind.nullable else _INTEGER


def _is_there(value: object) -> bool:
    return value is not None
