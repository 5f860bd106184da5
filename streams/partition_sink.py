"""The sink of one partition: what was folded goes to ClickHouse, in blocks.

While it keeps up it takes the folded chunks from memory. After a restart, an outage or a full buffer it reads the log
again from where ClickHouse says it is, takes each event's verdict from the seen ids and the rows from the state. Blocks
are idempotent: events by position, rows as absolute values, so a block written twice changes nothing. ClickHouse down
means lag, never a lost event, never a stuck balance.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception_type,
    stop_never,
    wait_exponential,
)

from domain.errors import Unavailable
from schemas.position import offset_of, record_start
from schemas.sink_block import Block, EventColumns
from schemas.state import Applied, SinkPlan
from streams import metrics
from streams.blocks import add_events, block_rows, block_unique, newest
from streams.decoded import Decoded
from streams.decoding import decode
from streams.folding import ChangedRows, Folded, NewUnique
from streams.partition import Partition
from streams.ports import PartitionReader, UsageWriter
from streams.read_back import reads_of, stored_changes
from streams.steps import Step, StepHook

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkOptions:
    """A block has at most `block_events_max` events; `buffer_events_max` folded events may wait in memory."""

    namespace: str
    topic: str
    block_events_max: int = 50_000
    interval_ms: int = 200
    buffer_events_max: int = 200_000
    retry_s_max: float = 5.0


class PartitionSink:
    """The sink of one owned partition."""

    def __init__(
        self,
        partition: Partition,
        writer: UsageWriter,
        reader: PartitionReader,
        *,
        owner_of: Callable[[str], int],
        options: SinkOptions,
        reached: StepHook,
    ) -> None:
        self._partition = partition
        self._writer = writer
        self._reader = reader
        self._owner_of = owner_of
        self._options = options
        self._reached = reached
        self._queue: deque[Folded] = deque()
        self._queued = 0
        self._queue_next: int | None = None
        self.visible = 0
        self._ahead = -1
        """The greatest position that a row written to ClickHouse has."""
        self._ranges_written: set[tuple[tuple[str, int], int | None]] = set()
        self._reading_again = True
        self._wake = asyncio.Event()
        self._moved = asyncio.Event()
        self.next = 0

    def take(self, folded: Folded) -> None:
        """A chunk is on disk: keep it for the next block, or leave it to be read again when the buffer is full."""
        decoded = folded.decoded
        if self._queue_next is None or (
            decoded.next <= self._queue_next and decoded.next != decoded.first
        ):
            return
        too_many = (
            self._queued + decoded.count > self._options.buffer_events_max and self._queued > 0
        )
        if decoded.first > self._queue_next or too_many:
            self._forget_queue()
        else:
            self._queue.append(folded)
            self._queued += decoded.count
            self._queue_next = max(self._queue_next, decoded.next)
        self._wake.set()

    def _forget_queue(self) -> None:
        self._queue.clear()
        self._queued = 0
        self._queue_next = None

    async def run(self) -> None:
        """Write blocks until cancelled."""
        self.next = self.visible = await until_available(
            self._where_clickhouse_is, self._options.retry_s_max
        )
        self._moved.set()
        while True:
            if self._queue_next is None:
                await self._catch_up()
            elif self._queue:
                await self._write_queued()
            else:
                self._wake.clear()
                await self._write_ranges()
                await self._wake.wait()
                await asyncio.sleep(self._options.interval_ms / 1000)

    @property
    def has_caught_up(self) -> bool:
        """All that was folded is in ClickHouse or in memory on its way there."""
        return self._queue_next is not None and not self._reading_again

    async def written(self, position: int) -> None:
        """Wait until everything before `position` is in ClickHouse."""
        while self.visible < position:
            self._moved.clear()
            await self._moved.wait()

    async def _where_clickhouse_is(self) -> int:
        visible = await self._writer.visible(self._options.topic, self._partition.partition)
        first, _ = await self._reader.bounds(self._options.topic, self._partition.partition)
        return max(visible or 0, record_start(first))

    # -- from memory

    async def _write_queued(self) -> None:
        chunks: list[Folded] = []
        events = 0
        while self._queue and (
            not chunks or events + self._queue[0].decoded.count <= self._options.block_events_max
        ):
            chunk = self._queue.popleft()
            events += chunk.decoded.count
            chunks.append(chunk)
        self._queued -= events
        columns = EventColumns()
        uniques: list[NewUnique] = []
        for chunk in chunks:
            add_events(columns, chunk.decoded, chunk.accepted_flags)
            uniques += chunk.uniques
        rows = newest([changed for chunk in chunks for changed in chunk.rows])
        await self._write(columns, rows, uniques, chunks[-1].decoded.next, chunks[-1].newest_ms)

    # -- from the log

    async def _catch_up(self) -> None:
        """Write what lies between here and what the state has, in blocks, reading the log again.

        What is folded meanwhile is kept in memory, so that a partition under load is caught up with, too.
        """
        end = self._partition.source_next
        plan = self._partition.store.sink_plan
        if plan is not None and plan.first == self.next < plan.next <= end:
            end = plan.next
        else:
            self._queue_next = end
        self._reading_again = True
        await self._read_again(end)
        self._reading_again = False

    async def _read_again(self, end: int) -> None:
        topic, number = self._options.topic, self._partition.partition
        last = offset_of(end) if end == record_start(offset_of(end)) else offset_of(end) + 1
        async for records, position in self._reader.read(topic, number, offset_of(self.next), last):
            applied = self._partition.store.applied()
            if not records:
                decoded = Decoded(self.next, min(record_start(position), end))
                await self._write_stored(decoded, applied)
                continue
            decoded = decode(
                records,
                namespace=self._options.namespace,
                partition=number,
                owner_of=self._owner_of,
                not_before=self.next,
                reads=reads_of(applied),
            )
            for part in decoded.before(end).cut(self._options.block_events_max):
                await self._write_stored(part, applied)

    async def _write_stored(self, decoded: Decoded, applied: Sequence[Applied]) -> None:
        if decoded.next <= self.next:
            return
        flags, rows, uniques = stored_changes(self._partition.store, decoded, applied)
        columns = EventColumns()
        add_events(columns, decoded, flags)
        await self._write(columns, rows, uniques, decoded.next, decoded.newest_ms)

    # -- the block

    async def _write_ranges(self) -> None:
        """Tell ClickHouse which positions the rows of a meter cover, when that is news."""
        if self._news():
            await self._write(EventColumns(), (), (), self.next, self._partition.store.newest_ms)

    def _news(self) -> list[tuple[tuple[str, int], int | None]]:
        return [
            (a.key, a.until)
            for a in self._partition.applied()
            if (a.key, a.until) not in self._ranges_written
        ]

    async def _write(
        self,
        columns: EventColumns,
        rows: Sequence[ChangedRows],
        uniques: Sequence[NewUnique],
        block_next: int,
        newest_ms: int,
    ) -> None:
        news = self._news()
        found = [row for changed in rows for row in block_rows(changed)]
        self._ahead = max([self._ahead, *[row.row.position for row in found]])
        visible = block_next if self._ahead < block_next else self.visible
        block = Block(
            namespace=self._options.namespace,
            topic=self._options.topic,
            partition=self._partition.partition,
            first=self.next,
            next=block_next,
            visible=visible,
            newest_ms=newest_ms,
            events=columns,
            rows=found,
            uniques=[block_unique(new) for new in uniques],
            ranges=[a for a in self._partition.applied() if (a.key, a.until) in news],
        )
        self._partition.store.plan_block(SinkPlan(self.next, block_next))
        self._reached(Step.BLOCK_PLANNED)
        with metrics.sink_block_seconds.time():
            await until_available(
                lambda: self._writer.write_block(block), self._options.retry_s_max
            )
        self._reached(Step.BLOCK_WRITTEN)
        self.next, self.visible = block_next, visible
        self._moved.set()
        self._ranges_written.update(news)
        metrics.observe_block(block)
        self._reached(Step.BLOCK_DONE)


async def until_available(call: Callable[[], Awaitable[T]], retry_s_max: float) -> T:
    """The result of `call`, tried for as long as the other side is down."""
    async for attempt in AsyncRetrying(
        retry=retry_if_exception_type(Unavailable),
        wait=wait_exponential(multiplier=0.1, max=retry_s_max),
        stop=stop_never,
        before_sleep=_note_retry,
    ):
        with attempt:
            return await call()
    raise AssertionError("retries never stop")


def _note_retry(retry: RetryCallState) -> None:
    metrics.sink_retries.inc()
    error = retry.outcome.exception() if retry.outcome else None
    log.warning(
        "ClickHouse is not there: trying again",
        extra={"attempt": retry.attempt_number, "error": str(error)},
    )
