"""Changes at the same time: nothing is lost, and the outbox's ids grow in the order of the commits."""

import asyncio
from dataclasses import replace

import pytest

from connectors.postgres.changes import append_change, catalog_change
from connectors.postgres.meters import PostgresMeters
from connectors.postgres.outbox import PostgresOutbox
from connectors.postgres.pool import Options, open_pool
from domain.errors import Conflict
from domain.metering.ulid import new_ulid
from runtime.config import MeterConfig
from runtime.ids import new_id
from runtime.seeds import seed_meters
from schemas.catalog import record_of
from tests.builders import NOON, ULIDS, a_meter

pytestmark = pytest.mark.integration


@pytest.fixture
def meters(pool, unique):
    return PostgresMeters(pool, unique, lambda: NOON)


@pytest.fixture
async def held(postgres_dsn, unique):
    async with PostgresOutbox(Options(dsn=postgres_dsn), unique).hold() as outbox:
        yield outbox


async def test_of_many_creates_of_one_slug_exactly_one_wins(meters, held, unique):
    made = await asyncio.gather(
        *(meters.create(a_meter(id=ULIDS[n], namespace=unique)) for n in range(20)),
        return_exceptions=True,
    )

    won = [each for each in made if not isinstance(each, BaseException)]
    assert len(won) == 1
    assert all(isinstance(each, Conflict) for each in made if each is not won[0])
    assert await meters.find("tokens") == won[0]
    assert [record.meter.id for record in await held.read(100)] == [won[0].id]


async def test_updates_at_the_same_time_lose_nothing(meters, unique):
    await meters.create(a_meter(namespace=unique))

    def add(found, number):
        return replace(found, metadata={**(found.metadata or {}), f"k{number}": "v"})

    await asyncio.gather(
        *(meters.update("tokens", lambda found, n=n: add(found, n)) for n in range(30))
    )

    assert (await meters.find("tokens")).metadata == {f"k{n}": "v" for n in range(30)}


async def test_a_change_that_fails_leaves_no_outbox_row(meters, held, unique):
    await meters.create(a_meter(namespace=unique))

    def refuse(found):
        raise KeyError("no")

    with pytest.raises(KeyError):
        await meters.update("tokens", refuse)
    with pytest.raises(Conflict):
        await meters.create(a_meter(id=ULIDS[1], namespace=unique))

    assert [record.meter.slug for record in await held.read(100)] == ["tokens"]


async def test_what_changes_nothing_tells_nobody(meters, held, unique):
    await meters.create(a_meter(namespace=unique))
    await meters.delete("tokens")
    told = await held.read(100)

    await meters.delete(ULIDS[0])
    await meters.update(ULIDS[0], lambda found: found)

    assert await held.read(100) == told
    assert [record.meter.deleted_at for record in told] == [None, NOON]


async def test_a_reader_never_passes_an_id_that_commits_later(postgres_dsn, meters, held, unique):
    """20 writers, some slow and some that roll back; a reader that removes what it saw misses nothing."""
    async with await open_pool(Options(dsn=postgres_dsn, pool_max=20)) as pool:
        seen, done = [], asyncio.Event()

        async def write(writer):
            for n in range(10):
                meter = a_meter(f"m{writer}", id=new_ulid(writer, bytes(10)), namespace=unique, version=n + 1)  # fmt: skip
                try:
                    async with catalog_change(pool, unique) as change:
                        await append_change(change, meter.namespace, record_of(meter))
                        if (writer + n) % 5 == 0:
                            await change.execute("SELECT pg_sleep(0.002)")
                        if (writer + n) % 7 == 0:
                            raise KeyError("rolled back")
                except KeyError:
                    continue

        async def read():
            while True:
                last = done.is_set()
                records = await held.read(7)
                seen.extend(records)
                await held.remove([record.version for record in records])
                if last and not records:
                    return

        reader = asyncio.create_task(read())
        await asyncio.gather(*(write(writer) for writer in range(20)))
        done.set()
        await reader

    versions = [record.version for record in seen]
    assert versions == sorted(set(versions))
    expected = {(f"m{w}", n + 1) for w in range(20) for n in range(10) if (w + n) % 7}
    assert {(record.meter.slug, record.meter.version) for record in seen} == expected
    assert len(seen) == len(expected)


async def test_namespaces_do_not_see_each_other(pool, meters, held, unique):
    other = PostgresMeters(pool, f"{unique}_b", lambda: NOON)
    mine = await meters.create(a_meter(namespace=unique))
    theirs = await other.create(a_meter(namespace=f"{unique}_b"))

    assert await meters.find("tokens") == mine
    assert await other.find("tokens") == theirs
    assert [record.meter.namespace for record in await held.read(100)] == [unique]


async def test_only_one_process_holds_the_outbox(postgres_dsn, held, unique):
    second = PostgresOutbox(Options(dsn=postgres_dsn), unique)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.7), second.hold():
            pass


async def test_processes_that_start_at_once_seed_a_meter_once(meters, held, unique):
    wanted = [MeterConfig(slug=f"m{n}", aggregation="COUNT", event_type="call") for n in range(5)]

    await asyncio.gather(
        *(
            seed_meters(wanted, meters, namespace=unique, now=lambda: NOON, new_id=new_id)
            for _ in range(4)
        )
    )

    assert sorted(record.meter.slug for record in await held.read(100)) == [f"m{n}" for n in range(5)]  # fmt: skip


async def test_new_ids_are_ulids_that_differ():
    assert len({new_id() for _ in range(1000)}) == 1000
