"""Series of usage equal the plain folding of the events that may be seen, at every moment of writing; rows are those of the log."""

import asyncio
import random
from collections import defaultdict
from datetime import UTC, datetime
from itertools import pairwise

import pytest

from connectors.clickhouse.client import Clients, Options
from connectors.clickhouse.usage_series import SeriesOptions, UsageSeries
from connectors.clickhouse.writer import UsageWriter
from domain.errors import Refused, Unavailable
from domain.metering.filters import TextOp, TextTest, text_matches
from domain.metering.fold import groupings, unique_texts
from domain.metering.meter import Aggregation
from domain.metering.numbers import json_text
from domain.metering.rows import merge
from schemas.catalog import meter_of
from schemas.state import value_hash
from tests.builders import a_meter_record
from tests.integration.clickhouse import history, questions
from tests.integration.clickhouse.counted import METER, NOON, a_block

pytestmark = pytest.mark.integration


@pytest.fixture
def open_series(database):
    opened = []

    def open_one(**bounds):
        where = {"namespace": "default", "topic": database.topic, "threads": 2}
        series = UsageSeries(database.clients, **where, options=SeriesOptions(**bounds))
        opened.append(series)
        return series

    yield open_one
    for series in opened:
        series.close()


@pytest.fixture
def series(open_series):
    return open_series()


def what_counts(row, aggregation):
    """The part of a row that a balance of the aggregation looks at."""
    if aggregation in (Aggregation.COUNT, Aggregation.UNIQUE_COUNT):
        return row.count
    if aggregation is Aggregation.LATEST:
        return row.latest
    if aggregation in (Aggregation.SUM, Aggregation.AVG):
        outside = None if row.outside is None else pytest.approx(row.outside, rel=1e-12)
        return (row.numeric, row.total, outside)
    return (row.numeric, row.least if aggregation is Aggregation.MIN else row.most)


def asked_events(stories, visible, meter, subjects, start, end, filters):
    """The events of the answer, by (subject, minute, groups, partition)."""
    ((grouping,),) = groupings([meter]).values()
    found = defaultdict(list)
    for story in stories:
        for s in story.sent:
            event = s.event
            minute = event.second // 60
            groups = tuple(json_text(find(event.data)) for find in grouping.find_groups)
            named = dict(zip(sorted(meter.group_by), groups, strict=True))
            if (
                s.accepted
                and s.position < visible.get(story.partition, 0)
                and event.type == meter.event_type
                and event.subject in subjects
                and minute >= start
                and (end is None or minute < end)
                and all(text_matches(test, named[key]) for key, test in filters)
            ):
                found[event.subject, minute, groups, story.partition].append(s)
    return found


def folded(meter, sent):
    ((grouping,),) = groupings([meter]).values()
    (measure,) = grouping.measures
    values = [measure.find_value and measure.find_value(s.event.data) for s in sent]
    indexes = range(len(sent))
    row = measure.fold(
        None, indexes, [s.position for s in sent], [s.event.second for s in sent], values
    )
    hashes = {value_hash(text) for text in unique_texts(indexes, values)}
    return row, hashes if measure.counts_uniques else set()


def check(found, expected_events, stories, visible, meter):
    """All events once, and every row of the log in the state that it had at the moment."""
    assert found.visible == visible
    keys = [(r.subject, r.minute, r.groups, r.partition, r.row.epoch) for r in found.rows]
    assert len(set(keys)) == len(keys)
    by_minute, values, epochs = {}, defaultdict(set), defaultdict(set)
    for r in found.rows:
        key = (r.subject, r.minute, r.groups, r.partition)
        by_minute[key] = merge(by_minute[key], r.row) if key in by_minute else r.row
        values[key] |= r.values
        epochs[key].add(r.row.epoch)
    assert set(by_minute) == set(expected_events)
    for key, sent in expected_events.items():
        row, hashes = folded(meter, sent)
        got = by_minute[key]
        assert (got.epoch, got.position, got.count) == (row.epoch, row.position, row.count)
        assert what_counts(got, meter.aggregation) == what_counts(row, meter.aggregation)
        assert values[key] == hashes
    for story in stories:
        for (full, epoch), versions in story.versions.items():
            known = [row for row in versions if row.position < visible.get(story.partition, 0)]
            key = (*full[2], story.partition)
            if full[:2] == (meter.id, meter.version) and key in by_minute and known:
                (r,) = [
                    r
                    for r in found.rows
                    if (r.subject, r.minute, r.groups, r.partition, r.row.epoch) == (*key, epoch)
                ]
                assert (r.row.position, r.row.count) == (known[-1].position, known[-1].count)
                assert what_counts(known[-1], meter.aggregation) == what_counts(
                    r.row, meter.aggregation
                )


def a_request(rnd, meter, seconds):
    subjects = rnd.sample(history.SUBJECTS, rnd.randint(1, 9))
    start = rnd.choice([0, rnd.choice(seconds) // 60 + rnd.choice((-1, 0, 1))])
    end = rnd.choice([None, rnd.choice(seconds) // 60 + rnd.choice((0, 1))])
    filters = [
        (key, questions.a_filter(rnd, questions.TEXTS))
        for key in meter.group_by
        if rnd.random() < 0.3
    ]
    return subjects, max(start, 0), end, filters


@pytest.mark.parametrize("seed", range(3))
async def test_a_series_has_every_event_once_in_the_rows_of_the_log(database, series, seed):
    rnd = random.Random(seed)
    meters = history.meters()
    stories = [history.tell(rnd, partition, 60, meters) for partition in (0, 2)]
    seconds = [s.event.second for story in stories for s in story.sent]
    waiting = [history.blocks(rnd, story) for story in stories]
    visible = {}
    while any(waiting):
        block = rnd.choice([w for w in waiting if w]).pop(0)
        await database.writer.write_block(block)
        visible[block.partition] = max(visible.get(block.partition, 0), block.visible)
        if rnd.random() < 0.2:
            database.merge(rnd.choice(("events", "usage", "uniques")))
        for meter in rnd.sample(meters, 3):
            subjects, start, end, filters = a_request(rnd, meter, seconds)

            found = await series.read(meter, subjects, start, end, filters)

            expected = asked_events(stories, visible, meter, subjects, start, end, filters)
            check(found, expected, stories, visible, meter)
    for meter in meters:
        found = await series.read(meter, history.SUBJECTS, 0)
        expected = asked_events(stories, visible, meter, history.SUBJECTS, 0, None, [])
        check(found, expected, stories, visible, meter)


class CutShort(Clients):
    """Clients whose inserts fail from the chosen one on."""

    def __init__(self, options):
        super().__init__(options)
        self.left = 1 << 30

    def client(self):
        self.left -= 1
        if self.left < 0:
            raise Unavailable("cut short")
        return super().client()


async def test_a_block_cut_short_anywhere_changes_no_series(database, series, clickhouse_url):
    rnd = random.Random(9)
    meters = history.meters()
    story = history.tell(rnd, 1, 40, meters)
    cutting = CutShort(Options(url=clickhouse_url, database=database.name))
    writer = UsageWriter(cutting, lambda: history.NOW_MS)
    visible = {}
    bounds = [0, *(s.position for s in story.sent[10::10]), story.end]
    for first, end in pairwise(bounds):
        block = history.block(story, first, end, end, known=end)
        for inserts in range(5):
            cutting.left = inserts
            with pytest.raises(Unavailable):
                await writer.write_block(block)
            for meter in rnd.sample(meters, 2):
                found = await series.read(meter, history.SUBJECTS, 0)

                expected = asked_events([story], visible, meter, history.SUBJECTS, 0, None, [])
                check(found, expected, [story], visible, meter)
        cutting.left = 1 << 30
        await writer.write_block(block)
        visible[1] = end
    writer.close()


async def test_many_subjects_are_read_in_one_call(database, series):
    subjects = [f"s{i}" for i in range(2_500)]
    await database.writer.write_block(a_block(subjects))

    found = await series.read(meter_of(METER), subjects, NOON // 60)

    assert sorted(r.subject for r in found.rows) == sorted(subjects)
    assert {r.row.count for r in found.rows} == {1}


async def test_a_series_with_too_many_rows_is_refused_by_name(database, open_series):
    subjects = [f"s{i}" for i in range(11)]
    await database.writer.write_block(a_block(subjects))

    with pytest.raises(Refused, match="history_rows_max") as refused:
        await open_series(rows_max=10).read(meter_of(METER), subjects, 0)

    assert refused.value.code == "history_too_long"
    assert len((await open_series(rows_max=11).read(meter_of(METER), subjects, 0)).rows) == 11


async def test_a_filter_on_a_key_that_the_meter_does_not_have_tests_an_empty_text(database, series):
    await database.writer.write_block(a_block(["s"]))
    meter = meter_of(METER)

    none = await series.read(meter, ["s"], 0, None, [("model", TextTest(TextOp.EQ, "gpt-4"))])
    all_ = await series.read(meter, ["s"], 0, None, [("model", TextTest(TextOp.NE, "gpt-4"))])

    assert (len(none.rows), len(all_.rows)) == (0, 1)


async def test_what_happened_before_the_meters_first_minute_is_left_out(database, series):
    from_noon = meter_of(METER)
    a_minute_later = datetime.fromtimestamp(NOON + 60, UTC)
    record = a_meter_record("calls", aggregation="COUNT", event_from=a_minute_later)
    await database.writer.write_block(a_block(["s"]))

    assert len((await series.read(from_noon, ["s"], 0)).rows) == 1
    assert (await series.read(meter_of(record), ["s"], 0)).rows == ()


async def test_without_subjects_or_before_the_first_block_there_is_nothing(database, series):
    assert (await series.read(meter_of(METER), ["s"], 0)).rows == ()
    await database.writer.write_block(a_block(["s"]))

    found = await series.read(meter_of(METER), [], 0)

    assert found.rows == ()
    assert dict(found.visible) == dict(await series.visible()) == {0: 1}


async def test_reads_while_a_block_is_written_are_of_before_or_after_it(database, series):
    rnd = random.Random(11)
    meters = history.meters()
    story = history.tell(rnd, 0, 120, meters)
    bounds = [0, *(s.position for s in story.sent[20::20]), story.end]
    for first, end in pairwise(bounds):
        block = history.block(story, first, end, end, known=end)
        chosen = rnd.sample(meters, 4)

        _, *found = await asyncio.gather(
            database.writer.write_block(block),
            *(series.read(meter, history.SUBJECTS, 0) for meter in chosen),
        )

        for meter, one in zip(chosen, found, strict=True):
            assert one.visible.get(0, 0) in (first, end)
            expected = asked_events([story], one.visible, meter, history.SUBJECTS, 0, None, [])
            check(one, expected, [story], one.visible, meter)
