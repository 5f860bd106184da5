"""Appends batches, all or nothing each, and says where each begins: for topics whose writer must know what stands before it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from connectors.kafka import metrics
from domain.errors import Unavailable

BATCH_BYTES_MAX = 15 << 20

Headers = Sequence[tuple[str, bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """`name` is told in metrics and errors."""

    bootstrap_servers: str
    name: str
    request_timeout_s: float = 5.0


class PlacedBatches:
    """An idempotent producer that connects when it is needed, and anew after an error: it may be of no use any more then."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._producer: Any = None
        self._connecting = asyncio.Lock()

    async def stop(self) -> None:
        """Disconnect."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await producer.stop()

    async def append(
        self, topic: str, partition: int, records: Sequence[tuple[bytes, bytes | None, Headers]]
    ) -> int:
        """Append all; the offset of the first. Unavailable: it is not known whether they are there, or still come."""
        producer = await self._connected()
        batch = producer.create_batch()
        for key, value, headers in records:
            if batch.append(key=key, value=value, timestamp=None, headers=list(headers)) is None:
                raise Unavailable(f"{self._options.name}: a batch of over {BATCH_BYTES_MAX} bytes")
        batch.close()
        try:
            sent = await producer.send_batch(batch, topic, partition=partition)
            metadata = await asyncio.shield(sent)
        except KafkaError as error:
            metrics.produce_errors.labels(self._options.name, type(error).__name__).inc()
            if self._producer is producer:
                await self.stop()
            raise Unavailable(f"Kafka: {self._options.name}: {error}") from error
        if metadata.offset < 0:
            raise Unavailable(f"Kafka did not say where {self._options.name} stand")
        return int(metadata.offset)

    async def _connected(self) -> Any:
        async with self._connecting:
            if self._producer is None:
                producer = AIOKafkaProducer(
                    bootstrap_servers=self._options.bootstrap_servers,
                    enable_idempotence=True,
                    max_batch_size=BATCH_BYTES_MAX,
                    max_request_size=BATCH_BYTES_MAX + (1 << 20),
                    request_timeout_ms=int(self._options.request_timeout_s * 1000),
                    linger_ms=0,
                )
                try:
                    await producer.start()
                except KafkaError as error:
                    await producer.stop()
                    raise Unavailable(f"Kafka: {self._options.name}: {error}") from error
                self._producer = producer
            return self._producer
