"""The limit: librdkafka reads the topic and msgspec decodes every event into its type, and nothing is done with it.

`python -m tests.benchmarks.limit SERVERS TOPIC EVENTS` prints one JSON object: events, seconds, cpu_s, tokens, memory.
"""

from __future__ import annotations

import json
import sys
import time
from datetime import datetime

import msgspec
import psutil
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition


class Data(msgspec.Struct, gc=False):
    """What a typed program would declare for these events."""

    tokens: int
    model: str
    route: str


class Event(msgspec.Struct, gc=False):
    """A CloudEvent of the benchmark."""

    id: str
    source: str
    type: str
    subject: str
    specversion: str
    time: datetime
    data: Data


def main(servers: str, topic: str, wanted: int) -> None:
    consumer = Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": "limit",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "fetch.max.bytes": 16 << 20,
            # By default librdkafka stops fetching for a second when its queue is full, which this reader outruns.
            "fetch.queue.backoff.ms": 1,
            "queued.min.messages": 1_000_000,
        }
    )
    partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
    consumer.assign([TopicPartition(topic, p, OFFSET_BEGINNING) for p in partitions])
    decode = msgspec.json.Decoder(Event).decode
    process = psutil.Process()
    seen = tokens = 0
    memory: list[float] = []
    started, cpu = 0.0, 0.0
    while seen < wanted:
        messages = consumer.consume(10_000, timeout=0.05)
        if not messages:
            continue
        if not started:
            started, cpu = time.monotonic(), time.process_time()
        events = [decode(message.value()) for message in messages]
        seen += len(events)
        tokens += sum([event.data.tokens for event in events])
        memory.append(process.memory_info().rss / (1 << 20))
    seconds, cpu_s = time.monotonic() - started, time.process_time() - cpu
    consumer.close()
    print(  # noqa: T201
        json.dumps(
            {"events": seen, "seconds": seconds, "cpu_s": cpu_s, "tokens": tokens, "memory": memory}
        )
    )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
