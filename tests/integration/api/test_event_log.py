"""The event log on real Kafka: acknowledged means readable; a broker that is down is an error in time, and passes."""

import asyncio
import time

import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from connectors.kafka.admin import TopicAdmin
from connectors.kafka.event_log import KafkaEventLog, Options
from domain.errors import Unavailable
from runtime.topics import ensure
from runtime.topology.applying import Wanted
from schemas import topics

pytestmark = pytest.mark.integration

DAY_MS = 86_400_000


@pytest.fixture
def topic(kafka_address, unique):
    wanted = topics.catalogue(unique, partitions=3, retention_ms=40 * DAY_MS)
    ensure(TopicAdmin(kafka_address), Wanted(topics=wanted, replication=1))
    return topics.names(unique).events


def a_log(address, topic, **more):
    return KafkaEventLog(Options(bootstrap_servers=address, topic=topic, partitions=3, **more))


def read_all(address, topic, count):
    consumer = Consumer({"bootstrap.servers": address, "group.id": "test"})
    consumer.assign([TopicPartition(topic, p, OFFSET_BEGINNING) for p in range(3)])
    found = []
    deadline = time.monotonic() + 20
    while len(found) < count and time.monotonic() < deadline:
        message = consumer.poll(0.2)
        if message is not None and message.error() is None:
            found.append((message.partition(), message.key(), message.value()))
    consumer.close()
    return found


async def test_what_append_returned_for_is_in_the_log(kafka_address, topic):
    log = a_log(kafka_address, topic)
    log.start()
    requests = [[(n % 3, b"k%d" % n, b"v%d.%d" % (n, i)) for i in range(5)] for n in range(40)]

    await asyncio.gather(*[log.append(records) for records in requests])
    await log.append([])
    await log.stop()

    sent = [record for records in requests for record in records]
    assert sorted(read_all(kafka_address, topic, len(sent))) == sorted(sent)


async def test_stopping_waits_for_what_is_under_way(kafka_address, topic):
    log = a_log(kafka_address, topic, linger_ms=300)
    log.start()
    under_way = asyncio.create_task(log.append([(0, b"k", b"last")]))
    await asyncio.sleep(0)

    await log.stop()

    await under_way
    assert read_all(kafka_address, topic, 1) == [(0, b"k", b"last")]


async def test_a_broker_that_does_not_answer_is_an_error_in_time():
    log = a_log("127.0.0.1:9", "nowhere", timeout_s=0.5)
    log.start()
    began = time.monotonic()

    with pytest.raises(Unavailable):
        await log.append([(0, b"k", b"v")])
    with pytest.raises(Unavailable):
        await log.answers()

    assert time.monotonic() - began < 5
    await log.stop()


async def test_a_full_queue_is_an_error_at_once():
    log = a_log("127.0.0.1:9", "nowhere", timeout_s=1, queue_max=1000)
    log.start()
    waiting = asyncio.create_task(log.append([(0, b"k", b"v")] * 900))
    await asyncio.sleep(0)
    began = time.monotonic()

    with pytest.raises(Unavailable, match="too many"):
        await log.append([(0, b"k", b"v")] * 200)

    assert time.monotonic() - began < 0.5
    with pytest.raises(Unavailable):
        await waiting
    await log.stop()


async def test_a_client_that_went_away_disturbs_nobody(kafka_address, topic):
    log = a_log(kafka_address, topic, linger_ms=200)
    log.start()
    gone = asyncio.create_task(log.append([(0, b"k", b"gone")]))
    stays = asyncio.create_task(log.append([(0, b"k", b"stays")]))
    await asyncio.sleep(0)

    gone.cancel()
    await stays
    await log.stop()

    assert gone.cancelled()
    assert read_all(kafka_address, topic, 2) == [(0, b"k", b"gone"), (0, b"k", b"stays")]


async def test_a_partition_that_is_not_there_is_an_error(kafka_address, topic):
    log = a_log(kafka_address, topic, timeout_s=3)
    log.start()

    with pytest.raises(Unavailable):
        await log.append([(99, b"k", b"v")])

    await log.append([(0, b"k", b"v")])
    await log.stop()
