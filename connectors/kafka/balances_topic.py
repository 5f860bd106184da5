"""The balances topic: its owners write it, api processes follow it from its end, and whoever has missed something reads on from there."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from connectors.kafka import partition_reader, placed_batches
from connectors.kafka.partition_reader import PartitionReader
from connectors.kafka.placed_batches import PlacedBatches
from domain.errors import Unavailable

log = logging.getLogger(__name__)

_AGAIN_S = 0.5

Take = Callable[[int, Sequence[Any]], None]
"""Records of a partition, in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """`partitions` of the topic; `fetch_bytes_max` bounds what one read holds."""

    bootstrap_servers: str
    topic: str
    partitions: int
    fetch_bytes_max: int = 1 << 20
    request_timeout_s: float = 5.0


class BalancesTopic:
    """Appends for owners; reads for everybody."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._batches = PlacedBatches(
            placed_batches.Options(
                bootstrap_servers=options.bootstrap_servers,
                name="balances",
                request_timeout_s=options.request_timeout_s,
            )
        )
        self._reader = PartitionReader(
            partition_reader.Options(
                bootstrap_servers=options.bootstrap_servers, fetch_bytes_max=options.fetch_bytes_max
            )
        )

    @property
    def partitions(self) -> int:
        """Of the topic."""
        return self._options.partitions

    async def stop(self) -> None:
        """Disconnect."""
        await self._batches.stop()
        await self._reader.stop()

    async def append(self, partition: int, records: Sequence[tuple[bytes, bytes | None]]) -> int:
        """Append all in one batch; where it begins. Unavailable."""
        placed = [(key, value, ()) for key, value in records]
        return await self._batches.append(self._options.topic, partition, placed)

    async def bounds(self, partition: int) -> tuple[int, int]:
        """(first offset retained, end offset). Unavailable."""
        return await self._reader.bounds(self._options.topic, partition)

    async def read(
        self, partition: int, start: int, end: int
    ) -> AsyncIterator[tuple[Sequence[Any], int]]:
        """Lists of records in [start, end), with the position after each. Unavailable."""
        try:
            async for found in self._reader.read(self._options.topic, partition, start, end):
                yield found
        except KafkaError as error:
            raise Unavailable(f"Kafka: {self._options.topic}/{partition}: {error}") from error

    async def topic_id(self) -> str:
        """The cluster's id of the topic. Unavailable."""
        try:
            return await self._reader.topic_id(self._options.topic)
        except Exception as error:  # librdkafka's own kinds, all of them: Kafka cannot be asked
            raise Unavailable(f"Kafka: {self._options.topic}: {error}") from error


class BalancesTail:
    """Follows all partitions from their ends, once for a process, however long Kafka takes to come and come back."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._follower: asyncio.Task[None] | None = None

    async def start(self, begin: Callable[[dict[int, int]], None], take: Take) -> None:
        """`begin` is told the offsets that following starts at, `take` gets everything from there on, in order, each once."""
        self._follower = asyncio.create_task(self._follow(begin, take), name="balances-tail")

    async def stop(self) -> None:
        """Stop following."""
        if self._follower is not None:
            self._follower.cancel()
            await asyncio.gather(self._follower, return_exceptions=True)

    async def _follow(self, begin: Callable[[dict[int, int]], None], take: Take) -> None:
        following: dict[int, int] = {}
        while True:
            consumer = AIOKafkaConsumer(
                bootstrap_servers=self._options.bootstrap_servers,
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                max_partition_fetch_bytes=self._options.fetch_bytes_max,
                fetch_max_wait_ms=250,
            )
            try:
                await consumer.start()
                if not following:
                    following = await self._ends(consumer)
                    begin(dict(following))
                await self._follow_with(consumer, following, take)
            except KafkaError as error:
                log.warning("balances cannot be followed", extra={"error": str(error)})
                await asyncio.sleep(_AGAIN_S)
            finally:
                await consumer.stop()

    async def _ends(self, consumer: Any) -> dict[int, int]:
        tps = [TopicPartition(self._options.topic, n) for n in range(self._options.partitions)]
        ends = await consumer.end_offsets(tps)
        return {tp.partition: int(end) for tp, end in ends.items()}

    async def _follow_with(self, consumer: Any, following: dict[int, int], take: Take) -> None:
        consumer.assign([TopicPartition(self._options.topic, number) for number in following])
        for number, offset in following.items():
            consumer.seek(TopicPartition(self._options.topic, number), offset)
        while True:
            got = await consumer.getmany(timeout_ms=1000)
            for tp, records in got.items():
                following[tp.partition] = records[-1].offset + 1
                take(tp.partition, records)
