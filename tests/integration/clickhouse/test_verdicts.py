"""Verdicts of stored events are found by exact id, each once, and the day's count is that of the visible accepted ones."""

import random
from collections import Counter

import pytest

from connectors.clickhouse.verdicts import EventVerdicts
from domain.metering.verdicts import VerdictListing
from tests.integration.clickhouse.test_listing import NOON, a_block, an_event, store

pytestmark = pytest.mark.integration


@pytest.fixture
def verdicts(database):
    found = EventVerdicts(
        database.clients, namespace="default", topic="om_default_events", threads=2
    )
    yield found
    found.close()


async def test_every_verdict_is_found_once_also_when_it_was_written_twice_or_is_not_visible_yet(
    database, verdicts
):
    rnd = random.Random(5)
    made = [(an_event(rnd, 2, p), rnd.random() < 0.7) for p in range(200)]
    for first in (0, 20, 40):  # overlapping blocks, and nothing is visible
        await database.writer.write_block(a_block(made[first:], 2, first, 200, 0))

    for id in {event.id for event, _ in made}:
        found = await verdicts.find(VerdictListing(id=id, limit=1000))

        assert [(v.position, v.subject, v.accepted) for v in found] == [
            (event.position, event.subject, accepted) for event, accepted in made if event.id == id
        ]


async def test_source_subject_and_time_narrow_it(database, verdicts):
    rnd = random.Random(6)
    made = [(an_event(rnd, 2, p), True) for p in range(200)]
    await database.writer.write_block(a_block(made, 2, 0, 200, 200))
    wanted = next(event for event, _ in made if event.time_s > NOON)

    found = await verdicts.find(
        VerdictListing(
            id=wanted.id,
            source=wanted.source,
            subject=wanted.subject,
            start_s=wanted.time_s,
            end_s=wanted.time_s + 1,
        )
    )

    fitting = [
        event.position
        for event, _ in made
        if (event.id, event.source, event.subject, event.time_s)
        == (wanted.id, wanted.source, wanted.subject, wanted.time_s)
    ]
    assert [v.position for v in found] == fitting


async def test_the_count_is_that_of_visible_accepted_events_by_their_own_time(database, verdicts):
    seen = await store(database, random.Random(7))
    since = NOON + 60

    counted = await verdicts.counted_since(since, 1000)

    assert dict(counted) == Counter(event.subject for event in seen if event.time_s >= since)
    assert counted == sorted(counted, key=lambda one: (-one[1], one[0].encode()))
    assert await verdicts.counted_since(since, 2) == counted[:2]
