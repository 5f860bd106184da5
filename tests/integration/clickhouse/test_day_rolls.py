"""Days that are added up: read while they stand, never when something has touched the day since."""

import asyncio
import time

import pytest

from connectors.clickhouse.asking import Asking
from connectors.clickhouse.client import Options
from connectors.clickhouse.day_rolls import DayRolls
from connectors.clickhouse.roller import Roller
from connectors.clickhouse.writer import UsageWriter
from domain.errors import Unavailable
from domain.metering.answer import plan
from domain.metering.query import MeterQuery
from domain.metering.windows import WindowSize
from schemas.catalog import meter_of
from tests.integration.clickhouse.counted import METER, NOON, a_block, the_count
from tests.integration.clickhouse.test_answers import CutShort

pytestmark = pytest.mark.integration

QUERY = MeterQuery(meter=meter_of(METER))


def forget_minutes(database):
    """Changes what the minutes say, and not what touched them last: only a roll still knows the count."""
    with database.clients.client() as client:
        client.command("ALTER TABLE usage UPDATE count = 1000 WHERE 1 SETTINGS mutations_sync = 2")


async def values(database, **more):
    return [row.value for row in await database.reader.query(MeterQuery(meter=QUERY.meter, **more))]


async def test_a_day_that_was_added_up_is_read_from_its_roll(database):
    await database.writer.write_block(a_block(["a", "b", "b"]))
    database.reader.roller.roll(quiet_s=0)
    forget_minutes(database)

    assert await database.reader.query(QUERY) == the_count(3)
    assert await values(database, window_size=WindowSize.MONTH, zone="Asia/Kathmandu") == [3]
    assert sorted(await values(database, by_subject=True)) == [1, 2]


async def test_minutes_are_read_for_hours_and_for_days_of_another_zone(database):
    await database.writer.write_block(a_block(["a"]))
    database.reader.roller.roll(quiet_s=0)
    forget_minutes(database)

    assert await values(database, window_size=WindowSize.HOUR) == [1000]
    assert await values(database, window_size=WindowSize.DAY, zone="Asia/Kathmandu") == [1000]
    assert await values(database, subjects=("a",)) == [1000]


async def test_a_day_touched_since_is_read_by_the_minute_until_it_is_added_up_anew(database):
    await database.writer.write_block(a_block(["a"]))
    database.reader.roller.roll(quiet_s=0)

    await database.writer.write_block(a_block(["b"], 1))
    before = await database.reader.query(QUERY)
    rolled = database.reader.roller.roll(quiet_s=0)
    forget_minutes(database)

    assert before == the_count(2)
    assert rolled == 1
    assert await database.reader.query(QUERY) == the_count(2)
    assert database.reader.roller.roll(quiet_s=0) == 0


async def test_a_block_under_way_is_in_no_roll(database, clickhouse_url):
    await database.writer.write_block(a_block(["a"]))
    cutting = CutShort(Options(url=clickhouse_url, database=database.name))
    cutting.left = 2
    writer = UsageWriter(cutting, lambda: 0)
    with pytest.raises(Unavailable):
        await writer.write_block(a_block(["b"], 1))
    writer.close()

    database.reader.roller.roll(quiet_s=0)

    assert database.ask("SELECT count() FROM day_rolls") == [(0,)]
    assert await database.reader.query(QUERY) == the_count(1)


async def test_a_day_touched_lately_waits(database):
    block = a_block(["a"])
    block.newest_ms = time.time_ns() // 1_000_000
    await database.writer.write_block(block)

    assert database.reader.roller.roll(quiet_s=600) == 0


async def test_rolls_that_others_replaced_are_deleted_and_those_that_count_stay(database):
    for first in (0, 1):
        await database.writer.write_block(a_block(["a"], first))
        database.reader.roller.roll(quiet_s=0)
    before = database.ask("SELECT count() FROM usage_days")

    database.reader.roller.clean(after_s=3600)
    kept = database.ask("SELECT count() FROM usage_days")
    database.reader.roller.clean(after_s=0)

    assert before == kept == [(4,)]
    assert database.ask("SELECT count() FROM usage_days") == [(2,)]
    assert await database.reader.query(QUERY) == the_count(2)


async def test_the_thread_adds_days_up_by_itself_and_ends(database):
    block = a_block(["a"])
    block.newest_ms = time.time_ns() // 1_000_000 - 3_600_000
    await database.writer.write_block(block)

    database.reader.roller.start()

    deadline = time.monotonic() + 20
    while not database.ask("SELECT count() FROM day_rolls")[0][0]:
        assert time.monotonic() < deadline, "no day was added up"
        await asyncio.sleep(0.02)
    database.reader.roller.stop()


async def test_a_roll_of_what_a_question_may_not_see_yet_is_not_for_it(database):
    for first in (0, 1):
        await database.writer.write_block(a_block(["a"], first))
    database.reader.roller.roll(quiet_s=0)
    rolls = DayRolls(Asking(database.clients, namespace="default", topic=database.topic, threads=1))

    assert rolls.usable(QUERY, plan(QUERY), {0: 1}) == {}
    assert list(rolls.usable(QUERY, plan(QUERY), {0: 2})) == [NOON // 86_400]


class Repeating(Asking):
    """The way to ClickHouse sends every insert again, as some do when a connection breaks before the answer."""

    def command(self, sql, parameters, settings):
        super().command(sql, parameters, settings)
        super().command(sql, parameters, settings)


async def test_a_roll_that_was_written_twice_is_not_read(database):
    await database.writer.write_block(a_block(["a", "b"]))
    repeating = Repeating(database.clients, namespace="default", topic=database.topic, threads=1)

    Roller(repeating).roll(quiet_s=0)

    assert database.ask("SELECT count() > 2 FROM usage_days") == [(True,)]
    assert database.ask("SELECT count() FROM day_rolls") == [(0,)]
    assert await database.reader.query(QUERY) == the_count(2)
