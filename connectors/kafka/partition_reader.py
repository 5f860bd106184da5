"""Reads a partition from one offset to another without a group: for restores and for what the sink reads again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from confluent_kafka import TopicCollection
from confluent_kafka.admin import AdminClient

from domain.errors import Unavailable


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """`fetch_bytes_max` bounds the memory of one read; `idle_s` is how long a read may bring nothing before it gives up."""

    bootstrap_servers: str
    fetch_bytes_max: int = 16 << 20
    idle_s: float = 30.0


class PartitionReader:
    """One short-lived consumer for each read, so that reads do not disturb each other; one that stays for questions."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._asking = asyncio.Lock()
        self._asker: Any = None
        self._admin = AdminClient({"bootstrap.servers": options.bootstrap_servers, "log_level": 0})

    async def bounds(self, topic: str, partition: int) -> tuple[int, int]:
        """(first offset retained, end offset). Unavailable when Kafka does not answer."""
        tp = TopicPartition(topic, partition)
        try:
            async with self._asking:
                if self._asker is None:
                    self._asker = await self._consumer()
            first = (await self._asker.beginning_offsets([tp]))[tp]
            end = (await self._asker.end_offsets([tp]))[tp]
        except KafkaError as error:
            raise Unavailable(f"Kafka: where {topic}/{partition} ends: {error}") from error
        return first, end

    async def stop(self) -> None:
        """Disconnect."""
        if self._asker is not None:
            await self._asker.stop()

    async def read(
        self, topic: str, partition: int, start: int, end: int
    ) -> AsyncIterator[tuple[Sequence[Any], int]]:
        """Lists of records in [start, end); stops by position, so compacted holes at the tail do not matter."""
        if start >= end:
            return
        consumer = await self._consumer()
        try:
            tp = TopicPartition(topic, partition)
            consumer.assign([tp])
            consumer.seek(tp, start)
            reached = start
            idle_since = asyncio.get_running_loop().time()
            while reached < end:
                got = await consumer.getmany(tp, timeout_ms=500)
                records = [record for record in got.get(tp, ()) if record.offset < end]
                position = min(end, await consumer.position(tp))
                now = asyncio.get_running_loop().time()
                if position > reached or records:
                    reached, idle_since = position, now
                    yield records, position
                elif now - idle_since > self._options.idle_s:
                    raise Unavailable(
                        f"{topic}/{partition}: nothing read for {self._options.idle_s} s at offset {reached} of {end}"
                    )
        finally:
            await consumer.stop()

    async def topic_id(self, topic: str) -> str:
        """The cluster's id of the topic."""
        future = self._admin.describe_topics(TopicCollection([topic]))[topic]
        description = await asyncio.wrap_future(future)
        return str(description.topic_id)

    async def _consumer(self) -> Any:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._options.bootstrap_servers,
            enable_auto_commit=False,
            auto_offset_reset="none",
            check_crcs=True,
            max_partition_fetch_bytes=self._options.fetch_bytes_max,
            fetch_max_bytes=self._options.fetch_bytes_max,
        )
        await consumer.start()
        return consumer
