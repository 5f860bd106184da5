"""Appends events that are sent again, each with a header that names what was refused."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

from domain.errors import Unavailable
from schemas.rejected import REDRIVEN_FROM


@dataclass(frozen=True, slots=True)
class RedrivenEvent:
    """One event for the partition of its subject; `origin` is the header's value."""

    partition: int
    subject: str
    value: bytes
    origin: bytes


class RedrivenEvents:
    """An idempotent producer for one topic. `timeout_s` bounds the wait for acknowledgements."""

    def __init__(self, bootstrap_servers: str, topic: str, timeout_s: float = 30.0) -> None:
        self._topic = topic
        self._timeout_s = timeout_s
        self._failed: KafkaError | None = None
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap_servers,
                "acks": "all",
                "enable.idempotence": True,
                "linger.ms": 5,
                "message.timeout.ms": int(timeout_s * 1000),
                "message.max.bytes": 8 << 20,
                "queue.buffering.max.kbytes": 64 << 10,
                "log_level": 0,
            }
        )

    def partitions(self) -> int:
        """The partition count of the topic. Unavailable."""
        try:
            found = self._producer.list_topics(self._topic, timeout=self._timeout_s)
        except KafkaException as error:
            raise Unavailable(f"Kafka: {error.args[0].str()}") from error
        topic = found.topics[self._topic]
        if topic.error is not None:
            raise Unavailable(f"Kafka: {self._topic}: {topic.error.str()}")
        return len(topic.partitions)

    def send(self, events: Sequence[RedrivenEvent]) -> None:
        """Returns when all are acknowledged. Unavailable: some may have been appended."""
        for event in events:
            self._queue(event)
        if self._producer.flush(self._timeout_s):
            raise Unavailable(f"Kafka has not acknowledged within {self._timeout_s:g} s")
        if self._failed is not None:
            raise Unavailable(f"Kafka: {self._failed.str()}")

    def _queue(self, event: RedrivenEvent) -> None:
        give_up_at = time.monotonic() + self._timeout_s
        while True:
            try:
                self._producer.produce(
                    self._topic,
                    event.value,
                    event.subject.encode(),
                    event.partition,
                    self._delivered,
                    headers=[(REDRIVEN_FROM, event.origin)],
                )
                self._producer.poll(0)
                return
            except BufferError:
                if time.monotonic() > give_up_at:
                    raise Unavailable(
                        f"Kafka has not acknowledged within {self._timeout_s:g} s"
                    ) from None
                self._producer.poll(0.1)

    def _delivered(self, error: KafkaError | None, message: Any) -> None:
        if error is not None:
            self._failed = error
