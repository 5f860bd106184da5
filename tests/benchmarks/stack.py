"""The services of a benchmark, in a directory of their own, and the topic that every run reads."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from rich.progress import Progress

from connectors.kafka.admin import TopicAdmin
from runtime.embedded.clickhouse import prepare_clickhouse
from runtime.embedded.kafka import prepare_kafka
from runtime.embedded.service import free_port
from runtime.topics import ensure
from runtime.topology.applying import Wanted
from schemas import topics
from tests.benchmarks.events import PARTITIONS, Totals, Workload, generate
from tests.builders import ULIDS, a_meter_record
from tests.conftest import start, stop
from tests.workers import EventProducer

NAMESPACE = "bench"
NAMES = topics.names(NAMESPACE)
SUM_METER, COUNT_METER = ULIDS[0], ULIDS[1]


@dataclass(frozen=True, slots=True)
class Stack:
    """What runs, and where."""

    directory: Path
    kafka: str
    clickhouse: str
    kafka_process: psutil.Process
    clickhouse_process: psutil.Process


@contextmanager
def running(directory: Path) -> Iterator[Stack]:
    """Kafka and ClickHouse's engine, stopped at the end."""
    kafka = prepare_kafka(directory, free_port(), free_port())
    clickhouse = prepare_clickhouse(directory, free_port())
    with _process(kafka, directory) as first, _process(clickhouse, directory) as second:
        yield Stack(
            directory,
            kafka.address,
            clickhouse.address,
            psutil.Process(first.pid),
            psutil.Process(second.pid),
        )


@contextmanager
def _process(service, logs: Path):
    process = start(service, logs)
    try:
        yield process
    finally:
        stop(service, process)


@dataclass(frozen=True, slots=True)
class Filled:
    """The totals of what was sent, where the events topic ends, and the totals of each topic that has the first N records."""

    totals: Totals
    ends: dict[int, int]
    heads: dict[str, Totals]


def head_topic(records: int) -> str:
    """The topic of the first `records` records, for contestants that read a part and stop at its end."""
    return f"{NAMES.events}_first_{records}"


def fill(stack: Stack, workload: Workload, progress: Progress, heads: set[int]) -> Filled:
    """Make the topics, publish two meters with one group each, send every event; the first N of them also to N's topic."""
    make_topics(stack, heads)
    meters = EventProducer(stack.kafka, NAMESPACE)
    group = {"model": "$.model"}
    meters.publish_meter(a_meter_record("tokens", id=SUM_METER, groups=group), 1)
    meters.publish_meter(
        a_meter_record("requests", id=COUNT_METER, aggregation="COUNT", groups=group), 2
    )
    producer = Producer(
        {
            "bootstrap.servers": stack.kafka,
            "partitioner": "murmur2_random",
            "linger.ms": 20,
            "batch.num.messages": 10_000,
            "queue.buffering.max.messages": 200_000,
        }
    )
    totals, ends = Totals(), {}
    at_heads: dict[str, Totals] = {}

    def delivered(error, message):
        assert error is None, error
        ends[message.partition()] = max(ends.get(message.partition(), 0), message.offset() + 1)

    def send(topic, subject, value, on_delivery=None):
        while True:
            try:
                return producer.produce(topic, value, subject, on_delivery=on_delivery)
            except BufferError:
                producer.poll(0.05)

    task = progress.add_task("events sent", total=workload.events)
    for subject, value in generate(workload, totals):
        send(NAMES.events, subject, value, delivered)
        for records in heads:
            if totals.sent <= records:
                send(head_topic(records), subject, value)
            if totals.sent == records:
                at_heads[head_topic(records)] = replace(totals)
        if not totals.sent % 1000:
            producer.poll(0)
            progress.update(task, completed=totals.counted)
    assert producer.flush(60) == 0
    progress.update(task, completed=workload.events)
    return Filled(totals, ends, {**dict.fromkeys(map(head_topic, heads), totals), **at_heads})


def make_topics(stack: Stack, heads: Iterable[int] = ()) -> None:
    """Every topic of the namespace that is not there, and topics like that of the events for the first N records."""
    day_ms = 86_400_000
    wanted = topics.catalogue(NAMESPACE, partitions=PARTITIONS, retention_ms=40 * day_ms)
    events = next(topic for topic in wanted if topic.name == NAMES.events)
    wanted += [replace(events, name=head_topic(records)) for records in heads]
    ensure(TopicAdmin(stack.kafka), Wanted(topics=wanted, replication=1))


def forget_results(stack: Stack) -> None:
    """Delete what a worker wrote, so that the next one starts from nothing; the events stay."""
    admin = AdminClient({"bootstrap.servers": stack.kafka})
    written = {NAMES.changelog, NAMES.usage}
    for deleted in admin.delete_topics(list(written)).values():
        deleted.result(30)
    deadline = time.monotonic() + 30
    while written & admin.list_topics(timeout=10).topics.keys():
        assert time.monotonic() < deadline, f"{written} are still there"
        time.sleep(0.05)
    make_topics(stack)


def last_json(text: str) -> dict:
    """The JSON object on the last line of a child's output."""
    return json.loads(text.strip().rsplit("\n", 1)[-1])
