"""The clock that tests set, and what goes by it."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from domain.errors import Unavailable
from runtime import clock
from runtime.testing_clock import ClockSwitch, follow
from schemas.catalog import ClockRecord, catalog_record
from tests.builders import a_meter_record

MARCH = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def switch():
    yield ClockSwitch()
    clock.set_time(None)


def a_change(at=MARCH, version=1, ago=timedelta(), frozen=False):
    since = at and clock.wall_now() - ago
    return catalog_record(ClockRecord(at=at, since=since, frozen=frozen), version)


def test_rules_go_by_the_time_that_was_set_and_on_from_there(switch):
    switch.take(a_change(ago=timedelta(minutes=5)))

    assert timedelta() <= clock.now() - MARCH - timedelta(minutes=5) < timedelta(seconds=5)
    assert clock.now_ms() // 60_000 == int(MARCH.timestamp()) // 60 + 5


def test_a_frozen_time_stands(switch):
    switch.take(a_change(ago=timedelta(minutes=5), frozen=True))

    assert clock.now() == MARCH


def test_arrival_goes_by_the_real_time(switch):
    switch.take(a_change())

    assert clock.wall_now() - clock.now() > timedelta(days=30)
    assert abs(clock.wall_ms() - clock.wall_now().timestamp() * 1000) < 5_000


def test_the_newest_change_counts_in_whatever_order_they_come(switch):
    switch.take(a_change(MARCH, version=7, frozen=True))
    switch.take(a_change(MARCH + timedelta(days=9), version=6))
    switch.take(catalog_record(a_meter_record(), 8))

    assert clock.now() == MARCH
    switch.take(a_change(None, version=9))
    assert abs(clock.now() - clock.wall_now()) < timedelta(seconds=5)


async def test_what_another_process_sets_is_followed_through_an_outage(switch):
    answers = iter([Unavailable("Postgres"), None, a_change(frozen=True)])
    done = asyncio.Event()

    class Stored:
        async def read(self):
            found = next(answers, None)
            if found is None and switch.version:
                done.set()
            if isinstance(found, Exception):
                raise found
            return found

    following = asyncio.create_task(follow(Stored(), switch))
    async with asyncio.timeout(5):
        await done.wait()
    following.cancel()

    assert clock.now() == MARCH
