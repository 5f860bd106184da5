"""From a commit in Postgres to the worker's catalog feed: in order, nothing lost, whoever dies."""

import asyncio
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import pytest

from connectors.kafka import catalog_feed
from connectors.postgres.locks import lock_key
from connectors.postgres.meters import PostgresMeters
from connectors.postgres.migrations import migrate
from connectors.postgres.pool import Options, connection, open_pool
from domain.errors import Unavailable
from runtime.embedded.postgres import prepare_postgres
from runtime.embedded.service import free_port
from schemas import topics
from schemas.catalog import meter_of
from streams.catalog import Catalog
from tests.builders import NOON, ULIDS, a_meter
from tests.conftest import start, stop
from tests.relays import (
    a_relay,
    make_catalog_topic,
    outbox_and_topic,
    published,
    run_relay_that_is_killed,
)

pytestmark = pytest.mark.integration


@pytest.fixture
def namespace(kafka_address, unique):
    make_catalog_topic(kafka_address, unique)
    return unique


@pytest.fixture
async def pool(postgres_dsn):
    async with await open_pool(Options(dsn=postgres_dsn)) as opened:
        await migrate(opened)
        yield opened


@pytest.fixture
def meters(pool, namespace):
    return PostgresMeters(pool, namespace, lambda: NOON)


@pytest.fixture
async def relays(postgres_dsn, kafka_address, namespace):
    """Makes relays, and stops those that were started."""
    made = []

    def make(dsn=postgres_dsn):
        made.append(a_relay(dsn, kafka_address, namespace))
        made[-1].start()
        return made[-1]

    yield make
    await asyncio.gather(*(relay.stop() for relay in made))


@pytest.fixture
async def catalog(kafka_address, namespace):
    """The catalog as a worker follows it."""
    async with _following(kafka_address, namespace) as followed:
        yield followed


class _following:
    def __init__(self, kafka, namespace):
        options = catalog_feed.Options(
            bootstrap_servers=kafka, topic=topics.names(namespace).catalog
        )
        self._feed = catalog_feed.CatalogFeed(
            options,
            lambda error: None,
            on_unreadable=lambda: pytest.fail("a record that cannot be read"),
        )

    async def __aenter__(self):
        self.changed = asyncio.Event()
        catalog = Catalog(lambda record: self.changed.set())
        catalog.changed = self.changed
        await self._feed.start(catalog.take)
        return catalog

    async def __aexit__(self, *error):
        await self._feed.stop()


async def carried(pool, namespace):
    """Wait until the outbox is empty."""
    async with asyncio.timeout(60):
        while True:
            async with connection(pool) as reading:
                if not await reading.fetchval("SELECT count(*) FROM outbox WHERE namespace = $1", namespace):  # fmt: skip
                    return
            await asyncio.sleep(0.02)


async def reached(catalog, version):
    async with asyncio.timeout(30):
        while catalog.version < version:
            await catalog.changed.wait()
            catalog.changed.clear()


async def everything(meters):
    return await meters.list_meters(order_by="key", descending=False, include_deleted=True, limit=1000)  # fmt: skip


def in_order(records):
    """A repeat may start anew at an earlier change, but nothing is skipped or left behind something newer."""
    first_seen = list(dict.fromkeys(record.version for record in records))
    assert first_seen == sorted(first_seen)
    last = {record.meter.id: record.version for record in records}
    assert last == {meter: max(r.version for r in records if r.meter.id == meter) for meter in last}


async def change_much(meters, namespace, *, meters_made=5, changes=20, pause_s=0.0):
    """Writers at once; goes on through what is unavailable for a while."""

    async def insist(call):
        async with asyncio.timeout(60):
            while True:
                try:
                    return await call()
                except Unavailable:
                    await asyncio.sleep(0.05)

    async def one(number):
        meter = a_meter(f"m{number}", id=ULIDS[number], namespace=namespace)
        await insist(lambda: meters.create(meter))
        for n in range(changes):
            await insist(lambda n=n: meters.update(meter.id, lambda m: replace(m, name=f"n{n}")))
            await asyncio.sleep(pause_s)

    await asyncio.gather(*(one(number) for number in range(meters_made)))


async def test_a_change_reaches_the_workers_soon(meters, relays, catalog, namespace):
    relays()
    await meters.create(a_meter(namespace=namespace))
    await reached(catalog, 1)
    delays_s = []

    for n in range(20):
        began, before = time.monotonic(), catalog.version
        await meters.update("tokens", lambda m, n=n: replace(m, name=f"n{n}"))
        await reached(catalog, before + 1)
        delays_s.append(time.monotonic() - began)

    assert sorted(delays_s)[10] < 0.5, delays_s


async def test_a_relay_killed_between_ack_and_removal_only_repeats(
    meters, pool, relays, namespace, postgres_dsn, kafka_address
):
    await change_much(meters, namespace, meters_made=3, changes=3)

    assert await asyncio.to_thread(run_relay_that_is_killed, postgres_dsn, kafka_address, namespace) == -9  # fmt: skip
    before = await asyncio.to_thread(published, kafka_address, namespace)
    relays()
    await carried(pool, namespace)

    records = await asyncio.to_thread(published, kafka_address, namespace)
    assert len(before) == 12
    assert records == before * 2
    async with _following(kafka_address, namespace) as catalog:
        assert sorted(map(meter_of, [m for m in catalog.meters() if m.deleted_at is None]), key=lambda m: m.slug) == await everything(meters)  # fmt: skip


async def test_relays_that_lose_their_sessions_again_and_again_publish_in_order(
    meters, pool, relays, namespace, kafka_address
):
    done = asyncio.Event()
    for _ in range(3):
        relays()

    async def cut():
        lost = 0
        while not done.is_set():
            async with connection(pool) as cutting:
                lost += await cutting.fetchval(
                    "SELECT count(pg_terminate_backend(pid)) FROM pg_locks"
                    " WHERE locktype = 'advisory' AND granted AND pid != pg_backend_pid()"
                    " AND (classid::bigint << 32 | objid::bigint) = $1",
                    lock_key("relay", namespace),
                )
            await asyncio.sleep(0.15)
        return lost

    cutting = asyncio.create_task(cut())
    await change_much(meters, namespace, pause_s=0.1)
    done.set()
    lost = await cutting
    await carried(pool, namespace)

    assert lost >= 3
    in_order(await asyncio.to_thread(published, kafka_address, namespace))
    async with _following(kafka_address, namespace) as catalog:
        assert sorted(map(meter_of, [m for m in catalog.meters() if m.deleted_at is None]), key=lambda m: m.slug) == await everything(meters)  # fmt: skip


async def test_a_restart_of_postgres_loses_no_change(namespace, kafka_address, relays):
    with tempfile.TemporaryDirectory(prefix="meterstream-pg-", ignore_cleanup_errors=True) as name:
        service = await asyncio.to_thread(prepare_postgres, Path(name), free_port())
        process = await asyncio.to_thread(start, service, Path(name))
        try:
            pool = await open_pool(Options(dsn=service.address))
            await migrate(pool)
            meters = PostgresMeters(pool, namespace, lambda: NOON)
            relay = relays(service.address)
            changing = asyncio.create_task(change_much(meters, namespace, pause_s=0.1))
            await asyncio.sleep(0.8)
            await asyncio.to_thread(stop, service, process)
            process = await asyncio.to_thread(start, service, Path(name))
            await changing
            await carried(pool, namespace)
            await relay.stop()

            in_order(await asyncio.to_thread(published, kafka_address, namespace))
            async with _following(kafka_address, namespace) as catalog:
                assert sorted(map(meter_of, [m for m in catalog.meters() if m.deleted_at is None]), key=lambda m: m.slug) == await everything(meters)  # fmt: skip
            await pool.close()
        finally:
            await asyncio.to_thread(stop, service, process)


async def test_who_lost_the_topic_can_no_longer_write(
    meters, pool, namespace, postgres_dsn, kafka_address
):
    """What a relay read before it lost its turn must not land behind what its successor wrote."""
    outbox, topic = outbox_and_topic(postgres_dsn, kafka_address, namespace)
    await meters.create(a_meter(namespace=namespace))
    async with outbox.hold() as held:
        old = await held.read(10)
        await meters.update("tokens", lambda m: replace(m, name="newer"))
        new = await held.read(10)

    async with topic.write() as former, topic.write() as successor:
        await successor.publish(new)
        with pytest.raises(Unavailable):
            await former.publish(old)

    assert await asyncio.to_thread(published, kafka_address, namespace) == new


async def test_a_standby_takes_over_when_the_holder_stops(meters, pool, relays, namespace):
    first = relays()
    await meters.create(a_meter(namespace=namespace))
    await carried(pool, namespace)
    relays()

    await first.stop()
    await meters.delete("tokens")

    await carried(pool, namespace)
