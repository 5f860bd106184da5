"""Sends the events as any producer would: librdkafka with Java's partitioner, keyed by subject; then waits for them to count."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import httpx
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from runtime.demo.errors import DemoProblem
from schemas.topics import names

_POLL_S = 0.05
_STUCK_S = 60.0


def send(
    bootstrap_servers: str, records: Sequence[tuple[bytes, bytes]], on_sent: Callable[[int], None]
) -> dict[int, int]:
    """Send (key, value) records; returns the end offset of each partition once all are acknowledged."""
    ends: dict[int, int] = {}

    def delivered(error: KafkaError | None, message: Message) -> None:
        if error is not None:
            raise KafkaException(error)
        number, offset = message.partition(), message.offset()
        assert number is not None
        assert offset is not None
        ends[number] = max(ends.get(number, 0), offset + 1)

    producer = Producer(
        {
            "bootstrap.servers": bootstrap_servers,
            "partitioner": "murmur2_random",
            "enable.idempotence": True,
            "linger.ms": 20,
            "queue.buffering.max.messages": 1_000_000,
        }
    )
    topic = names("default").events
    for number, (key, value) in enumerate(records, 1):
        producer.produce(topic, value, key, on_delivery=delivered)
        if not number % 1000:
            producer.poll(0)
            on_sent(number)
    producer.flush()
    on_sent(len(records))
    return ends


def wait_counted(worker: str, ends: dict[int, int], on_counted: Callable[[int], None]) -> None:
    """Wait until reads see everything before `ends` (offsets by partition). DemoProblem when it does not move for a minute."""
    last, moved_at = -1, time.monotonic()
    while True:
        visible = _visible(worker)
        counted = sum(min(visible.get(number, 0), end) for number, end in ends.items())
        on_counted(counted)
        if counted >= sum(ends.values()):
            return
        if counted != last:
            last, moved_at = counted, time.monotonic()
        elif time.monotonic() - moved_at > _STUCK_S:
            raise DemoProblem(
                f"{counted} of {sum(ends.values())} events counted, no more for {_STUCK_S:.0f} s"
            )
        time.sleep(_POLL_S)


def _visible(worker: str) -> dict[int, int]:
    """Up to which offset reads see each partition; nothing while the worker does not answer."""
    try:
        partitions = httpx.get(f"{worker}/status", timeout=10).json()["partitions"]
    except httpx.HTTPError:
        return {}
    return {p["partition"]: (p["visible"] or 0) >> 20 for p in partitions}


def verdicts(worker: str) -> dict[str, int]:
    """How many events the worker judged, by verdict (from its metrics)."""
    found: dict[str, int] = {}
    for line in httpx.get(f"{worker}/metrics", timeout=10).text.splitlines():
        if line.startswith("meterstream_events_total{"):
            verdict = line.split('verdict="', 1)[1].split('"', 1)[0]
            found[verdict] = int(float(line.rsplit(" ", 1)[1]))
    return found
