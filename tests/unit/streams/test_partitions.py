import asyncio
from dataclasses import dataclass, field
from types import SimpleNamespace

import msgspec
import pytest
from faust.types import TP

from schemas.position import position
from streams.partition import PartitionOptions
from streams.partitions import Partitions, StateDoesNotFit, Topics
from streams.steps import unwatched
from tables.store import InvariantBroken, PartitionStore, SharedMemory, StoreOptions
from tests.builders import ULIDS, a_meter_record, an_event
from tests.unit.streams.fakes import FakeLog, a_chunk

COUNT = a_meter_record("calls", id=ULIDS[1], aggregation="COUNT")
USERS = a_meter_record("users", id=ULIDS[2], aggregation="UNIQUE_COUNT", value="$.user")
MINE = {TP("events", 0)}


@dataclass
class FakeReader:
    first: int = 0
    end: int = 10
    meanwhile: object = None
    asked: list = field(default_factory=list)

    async def bounds(self, topic, partition):
        self.asked.append(topic)
        return (self.first, self.end) if topic == "events" else (0, 0)

    async def read(self, topic, partition, start, end):
        for _ in range(0):
            yield [], 0

    async def topic_id(self, topic):
        if self.meanwhile is not None:
            self.meanwhile()
        return "topic"


class Live(list):
    """A catalog whose every change is one more meter."""

    version = meters_version = property(len)

    def meters(self):
        return list(self)


class FakeApp:
    def __init__(self):
        self.crashes = []

    async def crash(self, error):
        self.crashes.append(error)


@pytest.fixture
async def world(tmp_path):
    options = StoreOptions()
    memory = SharedMemory(options)
    found = SimpleNamespace(reader=FakeReader(), log=FakeLog(), live=Live([COUNT]), app=FakeApp())
    found.open = lambda number: PartitionStore(tmp_path / str(number), memory, options)
    found.partitions = Partitions(
        topics=Topics(events="events", changelog="changelog", partitions=1),
        open_store=found.open,
        destroy_store=lambda number: None,
        chunk_log=found.log,
        reader=found.reader,
        catalog=found.live,
        options=PartitionOptions(namespace="default"),
        buffer_bytes_max=1_000,
        sink=None,
        reached=unwatched,
    )
    found.partitions.attach(found.app)
    yield found
    await found.partitions.close()


def value(id):
    return msgspec.json.encode(an_event(id))


def a_message(chunk, generation=1):
    return SimpleNamespace(
        message=SimpleNamespace(partition=0, generation_id=generation, serialized_value_size=1),
        value=chunk,
    )


async def acknowledge(event):
    pass


async def settle(world):
    async with world.partitions.owned[0].standing_still():
        pass


async def test_a_meter_made_while_a_state_is_restored_counts_when_it_is(world):
    world.reader.meanwhile = lambda: world.live.append(USERS)

    await world.partitions.restore(MINE, 1)
    await settle(world)

    assert {a.meter.id for a in world.partitions.owned[0].applied()} == {COUNT.id, USERS.id}


async def test_a_catalog_change_that_comes_while_the_last_one_is_applied_is_not_missed(world):
    world.log.gate.clear()
    restoring = asyncio.create_task(world.partitions.restore(MINE, 1))
    await asyncio.wait_for(world.partitions.restored.wait(), 5)
    world.live.append(USERS)
    changing = asyncio.create_task(world.partitions.apply_catalog())
    await asyncio.sleep(0)
    world.log.gate.set()
    await asyncio.gather(restoring, changing)
    await settle(world)

    assert {a.meter.id for a in world.partitions.owned[0].applied()} == {COUNT.id, USERS.id}


async def test_a_new_owner_reads_the_catalog_to_its_end_after_the_changelog_and_tells_how_far_it_is(
    tmp_path, world
):
    steps = []

    class Teller:
        def keep_only(self, owned):
            steps.append(("forget", *owned))

        def landed(self, partition, source_next, *, catalog, newest_ms, at_once):
            steps.append((partition, catalog, at_once))

    async def caught_up():
        steps.append(list(world.reader.asked))
        world.live.append(USERS)

    partitions = Partitions(
        topics=Topics(events="events", changelog="changelog", partitions=1),
        open_store=world.open,
        destroy_store=lambda number: None,
        chunk_log=world.log,
        reader=world.reader,
        catalog=world.live,
        options=PartitionOptions(namespace="default"),
        buffer_bytes_max=1_000,
        sink=None,
        reached=unwatched,
        progress=Teller(),
        catalog_caught_up=caught_up,
    )
    await partitions.restore(MINE, 1)
    await partitions.drain()

    assert steps == [("forget",), ["changelog", "events"], (0, 2, True)]
    assert {a.meter.id for a in partitions.owned[0].applied()} == {COUNT.id, USERS.id}
    await partitions.close()


async def test_a_state_that_stands_inside_the_first_record_is_opened_again(world):
    await world.partitions.restore(MINE, 1)
    await settle(world)
    owned = world.partitions.owned[0]
    inside = position(0, 5)
    store = owned.store
    store.begin_at(inside)

    world.reader.end = 1
    await world.partitions.close()
    world.reader.bounds = _bounds_of(len(world.log.changelog))
    await world.partitions.restore(MINE, 2)

    assert world.partitions.owned[0].source_next == inside


def _bounds_of(changelog_end):
    async def bounds(topic, partition):
        return (0, 1) if topic == "events" else (0, changelog_end)

    return bounds


async def test_a_log_cut_off_before_it_was_read_stops_the_worker(world):
    await world.partitions.restore(MINE, 1)
    await settle(world)
    world.reader.first = 5

    await world.partitions.submit(a_message(a_chunk(value("a"), at=5, start=0)), acknowledge)

    assert [type(error) for error in world.app.crashes] == [StateDoesNotFit]
    assert world.partitions.owned[0].source_next == 0


async def test_markers_of_transactions_are_no_reason_to_stop(world):
    await world.partitions.restore(MINE, 1)

    await world.partitions.submit(a_message(a_chunk(value("a"), at=5, start=0)), acknowledge)
    await settle(world)

    assert world.app.crashes == []
    assert world.partitions.owned[0].source_next == position(6, 0)


async def test_a_chunk_for_a_failed_partition_stops_the_worker(world):
    await world.partitions.restore(MINE, 1)
    await settle(world)
    world.partitions.owned[0]._poison()

    await world.partitions.submit(a_message(a_chunk(value("a"))), acknowledge)

    assert [type(error) for error in world.app.crashes] == [InvariantBroken]


async def test_a_chunk_of_an_older_generation_is_dropped(world):
    await world.partitions.restore(MINE, 2)
    await settle(world)

    await world.partitions.submit(a_message(a_chunk(value("a")), generation=1), acknowledge)

    assert world.app.crashes == []
    assert world.partitions.owned[0].source_next == 0


async def test_chunks_lost_from_the_buffer_at_a_rebalance_leave_room_for_others(world):
    await world.partitions.restore(MINE, 1)
    await world.partitions.drain()
    await world.partitions.wait_for_room(900)  # its chunk is cleared from Faust's queue

    await world.partitions.close()
    world.reader.bounds = _bounds_of(len(world.log.changelog))
    await world.partitions.restore(MINE, 2)

    await asyncio.wait_for(world.partitions.wait_for_room(900), 5)
