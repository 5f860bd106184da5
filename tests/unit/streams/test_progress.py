import asyncio

import pytest

from domain.errors import Unavailable
from schemas.usage_records import decode_progress, progress_key
from streams.progress import ProgressOptions, ProgressTeller


class Log:
    def __init__(self):
        self.fails, self.told, self.by_partition = False, [], []
        self.changed = asyncio.Event()

    async def append_progress(self, records):
        if self.fails:
            raise Unavailable("no broker")
        self.by_partition.append(records)
        (same,) = {tuple(found) for found in records.values()}
        for key, value in same:
            progress = decode_progress(value)
            assert key == progress_key(progress.partition)
            self.told.append(progress)
        self.changed.set()


class World:
    def __init__(self, **options):
        self.log, self.whole = Log(), {}
        self.teller = ProgressTeller(
            self.log, self.whole.get, ProgressOptions(partitions=3, **options)
        )

    def landed(self, partition=0, source_next=10, *, catalog=1, newest_ms=5, at_once=False):
        self.teller.landed(
            partition, source_next, catalog=catalog, newest_ms=newest_ms, at_once=at_once
        )

    async def tell(self, times=1):
        before = len(self.log.told)
        for _ in range(times):
            await self.teller.tell()
        return [(p.partition, p.source_next, p.catalog, p.as_of_ms) for p in self.log.told[before:]]


@pytest.fixture
def world():
    return World()


async def test_every_partition_of_the_usage_topic_is_told_how_far_each_source_partition_is(world):
    world.landed(0, 10, catalog=3, newest_ms=50)
    world.landed(2, 20, catalog=4, newest_ms=60)

    told = await world.tell()

    assert told == [(0, 10, 3, 50), (2, 20, 4, 60)]
    assert list(world.log.by_partition[0]) == [0, 1, 2]


async def test_of_chunks_between_two_times_only_the_last_is_told_and_nothing_twice(world):
    world.landed(source_next=10)
    world.landed(source_next=12, newest_ms=7)

    assert await world.tell(3) == [(0, 12, 1, 7)]


async def test_where_nothing_is_left_to_count_the_time_is_that_of_the_last_look(world):
    world.landed(newest_ms=5)
    world.whole[0] = 900

    assert await world.tell() == [(0, 10, 1, 900)]


async def test_an_idle_partition_is_told_of_less_and_less_often_until_something_happens(world):
    world.landed()
    told_at = []
    for tick in range(25):
        world.whole[0] = 100 + tick
        told_at += [tick] * len(await world.tell())

    world.landed(source_next=11)
    world.whole[0] = 500

    assert told_at == [0, 1, 3, 7, 12, 17, 22]
    assert await world.tell() == [(0, 11, 1, 500)]
    assert len(await world.tell()) == 1


async def test_a_partition_that_has_something_to_count_and_does_not_move_is_not_told_of(world):
    world.landed()
    await world.tell()

    assert await world.tell(20) == []


async def test_a_time_that_was_told_never_goes_back(world):
    world.landed(newest_ms=5)
    world.whole[0] = 900
    await world.tell()
    del world.whole[0]

    world.landed(source_next=11, newest_ms=700)

    assert await world.tell() == [(0, 11, 1, 900)]


async def test_a_change_of_the_catalog_is_told_at_once():
    world = World(interval_s=3600)
    running = asyncio.create_task(world.teller.run())
    world.landed(catalog=8, at_once=True)

    await asyncio.wait_for(world.log.changed.wait(), 5)

    assert [p.catalog for p in world.log.told] == [8]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_what_kafka_did_not_take_is_told_later():
    world = World(interval_s=0.001)
    world.log.fails = True
    world.landed(source_next=10)
    running = asyncio.create_task(world.teller.run())
    with pytest.raises(Unavailable):
        await world.teller.tell()

    world.landed(source_next=11)
    world.log.fails = False
    await asyncio.wait_for(world.log.changed.wait(), 5)

    assert [p.source_next for p in world.log.told] == [11]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_partition_that_others_have_now_is_told_of_no_more(world):
    world.landed(0)
    world.landed(1)
    world.teller.keep_only([1])

    assert [told[0] for told in await world.tell()] == [1]
