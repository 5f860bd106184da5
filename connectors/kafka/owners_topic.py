"""The owners topic: each worker says what it has, whoever asks workers follows it. No group; what is old is not read.

A worker counts as live for `dead_after_s` after its last record came here, by this process's own clock: clocks of machines
are never compared. A new follower begins `dead_after_s` before the end, by the broker's time.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from schemas.owners import WorkerRecord, decode_worker, encode_worker

log = logging.getLogger(__name__)

_AGAIN_S = 0.5
_NAME_MAX = 256
_REMEMBERED_MAX = 10_000
"""Workers whose newest record is remembered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """`dead_after_s` must be longer than workers pause between two records."""

    bootstrap_servers: str
    topic: str
    dead_after_s: float = 5.0
    request_timeout_s: float = 5.0


class OwnersTopic:
    """Publishes this process's record and knows those of all others. Kafka may be away: then nothing new is known."""

    def __init__(self, options: Options, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._options = options
        self._monotonic = monotonic
        self._producer: Any = None
        self._heard: dict[str, tuple[WorkerRecord, float]] = {}
        """The newest record of each worker, and when it came."""
        self._follower: asyncio.Task[None] | None = None
        self.on_change: Callable[[], None] = lambda: None
        """Called when a worker says something that it has not said before, or says that it stops."""

    # -- what a worker says

    async def publish(self, record: WorkerRecord) -> None:
        """Say it; returns when Kafka has it. KafkaError."""
        producer = await self._connected()
        await producer.send_and_wait(
            self._options.topic, encode_worker(record), key=record.name.encode(), partition=0
        )

    async def leave(self, name: str) -> None:
        """Say that `name` has stopped: nobody asks it from then on. KafkaError."""
        producer = await self._connected()
        await producer.send_and_wait(self._options.topic, None, key=name.encode(), partition=0)

    async def _connected(self) -> Any:
        if self._producer is None:
            producer = AIOKafkaProducer(
                bootstrap_servers=self._options.bootstrap_servers,
                request_timeout_ms=int(self._options.request_timeout_s * 1000),
            )
            try:
                await producer.start()
            except BaseException:
                await producer.stop()
                raise
            self._producer = producer
        return self._producer

    # -- what the others said

    def live(self) -> Sequence[WorkerRecord]:
        """What the workers that live said last, in the order of their names."""
        heard_after = self._monotonic() - self._options.dead_after_s
        live = [record for record, at in self._heard.values() if at > heard_after]
        return sorted(live, key=lambda record: record.name)

    def start(self) -> None:
        """Follow from now on, however long Kafka takes to come."""
        self._follower = asyncio.create_task(self._follow(), name="owners-topic")

    async def stop(self) -> None:
        """Stop following and disconnect."""
        if self._follower is not None:
            self._follower.cancel()
            await asyncio.gather(self._follower, return_exceptions=True)
        if self._producer is not None:
            await self._producer.stop()

    def take(self, name: str, value: bytes | None) -> None:
        """A record of the topic, as it comes."""
        record = None
        if value is not None:
            try:
                record = decode_worker(value)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                log.error(
                    "record of a worker left out", extra={"worker": name, "error": str(error)}
                )
                return
        before = self._heard.pop(name, None)
        if record is not None:
            if len(self._heard) >= _REMEMBERED_MAX:
                self._heard.pop(next(iter(self._heard)))
            self._heard[name] = (record, self._monotonic())
        if record is None or before is None or _said(before[0]) != _said(record):
            self.on_change()

    async def _follow(self) -> None:
        while True:
            consumer = AIOKafkaConsumer(
                bootstrap_servers=self._options.bootstrap_servers,
                enable_auto_commit=False,
                auto_offset_reset="latest",
                fetch_max_wait_ms=250,
            )
            try:
                await consumer.start()
                await self._follow_with(consumer)
            except KafkaError as error:
                log.warning("workers cannot be followed", extra={"error": str(error)})
                await asyncio.sleep(_AGAIN_S)
            finally:
                await consumer.stop()

    async def _follow_with(self, consumer: Any) -> None:
        tp = TopicPartition(self._options.topic, 0)
        consumer.assign([tp])
        end = (await consumer.end_offsets([tp]))[tp]
        since_ms = int((time.time() - self._options.dead_after_s) * 1000)
        found = (await consumer.offsets_for_times({tp: since_ms}))[tp]
        consumer.seek(tp, end if found is None else found.offset)
        while True:
            got = await consumer.getmany(tp, timeout_ms=1000)
            for record in got.get(tp, ()):
                if record.key is not None:
                    self.take(record.key.decode(errors="replace")[:_NAME_MAX], record.value)


def _said(record: WorkerRecord) -> object:
    return (record.url, record.owned, record.standby, record.generation)
