"""Filters of any length, statements that take too long, ClickHouse going away and coming back."""

import asyncio
import time

import pytest

from connectors.clickhouse.asking import Asking
from connectors.clickhouse.client import Clients, Options
from connectors.clickhouse.sql import Parameters
from domain.errors import Refused, Unavailable
from domain.metering.filters import TextOp, TextTest
from domain.metering.listing import EventListing
from domain.metering.query import MeterQuery
from runtime.embedded.clickhouse import prepare_clickhouse
from runtime.embedded.service import free_port
from schemas.catalog import meter_of
from tests.conftest import start, stop
from tests.integration.clickhouse.counted import METER, NOON, a_block, the_count

pytestmark = pytest.mark.integration

LONG = ["é'\\\0😀" * 200 + str(i) for i in range(100)]
MANY = [f"subject-{i}" for i in range(10_000)]


async def test_filters_may_be_long_and_many(database):
    await database.writer.write_block(a_block([*LONG, "x" * 200_000, *MANY]))
    meter = meter_of(METER)

    for subjects, expected in (
        (LONG, 100),
        (MANY, 10_000),
        (["x" * 200_000], 1),
        ([*MANY, "x" * 200_000], 10_001),
    ):
        found = await database.reader.query(MeterQuery(meter=meter, subjects=tuple(subjects)))
        assert found == the_count(expected)
    only = TextTest(TextOp.IN, tuple(LONG))
    cut = MeterQuery(meter=meter, start=NOON, end=NOON + 1, subject_filters=(only,))
    assert [row.value for row in await database.reader.query(cut)] == [100]
    listing = EventListing(fields={"subject": TextTest(TextOp.NIN, (*MANY, *LONG))})
    assert [event.subject for event in await database.lister.list_events(listing)] == [
        "x" * 200_000
    ]
    pattern = TextTest(TextOp.LIKE, "%" + "x" * 4_000 + "_%")
    found = await database.lister.list_events(EventListing(fields={"subject": pattern}))
    assert len(found) == 1
    with pytest.raises(Refused, match="at most 4096 characters"):
        TextTest(TextOp.ILIKE, "x" * 5_000)


async def test_a_statement_that_takes_too_long_is_given_up_and_holds_nobody_else_up(
    clickhouse_url, open_database, unique
):
    database = open_database(f"t_{unique}")
    slow = Asking(
        Clients(Options(url=clickhouse_url, database=database.name, query_timeout_s=1.0)),
        namespace="default",
        topic="om_default_events",
        threads=1,
    )
    statement = "SELECT sum(sleepEachRow(0.01)) FROM numbers(100000) SETTINGS max_block_size = 10"
    asked = asyncio.create_task(slow.in_thread(slow.rows, statement, Parameters()))
    began = time.monotonic()

    await database.writer.write_block(a_block(["s"]))
    assert await database.reader.query(MeterQuery(meter=meter_of(METER))) == the_count(1)
    assert not asked.done()
    with pytest.raises(Unavailable, match="TIMEOUT_EXCEEDED"):
        await asked
    assert time.monotonic() - began < 20
    slow.close()


async def test_the_same_clients_go_on_after_clickhouse_was_away(tmp_path, open_database_at):
    service = prepare_clickhouse(tmp_path, free_port())
    process = start(service, tmp_path)
    try:
        database = open_database_at(service.address, "t_restart")
        await database.writer.write_block(a_block(["s"]))
        query = MeterQuery(meter=meter_of(METER))
        assert await database.reader.query(query) == the_count(1)

        stop(service, process)
        with pytest.raises(Unavailable):
            await database.reader.query(query)
        with pytest.raises(Unavailable):
            await database.lister.list_events(EventListing())
        with pytest.raises(Unavailable):
            await database.writer.write_block(a_block(["s"], 1))
        process = start(service, tmp_path)

        await database.writer.write_block(a_block(["s"], 1))
        assert [row.value for row in await database.reader.query(query)] == [2]
        assert len(await database.lister.list_events(EventListing())) == 2
    finally:
        stop(service, process)
