"""`kill -9` of the worker at every step of the route agent: what came under any key counts once, in its subject's order."""

import random

import msgspec
import pytest

from schemas.partitioner import partition_of
from streams.steps import Step
from tests.topics import read_all
from tests.workers import EventProducer
from tests.workload import Workload

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

ROUTING = [step for step in Step if step.value.startswith("route_")]


class RawProducer(EventProducer):
    """A producer with keys of its own; a subject's events go to one partition, which is seldom the subject's."""

    def __init__(self, kafka: str, namespace: str):
        super().__init__(kafka, namespace)
        self._random = random.Random(7)
        self.order: dict[str, list[str]] = {}
        """Ids by subject, each where it was sent first."""
        self.bad = 0

    def send(self, event, key=None, partition=None, timestamp_ms=0):
        events = event if isinstance(event, list) else [event]
        for one in events:
            order = self.order.setdefault(one["subject"], [])
            if one["id"] not in order:
                order.append(one["id"])
        value = msgspec.json.encode(event)
        self._produce(value, hash_of(events[0]["subject"]))
        if self._random.random() < 0.02:
            self._produce(b"no event", hash_of(events[0]["subject"]))
            self.bad += 1

    def _produce(self, value: bytes, partition: int):
        key = self._random.randbytes(4)
        self._producer.produce(self.names.events_raw, value, key, partition)
        self._producer.poll(0)


def hash_of(subject: str) -> int:
    return sum(subject.encode()) % 4


def test_totals_and_order_are_exact_after_a_kill_at_every_step_of_routing(cluster):
    raw = RawProducer(cluster.kafka, cluster.namespace)
    cluster.work = Workload(raw, seed=11)
    cluster.environment = {"METERSTREAM_WORKER__ROUTE_RECORDS_MAX": "10"}
    cluster.work.publish_meters()
    cluster.work.burst(50)

    for step in ROUTING:
        for times in (1, 3):
            cluster.run_until_dead(f"{step.value}:{times}")
    cluster.worker().start().wait_ready()

    cluster.wait_exact()
    cluster.check_state()
    first: dict[str, list[str]] = {}
    for message in read_all(cluster.kafka, cluster.names.events):
        event = msgspec.json.decode(message.value())
        assert message.key().decode() == event["subject"]
        assert message.partition() == partition_of(message.key(), 4)
        order = first.setdefault(event["subject"], [])
        if event["id"] not in order:
            order.append(event["id"])
    assert first == raw.order
    refused = {
        (dict(m.headers())["partition"], dict(m.headers())["offset"])
        for m in read_all(cluster.kafka, cluster.names.rejected)
    }
    assert len(refused) == raw.bad


def test_two_workers_share_the_raw_topic_and_one_takes_over_from_the_other(cluster):
    raw = RawProducer(cluster.kafka, cluster.namespace)
    cluster.work = Workload(raw, seed=12)
    cluster.work.publish_meters()
    one, two = cluster.worker("worker-1"), cluster.worker("worker-2")
    for worker in (one, two):
        worker.start()
    for worker in (one, two):
        worker.wait_ready()
    for _ in range(10):
        cluster.work.burst(30)
    one.kill()
    for _ in range(10):
        cluster.work.burst(30)

    cluster.wait_exact()
