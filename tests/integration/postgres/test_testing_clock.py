"""The clock in Postgres: kept, told to the workers in the same transaction, and to this process at once."""

from datetime import UTC, datetime

import pytest

from connectors.postgres.outbox import PostgresOutbox
from connectors.postgres.pool import Options
from connectors.postgres.testing_clock import PostgresTestingClock
from tests.builders import NOON

pytestmark = pytest.mark.integration

MARCH = datetime(2026, 3, 1, tzinfo=UTC)


async def test_a_change_is_kept_and_told(pool, unique, postgres_dsn):
    told = []
    stored = PostgresTestingClock(pool, unique, lambda: NOON, told.append)
    other = PostgresTestingClock(pool, unique, lambda: NOON, told.append)
    assert await stored.read() is None

    first = await stored.set(MARCH, frozen=True)
    second = await stored.set(None, frozen=False)

    assert (first.at, first.since, first.frozen) == (MARCH, NOON, True)
    assert (second.at, second.since) == (None, None)
    assert [record.clock for record in told] == [first, second]
    assert await other.read() == told[-1]
    async with PostgresOutbox(Options(dsn=postgres_dsn), unique).hold() as outbox:
        assert await outbox.read(10) == told
