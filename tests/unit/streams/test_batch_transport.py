"""What the consumer adds to Faust's, without a broker."""

from collections import defaultdict
from types import SimpleNamespace

import pytest
from faust.types import TP

from schemas.position import position
from streams.batch_transport import Consumer
from tables.store import InvariantBroken
from tests.unit.streams.fakes import ARecord

TP0, TP1 = TP("events", 0), TP("events", 1)


class FakePartitions:
    def __init__(self):
        self.stands = {TP0: 0, TP1: 0}

    def unread(self, tp, records):
        return records

    def source_next(self, tp):
        return self.stands.get(tp)

    async def wait_for_room(self, size):
        pass


class Standing(Consumer):
    """The consumer's own parts on a fetch that the test gives."""

    def __init__(self):
        self._covered = {}
        self.fetched = {}
        self._acked, self._acked_index = defaultdict(list), defaultdict(set)
        self._buffered_partitions = set()
        self.active = {TP0, TP1}
        self.flow_active = True
        self.suspend_flow = SimpleNamespace(wait=lambda: None)
        self.app_ = SimpleNamespace(consumer_generation_id=1, partitions=FakePartitions())

    app = property(lambda self: self.app_)
    should_stop = False

    async def _wait_next_records(self, timeout):  # noqa: ASYNC109 - as Faust has it
        return self.fetched, self.active

    async def wait_first(self, room, suspended):
        await room

    def highwater(self, tp):
        return None

    async def fetch(self, **offsets):
        self.fetched = {
            tp: [_record(tp, offset) for offset in offsets[name]]
            for name, tp in (("p0", TP0), ("p1", TP1))
            if name in offsets
        }
        return [(tp, message.value.start) async for tp, message in self.getmany(1.0)]


def _record(tp, offset):
    record = ARecord(offset, b"x")
    return SimpleNamespace(
        offset=record.offset,
        value=record.value,
        timestamp=record.timestamp,
        timestamp_type=1,
        topic=tp.topic,
        partition=tp.partition,
    )


async def test_a_chunk_begins_where_the_one_before_ended_whatever_offsets_are_missing():
    consumer = Standing()
    consumer._covered = {TP0: 3, TP1: 0}

    first = await consumer.fetch(p0=[3, 4], p1=[0])
    second = await consumer.fetch(p0=[7])
    third = await consumer.fetch(p0=[8], p1=[1])

    assert first == [(TP0, 3), (TP1, 0)]
    assert second == [(TP0, 5)]
    assert third == [(TP0, 8), (TP1, 1)]


async def test_after_records_were_left_out_a_chunk_begins_at_its_first_record():
    consumer = Standing()
    consumer._covered = {TP0: 0, TP1: 0}
    consumer.active = {TP1}
    await consumer.fetch(p0=[0, 1], p1=[0])
    consumer.active = {TP0, TP1}

    found = await consumer.fetch(p0=[2])

    assert found == [(TP0, 2)]


async def test_after_a_fetch_that_was_broken_off_a_chunk_begins_at_its_first_record():
    consumer = Standing()
    consumer._covered = {TP0: 0, TP1: 0}
    consumer.fetched = {TP0: [_record(TP0, 0)], TP1: [_record(TP1, 0)]}
    async for _ in consumer.getmany(1.0):
        consumer.app_.consumer_generation_id = 2

    consumer.app_.consumer_generation_id = 2
    found = await consumer.fetch(p0=[1], p1=[1])

    assert found == [(TP0, 1), (TP1, 1)]


def test_the_offset_to_commit_never_passes_the_state():
    consumer = Standing()
    consumer.app_.partitions.stands[TP0] = position(5, 0)
    consumer._acked[TP0] = [2, 4]

    committed = consumer._new_offset(TP0)
    consumer._acked[TP0] = [5]

    assert committed == 5
    with pytest.raises(InvariantBroken):
        consumer._new_offset(TP0)


def test_nothing_is_committed_for_a_partition_that_is_not_owned():
    consumer = Standing()
    consumer.app_.partitions.stands.clear()
    consumer._acked[TP0] = [2]

    assert consumer._new_offset(TP0) is None
