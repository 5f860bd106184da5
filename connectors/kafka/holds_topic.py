"""The holds topic: one writer a partition at a time, who learns where its batch stands; and everybody who follows it.

A batch is appended all or nothing, with the offset at which each record is expected in a header. After an error it is not
known whether the batch is there, or still comes: whoever asked reads the topic.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from connectors.kafka import placed_batches
from connectors.kafka.placed_batches import PlacedBatches
from domain.errors import Unavailable
from schemas.holds import AT_HEADER, HoldRecord

log = logging.getLogger(__name__)

Take = Callable[[Sequence[HoldRecord], int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """`fetch_bytes_max` bounds what is on its way for each partition."""

    bootstrap_servers: str
    topic: str
    events_topic: str
    fetch_bytes_max: int = 1 << 20
    request_timeout_s: float = 5.0


class HoldsTopic:
    """Appends holds and the events of their confirmations."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._batches = PlacedBatches(
            placed_batches.Options(
                bootstrap_servers=options.bootstrap_servers,
                name="holds",
                request_timeout_s=options.request_timeout_s,
            )
        )

    async def stop(self) -> None:
        """Disconnect."""
        await self._batches.stop()

    async def append(
        self, partition: int, records: Sequence[tuple[bytes, bytes | None]], at: int
    ) -> int:
        """Append all in one batch that is expected to begin at offset `at`; where it begins. Unavailable."""
        placed = [
            (key, value, ((AT_HEADER, str(at + number).encode()),))
            for number, (key, value) in enumerate(records)
        ]
        return await self._batches.append(self._options.topic, partition, placed)

    async def append_events(self, partition: int, key: bytes, value: bytes) -> int:
        """Append a record to the events topic; the offset after it. Unavailable."""
        return 1 + await self._batches.append(
            self._options.events_topic, partition, [(key, value, ())]
        )


class HoldsFeed:
    """Follows partitions of the holds topic, each from its own offset, without a group."""

    def __init__(self, options: Options, on_failure: Callable[[BaseException], None]) -> None:
        self._options = options
        self._on_failure = on_failure
        self._consumer: Any = None
        self._takers: dict[int, Take] = {}
        self._next: dict[int, int] = {}
        self._changed = asyncio.Event()
        self._reader: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Connect; nothing is read until a partition is followed. KafkaError."""
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=self._options.bootstrap_servers,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=self._options.fetch_bytes_max,
            fetch_max_wait_ms=100,
        )
        await self._consumer.start()
        self._reader = asyncio.create_task(self._read(), name="holds-feed")

    async def stop(self) -> None:
        """Read nothing more and disconnect."""
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)
        if self._consumer is not None:
            await self._consumer.stop()

    async def end(self, partition: int) -> int:
        """The offset after the last record of a partition. Unavailable."""
        tp = self._tp(partition)
        try:
            return int((await self._consumer.end_offsets([tp]))[tp])
        except KafkaError as error:
            raise Unavailable(f"Kafka: where the holds end: {error}") from error

    def follow(self, partition: int, offset: int, take: Take) -> None:
        """Read `partition` from `offset` on into `take`."""
        self._takers[partition] = take
        self._next[partition] = offset
        self._assign()

    def leave(self, partition: int) -> None:
        """Read `partition` no more."""
        self._takers.pop(partition, None)
        self._next.pop(partition, None)
        self._assign()

    def _assign(self) -> None:
        """aiokafka forgets all positions with each assignment."""
        self._consumer.assign([self._tp(number) for number in self._takers])
        for number in self._takers:
            self._consumer.seek(self._tp(number), self._next[number])
        self._changed.set()

    async def _read(self) -> None:
        try:
            while True:
                await self._read_once()
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            log.exception("the holds topic can no longer be followed")
            self._on_failure(error)
            raise

    async def _read_once(self) -> None:
        if not self._takers:
            self._changed.clear()
            await self._changed.wait()
            return
        got = await self._consumer.getmany(timeout_ms=100)
        if not got:
            await self._step_over_holes()
        for tp, records in got.items():
            take = self._takers.get(tp.partition)
            if take is None or records[0].offset < self._next[tp.partition]:
                continue  # fetched before the assignment changed
            self._next[tp.partition] = following = records[-1].offset + 1
            take([_record(one) for one in records], following)

    async def _step_over_holes(self) -> None:
        """Where compaction has taken the last records the position goes on without any."""
        for number, take in list(self._takers.items()):
            position = await self._consumer.position(self._tp(number))
            if number in self._next and position > self._next[number]:
                self._next[number] = position
                take([], position)

    def _tp(self, partition: int) -> TopicPartition:
        return TopicPartition(self._options.topic, partition)


def _record(record: Any) -> HoldRecord:
    said = next((value for name, value in record.headers if name == AT_HEADER), b"")
    at = int(said) if said.isdigit() else None
    return HoldRecord(record.offset, record.key or b"", record.value, at)
