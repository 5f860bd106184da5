"""What the consumer adds to Faust's, without a broker."""

from collections import defaultdict
from types import SimpleNamespace

import pytest
from faust.types import TP

from schemas.position import position
from streams.batch_transport import Consumer
from streams.whole_logs import FETCH_WAIT_MS, WholeLogs
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

    async def pace(self):
        pass


class FakeKafka:
    """As much of aiokafka's consumer as says where logs end and what was searched."""

    def __init__(self):
        self.ends, self.positions, self.asked_ms = {}, {}, 0
        states = SimpleNamespace(state_value=self._state)
        self._subscription = SimpleNamespace(subscription=SimpleNamespace(assignment=states))

    def _state(self, tp):
        position = self.positions.get(tp)
        return SimpleNamespace(has_valid_position=position is not None, position=position)

    def highwater(self, tp):
        assert tp in self.ends, "Partition is not assigned"
        return self.ends[tp]

    def last_poll_timestamp(self, tp):
        return self.asked_ms


class Standing(Consumer):
    """The consumer's own parts on a fetch that the test gives."""

    def __init__(self):
        self._covered = {}
        self._logs = WholeLogs()
        self.kafka = FakeKafka()
        self._thread = SimpleNamespace(_ensure_consumer=lambda: self.kafka)
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


def whole_at(logs, kafka, *, counted, handed_out=None, now_ms=1_000):
    return logs.whole_at(kafka, TP0, counted=counted, handed_out=handed_out, now_ms=now_ms)


def test_a_log_is_whole_now_when_all_up_to_its_end_is_counted_and_fetches_are_answered():
    logs, kafka = WholeLogs(), FakeKafka()
    kafka.ends[TP0], kafka.asked_ms = 7, 900

    found = [whole_at(logs, kafka, counted=counted) for counted in (6, 7)]
    silent = whole_at(logs, kafka, counted=7, now_ms=900 + FETCH_WAIT_MS + 1_000)

    assert found == [None, 1_000]
    assert silent == 900


def test_of_a_partition_that_is_not_fetched_nothing_is_known():
    logs, kafka = WholeLogs(), FakeKafka()

    lost = whole_at(logs, kafka, counted=7)
    kafka.ends[TP0] = None

    assert lost is None
    assert whole_at(logs, kafka, counted=7) is None


def test_a_log_that_ends_in_markers_of_transactions_is_whole_when_they_were_passed():
    logs, kafka = WholeLogs(), FakeKafka()
    kafka.ends[TP0], kafka.asked_ms, kafka.positions[TP0] = 9, 900, 9

    unknown = whole_at(logs, kafka, counted=7, handed_out=7)
    logs.note_fetch(kafka, [TP0], {TP0: ["a record on its way"]})
    on_its_way = whole_at(logs, kafka, counted=7, handed_out=7)
    logs.note_fetch(kafka, [TP0], {})
    passed = whole_at(logs, kafka, counted=7, handed_out=7)
    not_counted = whole_at(logs, kafka, counted=6, handed_out=7)
    kafka.ends[TP0] = 10
    more_came = whole_at(logs, kafka, counted=7, handed_out=7)

    assert [unknown, on_its_way, passed, not_counted, more_came] == [None, None, 1_000, None, None]
