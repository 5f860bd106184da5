"""What the brokers have, read by a plain consumer that knows nothing of the product."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Message, TopicPartition

from schemas.partitioner import partition_of
from tests import oracle
from tests.chaos.cluster import PARTITIONS

_FIELDS = ("id", "source", "type", "subject")
_SILENCE_S = 20.0


@dataclass(frozen=True, kw_only=True)
class Log:
    """The events topic: events in the order of (partition, position) with the partition of each; places of records that hold none.

    `astray`: how many stand in another partition than their subject's. They are left out of `events`: their copies count, which workers append.
    """

    events: list[tuple[int, oracle.Event]]
    broken: set[tuple[int, int]]
    astray: int
    ends: dict[int, int]


def read_log(bootstrap: str, topic: str) -> Log:
    events, broken, astray, ends = [], set(), 0, {}
    for message in records(bootstrap, topic):
        number, offset = message.partition(), message.offset()
        ends[number] = offset + 1
        found = _events(message.value())
        if not found:
            broken.add((number, offset))
        for index, event in enumerate(found):
            if partition_of(event["subject"].encode(), PARTITIONS) == number:
                events.append((number, _event(event, offset << 20 | index)))
            else:
                astray += 1
    return Log(events=events, broken=broken, astray=astray, ends=ends)


def rejected_places(bootstrap: str, topic: str, origin: str) -> set[tuple[int, int]]:
    """Which records of the topic `origin` the rejected topic has: partition, offset. What has no headers is not ours."""
    places = set()
    for message in records(bootstrap, topic):
        told = dict(reversed(message.headers() or []))
        if told.get("topic") == origin.encode():
            places.add((int(told["partition"]), int(told["offset"])))
    return places


def log_ends(bootstrap: str, topic: str) -> dict[int, int]:
    """The offset past the last record of each partition."""
    consumer = _consumer(bootstrap)
    try:
        numbers = consumer.list_topics(topic, timeout=20).topics[topic].partitions
        return {
            number: consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=20)[1]
            for number in numbers
        }
    finally:
        consumer.close()


def records(bootstrap: str, topic: str) -> Iterator[Message]:
    """Everything that stands in the topic now, partition by partition in order."""
    consumer = _consumer(bootstrap)
    try:
        numbers = sorted(consumer.list_topics(topic, timeout=20).topics[topic].partitions)
        for number in numbers:
            consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING)])
            while True:
                message = consumer.poll(_SILENCE_S)
                assert message is not None, f"{topic}-{number}: nothing in {_SILENCE_S} s"
                if message.error() is None:
                    yield message
                elif message.error().code() == KafkaError._PARTITION_EOF:
                    break
                else:
                    raise AssertionError(f"{topic}-{number}: {message.error()}")
    finally:
        consumer.close()


def _consumer(bootstrap: str) -> Consumer:
    return Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "chaos-truth",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "log_level": 0,
        }
    )


def _events(value: bytes | None) -> list[dict]:
    """The events of a record of this load; none when it is broken."""
    try:
        found = json.loads(value or b"", parse_float=Decimal)
    except (json.JSONDecodeError, UnicodeDecodeError):
        return []
    found = found if isinstance(found, list) else [found]
    return found if all(_whole(event) for event in found) else []


def _whole(event: dict) -> bool:
    try:
        datetime.fromisoformat(event["time"])
    except (KeyError, ValueError):
        return False
    return event["specversion"] == "1.0" and all(event.get(field) for field in _FIELDS)


def _event(event: dict, position: int) -> oracle.Event:
    return oracle.Event(
        id=event["id"],
        subject=event["subject"],
        type=event["type"],
        source=event["source"],
        second=int(datetime.fromisoformat(event["time"]).timestamp()),
        data=event["data"],
        position=position,
    )
