"""The sink's turns between memory and log, on a store and a log that are real enough."""

import asyncio

import msgspec
import pytest

from domain.errors import Unavailable
from schemas.position import offset_of, position
from schemas.state import WEEK_MS, week_of
from streams.partition_sink import PartitionSink, SinkOptions
from streams.steps import unwatched
from tests.builders import ULIDS, a_meter_record, an_event
from tests.unit.streams.fakes import ARecord, CatalogSays, FakeLog, Owned, a_chunk

COUNT = a_meter_record("calls", id=ULIDS[1], aggregation="COUNT")
NOW = 1_790_000_000_000
LONG_AGO = NOW - 9 * WEEK_MS


class FakeWriter:
    def __init__(self):
        self.blocks = []
        self.where = None
        self.down = 0
        self.during = None

    async def write_block(self, block):
        if self.during is not None:
            await self.during()
        if self.down:
            self.down -= 1
            raise Unavailable("down")
        self.blocks.append(block)

    async def visible(self, topic, partition):
        return self.where

    def close(self):
        pass


class FakeReader:
    def __init__(self):
        self.records = []

    async def bounds(self, topic, partition):
        return 0, len(self.records)

    async def read(self, topic, partition, start, end):
        for record in self.records[start:end]:
            yield [record], record.offset + 1

    async def topic_id(self, topic):
        return "topic"


class Stage:
    def __init__(self, path):
        self.owned = Owned(path / "state", FakeLog())
        self.writer, self.reader = FakeWriter(), FakeReader()
        self.options = SinkOptions(namespace="default", topic="t", interval_ms=0)
        self.sink = None
        self.owned.partition._on_applied = self._applied

    def _applied(self, number, folded):
        if self.sink is not None:
            self.sink.take(folded)

    def start(self, **options):
        self.sink = PartitionSink(
            self.owned.partition,
            self.writer,
            self.reader,
            owner_of=lambda s: 0,
            options=msgspec_replace(self.options, options),
            reached=unwatched,
        )
        return asyncio.create_task(self.sink.run())

    async def fold(self, *ids, subject="s", timestamp=NOW):
        at = len(self.reader.records)
        values = [msgspec.json.encode(an_event(i, subject=subject)) for i in ids]
        self.reader.records += [ARecord(at + i, v, timestamp) for i, v in enumerate(values)]
        await self.owned.submit(a_chunk(*values, at=at, timestamp=timestamp))
        await self.owned.settle()

    def written(self):
        return [i for block in self.writer.blocks for i in block.events.ids]

    def counts(self):
        """Epoch to count, of the newest row of each epoch."""
        return {row.row.epoch: row.row.count for block in self.writer.blocks for row in block.rows}

    async def until(self, condition):
        async with asyncio.timeout(5):
            while not condition():  # noqa: ASYNC110 - what is waited for has no event of its own
                await asyncio.sleep(0)


def msgspec_replace(options, changes):
    from dataclasses import replace

    return replace(options, **changes)


@pytest.fixture
async def stage(tmp_path):
    found = Stage(tmp_path)
    await found.owned.partition.apply_catalog(CatalogSays([COUNT]))
    yield found
    await found.owned.partition.close()


async def stopped(task):
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_what_was_folded_before_the_sink_is_read_again_and_what_comes_is_taken_from_memory(
    stage,
):
    await stage.fold("a", "b", "a")
    task = stage.start()
    await stage.until(lambda: stage.sink.has_caught_up)
    stage.reader.read = None  # from here on the log is not asked
    await stage.fold("c")
    await stage.until(lambda: stage.sink.visible == position(4, 0))

    assert stage.written() == ["a", "b", "a", "c"]
    assert [x for block in stage.writer.blocks for x in block.events.accepted] == [
        True,
        True,
        False,
        True,
    ]
    await stopped(task)


async def test_a_partition_under_load_is_caught_up_with(stage):
    await stage.fold("a")
    task = stage.start()
    number = 0

    async def more():
        nonlocal number
        if number < 20:
            number += 1
            await stage.fold(f"live{number}")

    stage.writer.during = more
    await stage.until(lambda: number == 20 and stage.sink.visible == position(21, 0))

    assert stage.written() == ["a", *(f"live{i}" for i in range(1, 21))]
    assert len({block.first for block in stage.writer.blocks}) == len(stage.writer.blocks)
    await stopped(task)


async def test_reads_see_no_position_that_rows_are_ahead_of(stage):
    await stage.fold("a")
    await stage.fold("b")
    await stage.fold("c")
    task = stage.start(block_events_max=1)

    await stage.until(lambda: len(stage.written()) == 3)

    newest_row = -1
    for block in stage.writer.blocks:
        newest_row = max([newest_row, *(row.row.position for row in block.rows)])
        assert block.visible == 0 or block.visible > newest_row
    assert offset_of(stage.sink.visible) == 3
    await stopped(task)


async def test_who_waits_for_a_position_goes_on_when_it_is_in_clickhouse(stage):
    stage.writer.down = 10**9
    task = stage.start()
    await stage.fold("a")
    waiting = asyncio.create_task(stage.sink.written(position(1, 0)))
    await stage.until(lambda: stage.writer.down < 10**9)
    waited = not waiting.done()

    stage.writer.down = 0
    await waiting

    assert waited
    assert stage.written() == ["a"]
    await stopped(task)


async def begin_anew(stage):
    """A row of an old week, which is shut, and a row of today with the same key."""
    await stage.fold("a", "b", timestamp=LONG_AGO)
    stage.owned.partition._folder.shut(week_of(LONG_AGO))
    await stage.fold("c")


async def test_a_row_that_was_shut_is_written_beside_the_one_that_began_anew_from_the_log(stage):
    await begin_anew(stage)

    task = stage.start()
    await stage.until(lambda: stage.sink.visible == position(3, 0))

    assert stage.counts() == {position(0, 0): 2, position(2, 0): 1}
    await stopped(task)


async def test_a_row_that_was_shut_is_written_beside_the_one_that_began_anew_from_memory(stage):
    task = stage.start()
    await stage.until(lambda: stage.sink.has_caught_up)
    release = asyncio.Event()
    stage.writer.during = release.wait
    await stage.fold("0", subject="other", timestamp=LONG_AGO)
    await stage.until(
        lambda: not stage.sink._queue
    )  # the first block is under way, the rest will be one
    await begin_anew(stage)

    release.set()
    await stage.until(lambda: stage.sink.visible == position(4, 0))

    assert stage.counts() == {position(0, 0): 1, position(1, 0): 2, position(3, 0): 1}
    await stopped(task)


async def test_chunks_beyond_the_buffer_are_read_from_the_log_instead(stage):
    task = stage.start(buffer_events_max=2)
    await stage.until(lambda: stage.sink.has_caught_up)
    stage.writer.down = 10**9
    for i in range(10):
        await stage.fold(f"e{i}")
    held = stage.sink._queued

    stage.writer.down = 0
    await stage.until(lambda: stage.sink.visible == position(10, 0))

    assert held <= 2
    assert sorted(set(stage.written())) == sorted(f"e{i}" for i in range(10))
    await stopped(task)


async def test_a_chunk_that_lands_while_ranges_are_written_is_not_forgotten(stage):
    ranges = asyncio.Event()

    async def fold_once():
        if not ranges.is_set():
            ranges.set()
            await stage.fold("a")

    stage.writer.during = fold_once
    task = stage.start()

    await stage.until(lambda: stage.sink.visible == position(1, 0))

    assert stage.written() == ["a"]
    await stopped(task)
