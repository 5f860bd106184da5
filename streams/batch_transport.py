"""Faust's aiokafka transport with one message per chunk of a partition instead of one per record.

Faust pays 60-140 µs of control flow for every message, so the message becomes a chunk: the records that one fetch brought
for one partition, cut at a bound. The partition's state, not the group's commit, says where reading goes on.
Everything private that is used here is pinned by tests/contract/test_faust_private_names.py.
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any, cast

from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from faust.types.tuples import ConsumerMessage

from schemas.position import offset_of
from streams import metrics, parsed_records
from streams.partition import Chunk
from streams.whole_logs import WholeLogs
from tables.store import InvariantBroken

if TYPE_CHECKING:
    from streams.partitions import Partitions

log = logging.getLogger(__name__)


class Consumer(driver.Consumer):
    """A consumer whose messages are chunks on the topics that `partitions` owns, and ordinary elsewhere."""

    chunk_records_max = 20_000
    chunk_bytes_max = 8 << 20

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._covered: dict[TP, int] = {}
        """Up to which offset chunks were handed out without a hole since the last seek; not there while that is unknown."""
        self._logs = WholeLogs()

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    @property
    def partitions(self) -> Partitions:
        """The partitions of the app that this consumer reads for."""
        return cast("Partitions", self.app.partitions)

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, ConsumerMessage]]:  # noqa: ASYNC109 - Faust names it
        """Yield chunks, round robin over the partitions that one fetch brought records for."""
        await self.partitions.pace()
        records, active = await self._wait_next_records(timeout)
        generation = self.app.consumer_generation_id
        if records is None or self.should_stop:
            return
        if not self.flow_active:
            log.info("records fetched while the flow was stopped: seeking back")
            await self.perform_seek()
            return
        self._logs.note_fetch(self._thread._ensure_consumer(), self._covered, records)
        starts: dict[TP, int] = {}
        sources = []
        for tp, found in records.items():
            start = self._covered.pop(tp, found[0].offset) if found else 0
            if found and (active is None or tp in active or tp in self._buffered_partitions):
                self._note_lag(tp)
                starts[tp] = start
                sources.append((tp, self._chunks(tp, found)))
        for tp, (chunk, size) in _round_robin(sources):
            if not self.flow_active or self.app.consumer_generation_id != generation:
                return
            room = self.partitions.wait_for_room(size)
            await self.wait_first(room, self.suspend_flow.wait())
            start, starts[tp] = starts[tp], chunk[-1].offset + 1
            yield tp, _message(tp, Chunk(start, chunk), size, generation)
        for tp in starts:
            self._covered[tp] = records[tp][-1].offset + 1

    def read_whole_at(self, tp: TP, offset: int) -> int | None:
        """When (Unix milliseconds) the log of `tp` was known to hold nothing from `offset` on; None while it may."""
        if tp not in self.assignment():
            return None
        return self._logs.whole_at(
            self._thread._ensure_consumer(),
            tp,
            counted=offset,
            handed_out=self._covered.get(tp),
            now_ms=int(time.time() * 1000),
        )

    def _note_lag(self, tp: TP) -> None:
        end, in_state = self.highwater(tp), self.partitions.source_next(tp)
        if end is not None and in_state is not None:
            lag = metrics.partition_lag.labels(str(tp.partition))
            lag.set(max(0, end - offset_of(in_state)))

    def _chunks(self, tp: TP, records: list[Any]) -> Iterator[tuple[list[Any], int]]:
        """Chunks with the bytes of their values."""
        records = self.partitions.unread(tp, records)
        whole = sum([len(record.value or b"") for record in records])
        if records and len(records) <= self.chunk_records_max and whole <= self.chunk_bytes_max:
            yield records, whole
            return
        chunk: list[Any] = []
        size = 0
        for record in records:
            length = len(record.value or b"")
            if chunk and (
                len(chunk) >= self.chunk_records_max or size + length > self.chunk_bytes_max
            ):
                yield chunk, size
                chunk, size = [], 0
            chunk.append(record)
            size += length
        if chunk:
            yield chunk, size

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """A chunk is acknowledged as a whole: gaps need no book-keeping."""

    def _new_offset(self, tp: TP) -> int | None:
        """The offset to commit: chunks are acknowledged in order, so the greatest one acknowledged is safe."""
        acked = self._acked[tp]
        if not acked:
            return None
        in_state = self.partitions.source_next(tp)
        if in_state is None:
            return None
        newest = cast(int, max(acked))
        if newest >= offset_of(in_state):
            raise InvariantBroken(f"{tp}: offset {newest} acknowledged, but it is not in the state")
        self._acked_index[tp].difference_update(acked)
        acked.clear()
        return newest + 1

    async def perform_seek(self) -> None:
        """Seek to where each partition's state says, whatever the group committed."""
        await super().perform_seek()
        self._covered.clear()
        self._logs.forget()
        for tp, source_next in self.partitions.next_positions().items():
            if tp in self.assignment():
                offset = offset_of(source_next)
                await self._seek(tp, offset)
                self._covered[tp] = offset
                self._read_offset[tp] = offset or None
                self._committed_offset[tp] = None

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Finish what is under way and commit it before Faust forgets the acknowledgements."""
        await self.partitions.drain()
        await self.commit()
        await super().on_partitions_revoked(revoked)


_Sized = tuple[list[Any], int]


def _round_robin(sources: list[tuple[TP, Iterator[_Sized]]]) -> Iterator[tuple[TP, _Sized]]:
    while sources:
        left = []
        for tp, chunks in sources:
            chunk = next(chunks, None)
            if chunk is not None:
                yield tp, chunk
                left.append((tp, chunks))
        sources = left


def _message(tp: TP, chunk: Chunk, size: int, generation: int) -> ConsumerMessage:
    """One Faust message for a chunk: its offset is the last record's, its value the chunk, of `size` bytes."""
    last: Any = chunk.records[-1]
    return ConsumerMessage(
        tp.topic,
        tp.partition,
        last.offset,
        last.timestamp / 1000.0,
        last.timestamp_type,
        [],
        None,
        chunk,
        None,
        0,
        size,
        tp,
        generation_id=generation,
    )


class ConsumerThread(parsed_records.ConsumerThread):
    """A static member that leaves: killed and started again it keeps its partitions, stopped it gives them up at once."""

    async def on_thread_stop(self) -> None:
        """aiokafka leaves a group only when it is no static member."""
        if self._consumer is not None:
            self._consumer._coordinator._group_instance_id = None
        await super().on_thread_stop()


class Transport(driver.Transport):
    """Registered as `kafkabatch://` (entry point `faust.transports`)."""

    Consumer = Consumer
    driver_version = f"batch of {driver.Transport.driver_version}"
