"""Appends accepted events to the events topic: librdkafka, idempotent, acknowledged by every in-sync replica.

A request waits on one future however many records it has; a thread serves librdkafka's callbacks and hands finished
requests to the event loop once a poll.
"""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

from connectors.kafka import metrics
from domain.errors import Unavailable

log = logging.getLogger(__name__)

_POLL_S = 0.1
_METADATA_S = 2.0
_QUEUE_FULL = "too many events wait for Kafka: try again later"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """`queue_max` records wait in memory at most; `timeout_s` bounds the wait for an acknowledgement.

    Records are not held back for company: a request is a batch already, and more gather while five are under way.
    """

    bootstrap_servers: str
    topic: str
    partitions: int
    queue_max: int = 500_000
    queue_bytes_max: int = 256 << 20
    timeout_s: float = 10.0
    linger_ms: float = 0.0
    record_bytes_max: int = 8 << 20


class _Request:
    """Records of one request that are not acknowledged yet; touched by the polling thread only once they are queued."""

    __slots__ = ("done", "error", "left", "places")

    def __init__(self, left: int, done: asyncio.Future[None]) -> None:
        self.left = left
        self.done = done
        self.error: KafkaError | None = None
        self.places: list[tuple[int, int]] = []


class KafkaEventLog:
    """Implements the API's port EventLog."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._producer = self._new_producer()
        self._finished: list[_Request] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="event-log", daemon=True)

    @property
    def partitions(self) -> int:
        """The partition count of the events topic."""
        return self._options.partitions

    def start(self) -> None:
        """Begin to serve; call it on the event loop that appends."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    async def stop(self) -> None:
        """Wait for what is under way, at most for the time that an acknowledgement may take, and stop."""
        self._stopping.set()
        if self._thread.is_alive():
            await asyncio.to_thread(self._thread.join)

    async def append(self, records: Sequence[tuple[int, bytes, bytes]]) -> list[tuple[int, int]]:
        """Append (partition, key, value) records; returns where they stand, (partition, offset), when all are acknowledged.

        A record that had to be sent twice may come without its offset (a negative one).

        Unavailable: the queue is full, the brokers do not answer in time, or they refuse. Some records may have been
        appended then.
        """
        if not records:
            return []
        assert self._loop is not None
        request = _Request(len(records), self._loop.create_future())
        self._queue(records, request)
        try:
            async with asyncio.timeout(self._options.timeout_s):
                await request.done
        except TimeoutError:
            raise Unavailable(
                f"Kafka has not acknowledged within {self._options.timeout_s:g} s"
            ) from None
        if request.error is not None:
            raise Unavailable(f"Kafka: {request.error.str()}")
        return request.places

    async def answers(self) -> None:
        """Returns when the cluster answers for the topic, raises Unavailable otherwise."""
        await asyncio.to_thread(self._ask)

    # -- producing

    def _queue(self, records: Sequence[tuple[int, bytes, bytes]], request: _Request) -> None:
        producer, topic, delivered = self._producer, self._options.topic, self._on(request)
        if len(producer) + len(records) > self._options.queue_max:
            raise Unavailable(_QUEUE_FULL)
        try:
            for partition, key, value in records:
                producer.produce(topic, value, key, partition, delivered)
        except BufferError:
            raise Unavailable(_QUEUE_FULL) from None
        except KafkaException as error:
            raise Unavailable(f"Kafka: {error.args[0].str()}") from error

    def _on(self, request: _Request) -> Callable[[KafkaError | None, Any], None]:
        def delivered(error: KafkaError | None, message: Any) -> None:
            request.left -= 1
            if error is None:
                request.places.append((message.partition(), message.offset()))
            else:
                request.error = error
                metrics.produce_errors.labels("api", error.name()).inc()
            if not request.left:
                self._finished.append(request)

        return delivered

    def _new_producer(self) -> Producer:
        options = self._options
        return Producer(
            {
                "bootstrap.servers": options.bootstrap_servers,
                "acks": "all",
                "enable.idempotence": True,
                "linger.ms": options.linger_ms,
                "message.timeout.ms": int(options.timeout_s * 1000),
                "message.max.bytes": options.record_bytes_max,
                "queue.buffering.max.messages": options.queue_max,
                "queue.buffering.max.kbytes": options.queue_bytes_max >> 10,
                "reconnect.backoff.max.ms": 1000,
                "error_cb": self._on_error,
                "log_level": 0,
            }
        )

    # -- the polling thread

    def _serve(self) -> None:
        give_up_at = math.inf
        while not self._stopping.is_set() or (
            len(self._producer) and time.monotonic() < give_up_at
        ):
            if self._stopping.is_set() and give_up_at == math.inf:
                give_up_at = time.monotonic() + self._options.timeout_s
            self._producer.poll(_POLL_S)
            if self._finished:
                finished, self._finished = self._finished, []
                assert self._loop is not None
                self._loop.call_soon_threadsafe(_complete, finished)

    def _on_error(self, error: KafkaError) -> None:
        metrics.client_errors.labels(error.name()).inc()
        if error.fatal():
            log.error("the producer is beyond repair: a new one", extra={"cause": error.str()})
            self._producer = self._new_producer()
        else:
            log.warning("trouble with Kafka", extra={"cause": error.str()})

    def _ask(self) -> None:
        if not self._thread.is_alive():
            raise Unavailable("the thread that serves Kafka's acknowledgements has ended")
        try:
            found = self._producer.list_topics(timeout=_METADATA_S)
        except KafkaException as error:
            raise Unavailable(f"Kafka: {error.args[0].str()}") from error
        if self._options.topic not in found.topics:
            raise Unavailable(f"Kafka has no topic {self._options.topic}")


def _complete(finished: list[_Request]) -> None:
    """On the event loop: wake the requests, except those whose client has gone."""
    for request in finished:
        if not request.done.done():
            request.done.set_result(None)
