"""What is read equals what tests/oracle.py computes from the events that may be seen, at every moment of writing."""

import asyncio
import random
from itertools import pairwise, zip_longest

import pytest

from connectors.clickhouse.client import Clients, Options
from connectors.clickhouse.writer import UsageWriter
from domain.errors import Unavailable
from domain.metering.numbers import json_text
from domain.metering.query import MeterQuery
from schemas.catalog import meter_of
from schemas.sink_block import BlockUnique
from schemas.state import Applied
from tests import oracle
from tests.builders import a_meter_record
from tests.integration.clickhouse import history, questions
from tests.integration.clickhouse.counted import METER, NOON, a_block, the_count

pytestmark = pytest.mark.integration


async def check(database, query, stories, visible, seed):
    found = await database.reader.query(query)

    expected = oracle.answer(history.true_events(stories, visible), query)
    different = [pair for pair in zip_longest(found, expected) if pair[0] != pair[1]]
    assert oracle.same(found, expected), f"seed {seed}, {visible}: {query}\n{different}"


async def play(database, seed: int, *, events: int, asked_each: int):
    rnd = random.Random(seed)
    meters = history.meters()
    stories = [history.tell(rnd, partition, events, meters) for partition in (0, 2)]
    seconds = [s.event.second for story in stories for s in story.sent]
    waiting = [history.blocks(rnd, story) for story in stories]
    visible: dict[int, int] = {}
    while any(waiting):
        block = rnd.choice([w for w in waiting if w]).pop(0)
        await database.writer.write_block(block)
        visible[block.partition] = max(visible.get(block.partition, 0), block.visible)
        if rnd.random() < 0.2:
            database.merge(rnd.choice(("events", "usage", "uniques", "meter_ranges", "visible")))
        if rnd.random() < 0.3:
            database.roll()
        for _ in range(asked_each):
            query = questions.a_question(rnd, rnd.choice(meters), seconds)
            await check(database, query, stories, visible, seed)
    for meter in meters:
        await check(database, questions.everything(meter), stories, visible, seed)
    return rnd, meters, stories, visible


@pytest.mark.parametrize("seed", range(3))
async def test_answers_equal_the_oracle(database, seed):
    await play(database, seed, events=60, asked_each=4)


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", range(100, 112))
async def test_answers_equal_the_oracle_over_longer_histories(database, seed):
    await play(database, seed, events=400, asked_each=8)


async def test_subjects_and_group_values_are_the_distinct_ones_that_may_be_seen(database):
    rnd, meters, stories, visible = await play(database, 50, events=80, asked_each=0)
    truth = [e for e in history.true_events(stories, visible) if e.type == "request"]
    seconds = [e.second for e in truth]

    for _ in range(20):
        start, end = questions.a_bound(rnd, seconds), questions.a_bound(rnd, seconds)
        inside = [
            e
            for e in truth
            if (start is None or e.second >= start) and (end is None or e.second < end)
        ]
        meter = next(m for m in meters if m.group_by)

        assert await database.reader.subjects(meter, start, end) == sorted(
            {e.subject for e in inside}
        )
        expected = {json_text((e.data or {}).get("k", [])) for e in inside}
        assert await database.reader.group_values(meter, "k", start, end) == sorted(expected)


class CutShort(Clients):
    """Clients whose inserts fail from the chosen one on, before or after ClickHouse has got it."""

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.left = 1 << 30

    def client(self):
        self.left -= 1
        if self.left < 0:
            raise Unavailable("cut short")
        return super().client()


async def test_a_block_cut_short_anywhere_is_not_seen_until_it_is_repeated(
    database, clickhouse_url
):
    rnd = random.Random(9)
    meters = history.meters()
    story = history.tell(rnd, 1, 40, meters)
    cutting = CutShort(Options(url=clickhouse_url, database=database.name))
    writer = UsageWriter(cutting, lambda: history.NOW_MS)
    visible: dict[int, int] = {}
    bounds = [0, *(s.position for s in story.sent[8::8]), story.end]
    for first, end in pairwise(bounds):
        block = history.block(story, first, end, end, known=end)
        for inserts in range(5):
            cutting.left = inserts
            with pytest.raises(Unavailable):
                await writer.write_block(block)
            for meter in rnd.sample(meters, 2):
                await check(database, questions.everything(meter), [story], visible, 9)
                query = questions.a_question(rnd, meter, [s.event.second for s in story.sent])
                await check(database, query, [story], visible, 9)
        cutting.left = 1 << 30
        await writer.write_block(block)
        visible[1] = end
        for meter in meters:
            await check(database, questions.everything(meter), [story], visible, 9)
    writer.close()


async def test_a_row_begun_anew_brings_nothing_of_the_one_before_it_while_it_is_under_way(
    database, clickhouse_url
):
    query = MeterQuery(meter=meter_of(METER))
    await database.writer.write_block(a_block(["s"]))
    cutting = CutShort(Options(url=clickhouse_url, database=database.name))
    cutting.left = 2
    writer = UsageWriter(cutting, lambda: history.NOW_MS)

    with pytest.raises(Unavailable):
        await writer.write_block(a_block(["s"], 1))

    assert len(database.ask("SELECT epoch FROM usage")) == 2
    assert await database.reader.query(query) == the_count(1)
    writer.close()


async def test_a_value_brought_again_by_a_block_under_way_is_still_there(database, clickhouse_url):
    record = a_meter_record("models", aggregation="UNIQUE_COUNT", value="$.model")
    query = MeterQuery(meter=meter_of(record))
    first, again = a_block(["s"]), a_block(["s"], 1)
    for block in (first, again):
        block.events.datas = ['{"model":"a"}']
        block.ranges = [Applied(record, 0, None)]
        block.uniques = [BlockUnique(record.id, 1, "s", (), NOON // 60, b"h" * 16, block.first)]
    await database.writer.write_block(first)
    cutting = CutShort(Options(url=clickhouse_url, database=database.name))
    cutting.left = 2
    writer = UsageWriter(cutting, lambda: history.NOW_MS)

    with pytest.raises(Unavailable):
        await writer.write_block(again)
    database.merge("uniques")

    assert database.ask("SELECT position FROM uniques") == [(0,)]
    assert [row.value for row in await database.reader.query(query)] == [1]
    writer.close()


async def test_a_value_that_another_partition_is_about_to_bring_is_still_there(
    database, clickhouse_url
):
    record = a_meter_record("models", aggregation="UNIQUE_COUNT", value="$.model")
    query = MeterQuery(meter=meter_of(record))
    here, elsewhere = a_block(["s"], 9), a_block(["s"], 5)
    elsewhere.partition = 1
    for block in (here, elsewhere):
        block.events.datas = ['{"model":"a"}']
        block.ranges = [Applied(record, 0, None)]
        block.uniques = [BlockUnique(record.id, 1, "s", (), NOON // 60, b"h" * 16, block.first)]
    await database.writer.write_block(here)
    cutting = CutShort(Options(url=clickhouse_url, database=database.name))
    cutting.left = 2
    writer = UsageWriter(cutting, lambda: history.NOW_MS)

    with pytest.raises(Unavailable):
        await writer.write_block(elsewhere)
    database.merge("uniques")

    assert database.ask("SELECT count() FROM uniques") == [(2,)]
    assert [row.value for row in await database.reader.query(query)] == [1]
    writer.close()


async def test_answers_while_a_block_is_written_are_those_before_or_after_it(database):
    rnd = random.Random(11)
    meters = history.meters()
    story = history.tell(rnd, 0, 150, meters)
    bounds = [0, *(s.position for s in story.sent[15::15]), story.end]
    before = 0
    for first, end in pairwise(bounds):
        block = history.block(story, first, end, end, known=end)
        queries = [questions.everything(rnd.choice(meters)) for _ in range(6)]

        _, *found = await asyncio.gather(
            database.writer.write_block(block), *map(database.reader.query, queries)
        )

        for query, rows in zip(queries, found, strict=True):
            possible = [
                oracle.answer(history.true_events([story], {0: at}), query) for at in (before, end)
            ]
            assert any(oracle.same(rows, one) for one in possible), query
        before = end
