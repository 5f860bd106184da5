"""Writes the catalog topic: one writer at a time, and what a former one still had under way never lands behind its successor's.

Order matters because the topic is compacted: the last record of a key is the one that stays. A relay that has lost its turn
without knowing could still send older records after the newer ones of its successor. Kafka prevents it: taking over with
the same transactional id ends the former writer's transactions, and its sends are refused from then on.

Readers need not wait for the commits: every record sent is a change that Postgres has committed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from confluent_kafka import KafkaException, Producer

from connectors.kafka import metrics
from domain.errors import Unavailable
from schemas.catalog import CatalogRecord, catalog_key, encode_catalog_record

_ASK_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Where the catalog is; `timeout_s` (1 or more) bounds taking over and each publishing."""

    bootstrap_servers: str
    topic: str
    timeout_s: float = 10.0
    record_bytes_max: int = 2 << 20


class CatalogWriter:
    """The right to write, until another one takes over."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._producer = Producer(
            {
                "bootstrap.servers": options.bootstrap_servers,
                "transactional.id": f"{options.topic}_relay",
                "acks": "all",
                "linger.ms": 0,
                "message.max.bytes": options.record_bytes_max,
                "message.timeout.ms": int(options.timeout_s * 1000),
                "transaction.timeout.ms": int(options.timeout_s * 1000),
                "log_level": 0,
            }
        )

    async def publish(self, records: Sequence[CatalogRecord]) -> None:
        """Append in this order; returns when all in-sync replicas have all of it.

        Unavailable: Kafka is down or another writer took over. It is not known what was appended, and this writer is
        of no use any more.
        """
        await asyncio.to_thread(self._publish, records)

    async def take_over(self) -> None:
        """Returns when any former writer is shut out. Unavailable."""
        deadline = time.monotonic() + self._options.timeout_s
        while not await asyncio.to_thread(self._took_over):
            if time.monotonic() > deadline:
                raise Unavailable(f"Kafka has not answered within {self._options.timeout_s:g} s")

    def close(self) -> None:
        """Drop what is not sent."""
        self._producer.purge()
        self._producer.poll(0)

    def _took_over(self) -> bool:
        """Blocks for a short time only, so that a process that is to stop need not wait for a Kafka that is down."""
        try:
            self._producer.init_transactions(_ASK_S)
        except KafkaException as error:
            if not error.args[0].retriable():
                raise _unavailable(error) from error
            return False
        return True

    def _publish(self, records: Sequence[CatalogRecord]) -> None:
        try:
            self._producer.begin_transaction()
            for record in records:
                self._producer.produce(
                    self._options.topic, encode_catalog_record(record), catalog_key(record), 0
                )
            self._producer.commit_transaction(self._options.timeout_s)
        except (KafkaException, BufferError) as error:
            raise _unavailable(error) from error


class CatalogTopic:
    """The catalog topic of a namespace."""

    def __init__(self, options: Options) -> None:
        self._options = options

    @asynccontextmanager
    async def write(self) -> AsyncIterator[CatalogWriter]:
        """A writer that has shut out all former ones. Unavailable."""
        writer = CatalogWriter(self._options)
        try:
            await writer.take_over()
            yield writer
        finally:
            writer.close()


def _unavailable(error: Exception) -> Unavailable:
    cause = error.args[0]
    name = cause.name() if isinstance(error, KafkaException) else type(error).__name__
    metrics.produce_errors.labels("relay", name).inc()
    return Unavailable(f"Kafka: {cause.str() if isinstance(error, KafkaException) else cause}")
