"""Tables are made once, by as many processes as there are, and never by an older program; retention goes by arrival."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from connectors.clickhouse.client import Clients, Options
from connectors.clickhouse.migrations import Retention, SchemaTooNew, migrate, migrations
from domain.metering.rows import Row
from schemas.sink_block import Block, BlockRow, BlockUnique, EventColumns
from tests.builders import ULIDS

pytestmark = pytest.mark.integration

DAY_MS = 86_400_000
IN_2013 = 1_378_000_020
KEPT = Retention(events_days=400, usage_days=3650)


def test_many_processes_may_migrate_at_once(clickhouse_url, unique):
    every = [Clients(Options(url=clickhouse_url, database=f"t_{unique}")) for _ in range(4)]

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda clients: migrate(clients, KEPT), every))

    with every[0].client() as client:
        tables = {row[0] for row in client.query("SHOW TABLES").result_rows}
        versions = {
            row[0] for row in client.query("SELECT version FROM schema_versions").result_rows
        }
    assert tables == {
        *("events", "usage", "uniques", "meter_ranges", "visible", "schema_versions"),
        *("usage_days", "day_rolls"),
    }
    assert versions == {migration.version for migration in migrations()}


def test_the_tables_of_a_newer_program_are_refused(database):
    with database.clients.client() as client:
        client.command("INSERT INTO schema_versions VALUES (9999, '9999_later.sql', now64(3))")

    with pytest.raises(SchemaTooNew, match="has schema 9999, this program knows up to"):
        migrate(database.clients, KEPT)


def test_retention_follows_the_configuration(database):
    for days in (400, 30, 30, 90):
        migrate(database.clients, Retention(events_days=days, usage_days=10 * days))

        engines = dict(
            database.ask(
                "SELECT name, engine_full FROM system.tables WHERE database = currentDatabase()"
            )
        )
        assert f"TTL toDateTime(ingested_at) + toIntervalDay({days}) " in engines["events"]
        assert f"TTL toDateTime(updated_at) + toIntervalDay({10 * days}) " in engines["usage"]
        assert f"TTL toDateTime(updated_at) + toIntervalDay({10 * days}) " in engines["uniques"]


def a_block(position: int, arrived_ms: int) -> Block:
    events = EventColumns([f"e{position}"], ["src"], ["request"], ["s"], [IN_2013], ["{}"], [arrived_ms], [position], [True])  # fmt: skip
    return Block(
        "default",
        "om_default_events",
        0,
        position,
        position + 1,
        position + 1,
        arrived_ms,
        events=events,
        rows=[BlockRow(ULIDS[0], 1, "s", (), IN_2013 // 60, Row(position, position, 1))],
        uniques=[
            BlockUnique(ULIDS[0], 1, "s", (), IN_2013 // 60, bytes([position] * 16), position)
        ],
    )


async def test_what_arrived_long_ago_goes_and_what_is_about_long_ago_stays(database):
    now_ms = time.time_ns() // 1_000_000
    await database.writer.write_block(a_block(1, now_ms - 3 * DAY_MS))
    await database.writer.write_block(a_block(2, now_ms))

    migrate(database.clients, Retention(events_days=2, usage_days=2))

    for table in ("events", "usage", "uniques"):
        deadline = time.monotonic() + 60
        while (found := database.ask(f"SELECT position FROM {table}")) != [(2,)]:
            assert time.monotonic() < deadline, (table, found)
            await asyncio.sleep(0.05)
