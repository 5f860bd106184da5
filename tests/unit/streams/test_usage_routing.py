"""Where a partition sends its rows, and when it says how far it is."""

import asyncio

import msgspec
import pytest

from schemas import state
from schemas.partitioner import partition_of
from schemas.position import position
from schemas.usage_records import is_unique
from streams.attribution import Attribution
from tests.builders import ULIDS, a_meter_record, an_event
from tests.unit.streams.fakes import CatalogSays, FakeCustomers, FakeLog, Owned, a_chunk

P = 4
OWN = 0
COUNT = a_meter_record("calls", id=ULIDS[1], aggregation="COUNT")
USERS = a_meter_record("users", id=ULIDS[2], aggregation="UNIQUE_COUNT", value="$.user")
ACME, ZETA = (
    next(id for id in map("c{}".format, range(99)) if partition_of(id.encode(), P) == number)
    for number in (1, 2)
)
"""Customers of partitions 1 and 2."""


def value(id, subject="s1", **data):
    return msgspec.json.encode(an_event(id, subject=subject, **data))


class Landings:
    """Who would tell others, and what the usage topic had been given at each time."""

    def __init__(self, log):
        self.log, self.found = log, []

    def landed(self, partition, source_next, *, catalog, newest_ms, at_once):
        self.found.append((source_next, catalog, at_once, len(self.log.told)))


class World:
    def __init__(self, path, **options):
        self.log, self.customers = FakeLog(), FakeCustomers(s1=ACME)
        self.landings = Landings(self.log)
        self.owned = Owned(
            path,
            self.log,
            attribution=Attribution(self.customers, P),
            progress=self.landings,
            **options,
        )
        self.partition = self.owned.partition

    def rows_in(self, number):
        """(meter, subject) -> count, of the newest rows in a partition of the usage topic."""
        found = {}
        for key, told in self.log.usage_of[number].items():
            if not is_unique(key) and told is not None:
                row_key, row = state.decode_row_key(key[:-8]), state.decode_row(told)
                found[row_key.meter, row_key.subject] = row.count
        return found

    def uniques_in(self, number):
        """Subjects whose values are in a partition of the usage topic."""
        return sorted(
            state.decode_row_key(told).subject
            for key, told in self.log.usage_of[number].items()
            if is_unique(key) and told is not None
        )


@pytest.fixture
async def world(tmp_path):
    found = World(tmp_path / "state")
    await found.partition.apply_catalog(CatalogSays([COUNT, USERS]))
    await found.owned.settle()
    yield found
    await found.partition.close()
    assert found.owned.failures == []


async def test_rows_and_values_go_to_the_partition_of_the_subjects_customer(world):
    await world.owned.submit(a_chunk(value("a", user="u"), value("b", "s2", user="u")))
    await world.owned.settle()

    assert world.rows_in(1) == {(COUNT.id, "s1"): 1, (USERS.id, "s1"): 1}
    assert world.rows_in(OWN) == {(COUNT.id, "s2"): 1, (USERS.id, "s2"): 1}
    assert [world.uniques_in(number) for number in (OWN, 1, 2)] == [["s2"], ["s1"], []]


async def test_after_a_subject_has_moved_its_rows_go_to_its_new_customers_partition(world):
    await world.owned.submit(a_chunk(value("a", user="u")))
    world.customers.move("s1", ZETA)
    await world.owned.submit(a_chunk(value("b", user="v"), at=1))
    world.customers.move("s1", None)
    await world.owned.submit(a_chunk(value("c", user="w"), at=2))
    await world.owned.settle()

    counts = [world.rows_in(number)[COUNT.id, "s1"] for number in (1, 2, OWN)]
    assert counts == [1, 2, 3]
    assert [len(world.uniques_in(number)) for number in (1, 2, OWN)] == [1, 1, 1]


async def test_a_change_of_the_catalog_is_told_with_the_position_from_which_it_holds(world):
    await world.owned.submit(a_chunk(value("a")))
    catalog = CatalogSays([COUNT, USERS])
    world.log.gate.clear()
    await world.owned.submit(a_chunk(value("b"), at=1))
    before = len(world.landings.found)

    changing = asyncio.create_task(world.partition.apply_catalog(catalog))
    await asyncio.sleep(0)
    while_unacknowledged = len(world.landings.found)
    world.log.gate.set()
    await changing
    await world.owned.settle()

    assert while_unacknowledged == before
    *_, (chunk_next, chunk_catalog, _, _), (next_, version, at_once, told) = world.landings.found
    assert (next_, version, at_once) == (position(2, 0), catalog.version, True)
    assert (chunk_next, chunk_catalog) == (position(2, 0), catalog.version - 1)
    assert told == len(world.log.told), "every row below the position was sent before"


async def test_a_change_that_is_none_of_the_meters_does_not_wait_for_chunks_under_way(world):
    world.log.gate.clear()
    await world.owned.submit(a_chunk(value("a")))
    same_meters = CatalogOfVersion(world.partition._meters_version, 77)

    await asyncio.wait_for(world.partition.apply_catalog(same_meters), 5)

    world.log.gate.set()
    await world.owned.settle()
    assert world.landings.found[-1][:3] == (position(1, 0), 77, True)


class CatalogOfVersion:
    def __init__(self, meters_version, version):
        self.meters_version, self.version = meters_version, version

    def meters(self):
        raise AssertionError("the meters are as they were")


async def test_a_batch_that_does_not_count_tells_nothing(world):
    before = list(world.landings.found)
    world.log.changelog.append((b"m", b"another worker's"))

    await world.partition.apply_catalog(CatalogOfVersion(world.partition._meters_version, 99))
    await world.partition.drain()

    assert [type(error).__name__ for error in world.owned.failures] == ["InvariantBroken"]
    assert world.landings.found == before
    world.owned.failures.clear()


async def test_an_expired_row_is_deleted_where_it_is_and_at_its_customer(tmp_path):
    week = state.WEEK_MS
    long_ago = 2_900 * week
    world = World(tmp_path / "state", window_ms=week)
    await world.partition.apply_catalog(CatalogSays([COUNT, USERS]))
    await world.owned.submit(
        a_chunk(value("a", user="u"), value("b", "s2", user="u"), timestamp=long_ago)
    )
    world.customers.move("s2", ZETA)
    await world.owned.submit(a_chunk(value("c", "s3"), at=2, timestamp=long_ago + 9 * week))
    await world.owned.settle()

    async def at_once(position):
        """The sink has it."""

    await world.partition.expire(at_once)

    assert world.rows_in(1) == {}
    assert (world.uniques_in(1), world.uniques_in(OWN)) == ([], ["s3"])
    assert {subject for _, subject in world.rows_in(OWN)} == {"s3"}
    assert all(told is None for told in world.log.usage_of[2].values())
    await world.partition.close()
    assert world.owned.failures == []
