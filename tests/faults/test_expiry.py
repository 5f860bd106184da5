"""Weeks that leave the dedupe window: dropped once, whatever happens meanwhile, and what comes later is counted on."""

import time

import pytest
from confluent_kafka import TIMESTAMP_CREATE_TIME, TIMESTAMP_LOG_APPEND_TIME, Producer
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from schemas import state
from schemas.usage_records import is_progress
from streams.steps import Step
from tests.topics import read_compacted
from tests.workload import rows_in_state

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]

LONG_AGO_MS = int(time.time() * 1000) - 9 * state.WEEK_MS


def stamp_by(cluster, who: str):
    """CreateTime lets a test send what arrived weeks ago; the product wants LogAppendTime.

    Kept for ever: the broker looks for what is past its retention half a minute after its start, and would take these events away.
    """
    admin = AdminClient({"bootstrap.servers": cluster.kafka, "log_level": 0})
    wanted = {"message.timestamp.type": who, "retention.ms": "-1"}
    entries = [
        ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
        for name, value in wanted.items()
    ]
    topic = ConfigResource(ResourceType.TOPIC, cluster.names.events, incremental_configs=entries)
    for done in admin.incremental_alter_configs([topic]).values():
        done.result(30)
    kind = TIMESTAMP_CREATE_TIME if who == "CreateTime" else TIMESTAMP_LOG_APPEND_TIME
    cluster.worker().wait_until(lambda: stamped(cluster) == kind, what=who)


def stamped(cluster) -> int:
    """Whose clock the broker takes now: it learns of the change a moment after it has acknowledged it."""
    kinds = []
    producer = Producer({"bootstrap.servers": cluster.kafka, "log_level": 0})
    producer.produce(
        cluster.names.events,
        b"no event",
        partition=0,
        timestamp=LONG_AGO_MS,
        on_delivery=lambda _, message: kinds.append(message.timestamp()[0]),
    )
    producer.flush(30)
    return kinds[0]


def arrive_long_ago(cluster, count: int):
    """To be counted before the clock is the broker's again: one event of today ends the window of its partition."""
    cluster.work.burst(count, timestamp_ms=LONG_AGO_MS, astray=0)
    cluster.work.forget()


def test_a_week_is_dropped_once_whenever_the_worker_dies_and_restored_states_agree(cluster):
    cluster.work.publish_meters()
    worker = cluster.worker().start().wait_ready()  # on topics as they must be: it refuses others
    stamp_by(cluster, "CreateTime")
    arrive_long_ago(cluster, 300)
    cluster.wait_exact()
    worker.kill()
    stamp_by(cluster, "LogAppendTime")

    for (
        step,
        times,
    ) in (  # three or four partitions have a week to drop: not every step can be reached often
        (Step.EXPIRY_LOGGED, 1),
        (Step.EXPIRY_LOGGED, 2),
        (Step.EXPIRY_APPLIED, 1),
        (Step.EXPIRY_DROPPED, 1),
    ):
        cluster.run_until_dead(f"{step.value}:{times}", size=60)
    worker.start().wait_ready()
    cluster.work.burst(200)
    cluster.wait_exact()
    worker.wait_until(lambda: no_old_weeks(cluster, worker), what="expiry")

    here = rows_in_state(cluster.directory, cluster.namespace)
    published = read_compacted(cluster.kafka, cluster.names.usage)
    published = {key: value for key, value in published.items() if not is_progress(key)}
    cluster.forget_state()
    worker.start().wait_ready()
    worker.stop()
    restored = rows_in_state(cluster.directory, cluster.namespace)
    assert restored == here
    assert published.keys() == here.keys()
    cluster.worker().start().wait_ready()
    cluster.work.burst(50)
    cluster.wait_exact()


def no_old_weeks(cluster, worker) -> bool:
    """Stops the worker when every partition's state begins this year."""
    if worker.metric("meterstream_state_weeks_dropped_total") == 0:
        cluster.work.burst(20)
    changelog = read_compacted(cluster.kafka, cluster.names.changelog)
    old = [key for key in changelog if key[:1] in b"wi" and int.from_bytes(key[1:3]) < week_now()]
    if old:
        cluster.work.burst(20)
        time.sleep(0.2)
        return False
    worker.stop()
    return True


def week_now() -> int:
    return state.week_of(int(time.time() * 1000))


def test_a_late_event_opens_a_new_row_when_its_week_is_gone(cluster):
    cluster.work.publish_meters()
    worker = cluster.worker().start().wait_ready()
    stamp_by(cluster, "CreateTime")
    arrive_long_ago(cluster, 100)
    cluster.wait_exact()
    stamp_by(cluster, "LogAppendTime")
    cluster.work.burst(100)
    worker.wait_until(
        lambda: (
            cluster.work.burst(10) and worker.metric("meterstream_state_weeks_dropped_total") >= 3
        ),
        what="expiry",
    )

    cluster.work.burst(300)

    cluster.wait_exact()
