"""Statements that only read, on threads of their own, so that a slow one blocks neither the loop nor the sink."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from connectors.clickhouse.client import Clients
from connectors.clickhouse.sql import Parameters
from domain.metering.meter import Meter

T = TypeVar("T")

Rows = Sequence[Sequence[Any]]
_NO_SETTINGS: Mapping[str, int] = {}


class Asking:
    """Reads what one topic's sinks wrote for one namespace; at most `threads` statements at a time."""

    def __init__(self, clients: Clients, *, namespace: str, topic: str, threads: int) -> None:
        self._clients = clients
        self.namespace = namespace
        self.topic = topic
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="clickhouse-reader")

    async def in_thread(self, call: Callable[..., T], *arguments: Any) -> T:
        """The result of `call`, run on one of the threads."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, call, *arguments)

    def rows(
        self, sql: str, parameters: Parameters, settings: Mapping[str, int] = _NO_SETTINGS
    ) -> Rows:
        """The rows of a statement; Unavailable, also when it takes longer than the time allowed."""
        with self._clients.client() as client:
            found: Rows = client.query(
                sql, parameters=parameters.values, settings={**self._clients.bounds, **settings}
            ).result_rows
            return found

    def command(self, sql: str, parameters: Parameters, settings: Mapping[str, int]) -> None:
        """Run a statement that changes something; Unavailable."""
        with self._clients.client() as client:
            client.command(
                sql, parameters=parameters.values, settings={**self._clients.bounds, **settings}
            )

    def blocks(
        self, sql: str, parameters: Parameters, settings: Mapping[str, int] = _NO_SETTINGS
    ) -> Iterator[Rows]:
        """The rows of a statement in the blocks that ClickHouse sends; Unavailable."""
        with (
            self._clients.client() as client,
            client.query_row_block_stream(
                sql, parameters=parameters.values, settings={**self._clients.bounds, **settings}
            ) as stream,
        ):
            yield from stream

    def of_meter(self, meter: Meter, parameters: Parameters) -> str:
        """The condition that a row of usage, or of what is made of it, is this meter's."""
        return (
            f"namespace = {parameters.text(self.namespace)} AND meter = {parameters.text(meter.id)} "
            f"AND version = {int(meter.version)}"
        )

    def visible(self) -> dict[int, int]:
        """Up to which position reads may see each partition: read it first, and what it says was written before it."""
        parameters = Parameters()
        found = self.rows(
            f"SELECT partition, max(position) FROM visible WHERE topic = {parameters.text(self.topic)} GROUP BY partition",
            parameters,
        )
        return {int(partition): int(position) for partition, position in found}

    def ranges(self, meter: str, version: int) -> dict[int, tuple[int, int | None]]:
        """Positions `[start, until)` of each partition that the rows of a meter version cover; None = still."""
        parameters = Parameters()
        found = self.rows(
            "SELECT partition, from_position, until_position, closed FROM meter_ranges FINAL "
            f"WHERE namespace = {parameters.text(self.namespace)} AND meter = {parameters.text(meter)} "
            f"AND version = {parameters.number(version)} AND topic = {parameters.text(self.topic)}",
            parameters,
        )
        return {
            int(p): (int(start), int(until) if closed else None)
            for p, start, until, closed in found
        }

    def close(self) -> None:
        """Stop the threads."""
        self._threads.shutdown()


def is_seen(visible: Mapping[int, int]) -> str:
    """The condition that the event or row at `partition`, `position` may be seen."""
    return f"position < {limit_of(visible)}"


def limit_of(limits: Mapping[int, int]) -> str:
    """The limit of `partition` as an expression; 0 for a partition that has none."""
    if not limits:
        return "0"
    partitions = sorted(limits)
    return (
        f"transform(partition, {partitions}::Array(UInt32), "
        f"{[limits[p] for p in partitions]}::Array(UInt64), toUInt64(0))"
    )
