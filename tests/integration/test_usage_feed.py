"""The feed of chosen usage partitions on a real broker."""

import asyncio
import time
from contextlib import asynccontextmanager

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from connectors.kafka.usage_feed import Options, UsageFeed

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]


class Taker:
    def __init__(self):
        self.records = []
        self.nexts = []
        self.room = True
        self.came = asyncio.Event()

    def has_room(self):
        return self.room

    def take(self, records, next_offset):
        self.records += [(key.decode(), value and value.decode()) for key, value in records]
        self.nexts.append(next_offset)
        self.came.set()

    async def wait_for(self, count):
        async with asyncio.timeout(10):
            while len(self.records) < count:
                self.came.clear()
                await self.came.wait()
        return self.records


class Topic:
    def __init__(self, kafka, name):
        self.kafka, self.name = kafka, name
        admin = AdminClient({"bootstrap.servers": kafka, "log_level": 0})
        made = NewTopic(name, 3, 1, config={"cleanup.policy": "compact"})
        admin.create_topics([made])[name].result(30)
        self._producer = Producer({"bootstrap.servers": kafka, "linger.ms": 0, "log_level": 0})

    def send(self, partition, *keys, value="v"):
        for key in keys:
            self._producer.produce(self.name, value, key, partition)
        assert self._producer.flush(10) == 0

    @asynccontextmanager
    async def feed(self):
        failures = []
        feed = UsageFeed(Options(bootstrap_servers=self.kafka, topic=self.name), failures.append)
        await feed.start()
        try:
            yield feed
        finally:
            await feed.stop()
        assert failures == []


@pytest.fixture
def topic(kafka_address, unique):
    return Topic(kafka_address, f"om_{unique}_usage")


async def test_each_partition_is_read_from_its_own_offset(topic):
    topic.send(0, "a", "b", "c")
    topic.send(1, "x", "y")
    first, second = Taker(), Taker()

    async with topic.feed() as feed:
        feed.follow(0, 1, first)
        feed.follow(1, await feed.end(1), second)
        topic.send(1, "z")

        assert await first.wait_for(2) == [("b", "v"), ("c", "v")]
        assert await second.wait_for(1) == [("z", "v")]
        assert (first.nexts[-1], second.nexts[-1]) == (3, 3)
        assert feed.lag(0) == 0


async def test_partitions_come_and_go_while_others_read_on_without_a_hole_or_a_repeat(topic):
    steady, passing = Taker(), Taker()

    async with topic.feed() as feed:
        feed.follow(0, 0, steady)
        for n in range(20):
            topic.send(0, f"s{n}")
            if n % 2:
                feed.leave(1)
            else:
                feed.follow(1, 0, passing)
            await asyncio.sleep(0)
        await steady.wait_for(20)

    assert [key for key, _ in steady.records] == [f"s{n}" for n in range(20)]


async def test_a_tombstone_comes_as_none(topic):
    taker = Taker()
    topic.send(2, "gone", value=None)

    async with topic.feed() as feed:
        feed.follow(2, 0, taker)

        assert await taker.wait_for(1) == [("gone", None)]


async def test_without_room_nothing_is_read_and_the_others_are(topic):
    full, free = Taker(), Taker()
    full.room = False
    topic.send(0, "a")
    topic.send(1, "b")

    async with topic.feed() as feed:
        feed.follow(0, 0, full)
        feed.follow(1, 0, free)
        await free.wait_for(1)
        topic.send(1, "c")
        await free.wait_for(2)
        assert full.records == []
        full.room = True
        feed.wake()

        assert await full.wait_for(1) == [("a", "v")]


async def test_what_comes_is_there_within_milliseconds(topic):
    taker = Taker()
    took = []

    async with topic.feed() as feed:
        feed.follow(0, 0, taker)
        feed.follow(1, 0, Taker())
        for n in range(20):
            await asyncio.sleep(0.01)
            topic.send(0, f"k{n}")
            acked = time.perf_counter()
            await taker.wait_for(n + 1)
            took.append(time.perf_counter() - acked)

    assert sorted(took)[10] < 0.02, took
