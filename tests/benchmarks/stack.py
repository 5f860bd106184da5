"""The services of a benchmark, in a directory of their own, and the topic that every run reads."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
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
from tests.benchmarks.events import Totals, Workload, generate
from tests.builders import ULIDS, a_meter_record
from tests.conftest import start, stop
from tests.workers import EventProducer

NAMESPACE = "bench"
NAMES = topics.names(NAMESPACE)
PARTITIONS = 4
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


def fill(stack: Stack, workload: Workload, progress: Progress) -> tuple[Totals, dict[int, int]]:
    """Make the topics, publish two meters with one group each, send every event; returns totals and end offsets."""
    make_topics(stack)
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

    def delivered(error, message):
        assert error is None, error
        ends[message.partition()] = max(ends.get(message.partition(), 0), message.offset() + 1)

    task = progress.add_task("events sent", total=workload.events)
    for subject, value in generate(workload, totals):
        while True:
            try:
                producer.produce(NAMES.events, value, subject, on_delivery=delivered)
                break
            except BufferError:
                producer.poll(0.05)
        if not totals.sent % 1000:
            producer.poll(0)
            progress.update(task, completed=totals.counted)
    assert producer.flush(60) == 0
    progress.update(task, completed=workload.events)
    return totals, ends


def make_topics(stack: Stack) -> None:
    """Every topic of the namespace that is not there."""
    day_ms = 86_400_000
    wanted = topics.catalogue(NAMESPACE, partitions=PARTITIONS, retention_ms=40 * day_ms)
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
