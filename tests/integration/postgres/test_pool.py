"""Migrations and the pool: started twice, too new, not there, wrong."""

import asyncio
import time

import asyncpg
import pytest

from connectors.postgres.migrations import known_migrations, migrate
from connectors.postgres.pool import Options, PostgresProblem, connection, open_pool
from domain.errors import Unavailable
from runtime.embedded.service import free_port

pytestmark = pytest.mark.integration


@pytest.fixture
async def empty_dsn(postgres_dsn, unique):
    """A database of its own without tables."""
    server = await asyncpg.connect(postgres_dsn)
    await server.execute(f"CREATE DATABASE t_{unique}")
    yield postgres_dsn.rsplit("/", 1)[0] + f"/t_{unique}"
    await server.execute(f"DROP DATABASE t_{unique} WITH (FORCE)")
    await server.close()


async def test_processes_that_start_at_once_migrate_once(empty_dsn):
    pools = await asyncio.gather(*(open_pool(Options(dsn=empty_dsn, pool_max=1)) for _ in range(8)))

    await asyncio.gather(*(migrate(pool) for pool in pools))

    async with connection(pools[0]) as reading:
        rows = await reading.fetch("SELECT number, name FROM migrations ORDER BY number")
    await asyncio.gather(*(pool.close() for pool in pools))
    assert [tuple(row) for row in rows] == [(m.number, m.name) for m in known_migrations()]


async def test_a_database_of_a_newer_version_is_refused(empty_dsn):
    async with await open_pool(Options(dsn=empty_dsn)) as pool:
        await migrate(pool)
        async with connection(pool) as writing:
            await writing.execute("INSERT INTO migrations (number, name) VALUES (999, 'later.sql')")

        with pytest.raises(PostgresProblem, match="0999 by a newer meterstream"):
            await migrate(pool)


async def test_the_tables_of_others_are_left_alone(empty_dsn):
    other = await asyncpg.connect(empty_dsn)
    await other.execute("CREATE TABLE meters (theirs integer)")

    async with await open_pool(Options(dsn=empty_dsn)) as pool:
        await migrate(pool)

    assert await other.fetch("SELECT theirs FROM public.meters") == []
    await other.close()


async def test_a_server_that_is_not_there_is_unavailable_after_the_wait():
    began = time.monotonic()

    with pytest.raises(Unavailable):
        await open_pool(Options(dsn=f"postgresql://x@127.0.0.1:{free_port()}/x", wait_s=0.5))

    assert 0.2 < time.monotonic() - began < 4


async def test_what_waiting_does_not_solve_is_said_at_once(postgres_dsn):
    for dsn in (postgres_dsn.rsplit("/", 1)[0] + "/nowhere", "mysql://somewhere"):
        with pytest.raises(PostgresProblem, match=r"postgres\.dsn"):
            await open_pool(Options(dsn=dsn, wait_s=20))


async def test_a_statement_that_takes_too_long_and_a_lost_connection_are_unavailable(postgres_dsn):
    async with await open_pool(Options(dsn=postgres_dsn, pool_max=1, statement_timeout_s=0.2)) as pool:  # fmt: skip
        with pytest.raises(Unavailable):
            async with connection(pool) as slow:
                await slow.execute("SELECT pg_sleep(5)")
        with pytest.raises(Unavailable):
            async with connection(pool) as dying:
                await dying.execute("SELECT pg_terminate_backend(pg_backend_pid())")

        async with connection(pool) as again:
            assert await again.fetchval("SELECT 1") == 1
