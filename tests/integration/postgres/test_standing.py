"""What waits in Postgres is counted for one namespace, with the age of the oldest."""

from datetime import timedelta

import pytest

from connectors.postgres.meters import PostgresMeters
from connectors.postgres.pool import Options
from connectors.postgres.redrives import hold_book
from connectors.postgres.standing import PostgresStanding, Standing
from tests.builders import NOON, ULIDS, a_meter

pytestmark = pytest.mark.integration


async def test_nothing_waits_at_first(pool, unique):
    assert await PostgresStanding(pool, unique).look() == Standing(
        outbox_waiting=0, outbox_oldest_s=0.0, redrives_done=0, redrives_begun=0
    )


async def test_changes_and_redrives_are_counted_for_their_namespace_only(
    pool, postgres_dsn, unique
):
    for namespace, count in ((unique, 2), (f"{unique}b", 1)):
        meters = PostgresMeters(pool, namespace, lambda: NOON)
        for n in range(count):
            await meters.create(a_meter(f"m{n}", id=ULIDS[n], namespace=namespace))
    async with hold_book(Options(dsn=postgres_dsn), unique) as book:
        await book.begin(["a", "b", "c"], NOON)
        await book.finish(["a", "b"], NOON + timedelta(seconds=1))

    found = await PostgresStanding(pool, unique).look()

    assert (found.outbox_waiting, found.redrives_done, found.redrives_begun) == (2, 2, 1)
    assert 0 < found.outbox_oldest_s < 60
