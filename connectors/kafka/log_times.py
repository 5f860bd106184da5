"""Where in a topic a moment is: the partitions, their bounds, and the first offset that was not appended before it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from confluent_kafka import Consumer, TopicPartition

from connectors.kafka.rejected_topic import failing_as_unavailable, new_consumer
from domain.errors import Unavailable

T = TypeVar("T")

_FETCH_BYTES = 1 << 20


class LogTimes:
    """A consumer without a group; one question at a time."""

    def __init__(self, bootstrap_servers: str, topic: str, timeout_s: float = 10.0) -> None:
        self._consumer: Consumer = new_consumer(bootstrap_servers, _FETCH_BYTES)
        self._topic = topic
        self._timeout_s = timeout_s

    async def bounds(self) -> dict[int, tuple[int, int]]:
        """(first offset that is there, offset after the last) of each partition. Unavailable."""
        return await self._ask(self._bounds)

    async def at(self, moment_ms: int) -> dict[int, int]:
        """The first offset of each partition appended at or after `moment_ms`; its end where there is none. Unavailable."""
        return await self._ask(self._at, moment_ms)

    def close(self) -> None:
        """Disconnect."""
        self._consumer.close()

    async def _ask(self, call: Callable[..., T], *arguments: Any) -> T:
        with failing_as_unavailable():
            return await asyncio.to_thread(call, *arguments)

    def _bounds(self) -> dict[int, tuple[int, int]]:
        found = {}
        for number in self._partitions():
            low, high = self._consumer.get_watermark_offsets(
                TopicPartition(self._topic, number), timeout=self._timeout_s
            )
            found[number] = (int(low), int(high))
        return found

    def _at(self, moment_ms: int) -> dict[int, int]:
        asked = [TopicPartition(self._topic, n, max(0, moment_ms)) for n in self._partitions()]
        found = self._consumer.offsets_for_times(asked, timeout=self._timeout_s)
        ends = {tp.partition: tp.offset for tp in found}
        if any(offset < 0 for offset in ends.values()):
            bounds = self._bounds()
            ends = {n: bounds[n][1] if offset < 0 else offset for n, offset in ends.items()}
        return ends

    def _partitions(self) -> list[int]:
        found = self._consumer.list_topics(self._topic, timeout=self._timeout_s).topics[self._topic]
        if found.error is not None:
            raise Unavailable(f"Kafka: {self._topic}: {found.error.str()}")
        return sorted(found.partitions)
