"""Faust's aiokafka transport with one message per chunk of a partition instead of one per record.

Faust pays 60-140 µs of control flow for every message, so the message becomes a chunk: the records that one fetch brought
for one partition, cut at a bound. The partition's state, not the group's commit, says where reading goes on.
Everything private that is used here is pinned by tests/contract/test_faust_private_names.py.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any, cast

from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from faust.types.tuples import ConsumerMessage

from schemas.position import offset_of

if TYPE_CHECKING:
    from streams.partitions import Partitions

log = logging.getLogger(__name__)


class Consumer(driver.Consumer):
    """A consumer whose messages are chunks on the topics that `partitions` owns, and ordinary elsewhere."""

    chunk_records_max = 20_000
    chunk_bytes_max = 8 << 20

    @property
    def partitions(self) -> Partitions:
        """The partitions of the app that this consumer reads for."""
        return cast("Partitions", self.app.partitions)

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, ConsumerMessage]]:  # noqa: ASYNC109 - Faust names it
        """Yield chunks, round robin over the partitions that one fetch brought records for."""
        records, active = await self._wait_next_records(timeout)
        generation = self.app.consumer_generation_id
        if records is None or self.should_stop:
            return
        if not self.flow_active:
            log.info("records fetched while the flow was stopped: seeking back")
            await self.perform_seek()
            return
        for tp, chunk in _round_robin(
            [(tp, self._chunks(tp, found)) for tp, found in records.items()]
        ):
            if not self.flow_active or self.app.consumer_generation_id != generation:
                return
            if active is None or tp in active or tp in self._buffered_partitions:
                room = self.partitions.wait_for_room(
                    sum(len(record.value or b"") for record in chunk)
                )
                await self.wait_first(room, self.suspend_flow.wait())
                yield tp, _message(tp, chunk, generation)

    def _chunks(self, tp: TP, records: list[Any]) -> Iterator[list[Any]]:
        records = self.partitions.unread(tp, records)
        chunk: list[Any] = []
        size = 0
        for record in records:
            length = len(record.value or b"")
            if chunk and (
                len(chunk) >= self.chunk_records_max or size + length > self.chunk_bytes_max
            ):
                yield chunk
                chunk, size = [], 0
            chunk.append(record)
            size += length
        if chunk:
            yield chunk

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """A chunk is acknowledged as a whole: gaps need no book-keeping."""

    def _new_offset(self, tp: TP) -> int | None:
        """The offset to commit: chunks are acknowledged in order, so the greatest one acknowledged is safe."""
        acked = self._acked[tp]
        if not acked:
            return None
        newest = cast(int, max(acked))
        self._acked_index[tp].difference_update(acked)
        acked.clear()
        return newest + 1

    async def perform_seek(self) -> None:
        """Seek to where each partition's state says, whatever the group committed."""
        await super().perform_seek()
        for tp, source_next in self.partitions.next_positions().items():
            if tp in self.assignment():
                offset = offset_of(source_next)
                await self._seek(tp, offset)
                self._read_offset[tp] = offset or None
                self._committed_offset[tp] = None

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Finish what is under way and commit it before Faust forgets the acknowledgements."""
        await self.partitions.drain()
        await self.commit()
        await super().on_partitions_revoked(revoked)


def _round_robin(sources: list[tuple[TP, Iterator[list[Any]]]]) -> Iterator[tuple[TP, list[Any]]]:
    while sources:
        left = []
        for tp, chunks in sources:
            chunk = next(chunks, None)
            if chunk is not None:
                yield tp, chunk
                left.append((tp, chunks))
        sources = left


def _message(tp: TP, records: list[Any], generation: int) -> ConsumerMessage:
    """One Faust message for a chunk: its offset is the last record's, its value the list of records."""
    last = records[-1]
    return ConsumerMessage(
        last.topic,
        last.partition,
        last.offset,
        last.timestamp / 1000.0,
        last.timestamp_type,
        [],
        None,
        records,
        None,
        0,
        0,
        tp,
        generation_id=generation,
    )


class Transport(driver.Transport):
    """Registered as `kafkabatch://` (entry point `faust.transports`)."""

    Consumer = Consumer
    driver_version = f"batch of {driver.Transport.driver_version}"
