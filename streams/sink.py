"""The sinks of the partitions that a worker owns (`streams/partition_sink.py`)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from streams.folding import Folded
from streams.partition import Partition
from streams.partition_sink import PartitionSink, SinkOptions, until_available
from streams.ports import PartitionReader, UsageWriter
from streams.steps import StepHook

log = logging.getLogger(__name__)

T = TypeVar("T")


class Sink:
    """The sinks of the owned partitions."""

    def __init__(
        self,
        writer: UsageWriter,
        reader: PartitionReader,
        *,
        owner_of: Callable[[str], int],
        options: SinkOptions,
        on_failure: Callable[[BaseException], None],
        reached: StepHook,
    ) -> None:
        self.tables_made = asyncio.Event()
        self._writer = writer
        self._reader = reader
        self._owner_of = owner_of
        self._options = options
        self._on_failure = on_failure
        self._reached = reached
        self._sinks: dict[int, PartitionSink] = {}
        self._tasks: list[asyncio.Task[None]] = []

    def take(self, number: int, folded: Folded) -> None:
        """A chunk of partition `number` is on disk."""
        sink = self._sinks.get(number)
        if sink is not None:
            sink.take(folded)

    async def own(self, partitions: Sequence[Partition]) -> None:
        """Start a sink for each partition."""
        for owned in partitions:
            sink = PartitionSink(
                owned,
                self._writer,
                self._reader,
                owner_of=self._owner_of,
                options=self._options,
                reached=self._reached,
            )
            self._sinks[owned.partition] = sink
            self._tasks.append(asyncio.create_task(self._run(sink), name=f"sink-{owned.partition}"))

    async def give_up(self) -> None:
        """Stop every sink; a block under way is finished or repeated by the next owner."""
        tasks, self._tasks = self._tasks, []
        self._sinks.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def stop(self) -> None:
        """Stop for good."""
        await self.give_up()
        self._writer.close()

    def visible_positions(self) -> dict[int, int]:
        """Up to which position reads see each partition."""
        return {number: sink.visible for number, sink in self._sinks.items()}

    def has_caught_up(self, number: int) -> bool:
        """Whether everything folded of partition `number` is in ClickHouse or in memory on its way there."""
        sink = self._sinks.get(number)
        return sink is not None and sink.has_caught_up

    async def written(self, number: int, position: int) -> None:
        """Wait until everything of partition `number` before `position` is in ClickHouse."""
        await self._sinks[number].written(position)

    async def when_available(self, call: Callable[[], Awaitable[T]]) -> T:
        """The result of `call`, tried until ClickHouse is there."""
        return await until_available(call, self._options.retry_s_max)

    async def _run(self, sink: PartitionSink) -> None:
        try:
            await self.tables_made.wait()
            await sink.run()
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            log.exception("the sink failed")
            self._on_failure(error)
            raise
