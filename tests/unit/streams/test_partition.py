import asyncio

import msgspec
import pytest

from schemas import state
from schemas.position import position
from tables.store import InvariantBroken
from tests.builders import NOON, ULIDS, a_meter_record, an_event
from tests.unit.streams.fakes import CatalogSays, FakeLog, Owned, a_chunk

WEEK = state.WEEK_MS
LONG_AGO = 2_900 * WEEK
NOW = LONG_AGO + 9 * WEEK


def value(id="e1", **changes):
    return msgspec.json.encode({**an_event(id, **changes)})


def meters(*records):
    return CatalogSays(list(records))


COUNT = a_meter_record("calls", id=ULIDS[1], aggregation="COUNT")
USERS = a_meter_record("users", id=ULIDS[2], aggregation="UNIQUE_COUNT", value="$.user")


@pytest.fixture
async def owned(tmp_path):
    found = Owned(tmp_path / "state", FakeLog())
    await found.partition.apply_catalog(meters(COUNT))
    await found.settle()
    yield found
    await found.partition.close()


def log_of(owned) -> FakeLog:
    return owned.partition._log


async def at_once(position):
    """The sink has written it already."""


async def test_a_chunk_is_acknowledged_when_it_is_on_disk(owned):
    log = log_of(owned)
    log.gate.clear()
    await owned.submit(a_chunk(value("a"), value("b")))
    before = (list(owned.acknowledged), owned.store.source_next)

    log.gate.set()
    await owned.settle()

    assert before == ([], 0)
    assert owned.acknowledged == [1]
    assert owned.store.source_next == position(2, 0)


async def test_a_log_that_fails_ends_the_partition_and_nothing_follows(owned):
    log = log_of(owned)
    log.fails = OSError("broker gone")
    await owned.submit(a_chunk(value("a")))
    await owned.partition.drain()
    sent = len(log.batches)

    await owned.submit(a_chunk(value("b"), at=1))

    assert [str(error) for error in owned.failures] == ["broker gone"]
    assert owned.acknowledged == []
    assert owned.store.source_next == 0
    assert len(log.batches) == sent


async def test_a_chunk_that_cannot_be_sent_ends_the_partition_although_it_is_folded(owned):
    log = log_of(owned)
    log.refuses = ValueError("too large")
    await owned.submit(a_chunk(value("a")))
    log.refuses = None

    await owned.submit(a_chunk(value("b"), at=1))

    assert [str(error) for error in owned.failures] == ["too large"]
    assert owned.store.source_next == 0


async def test_whoever_waits_for_room_goes_on_when_the_chunks_before_have_failed(tmp_path):
    log = FakeLog()
    owned = Owned(tmp_path / "state", log, in_flight_chunks=1)
    await owned.partition.apply_catalog(meters(COUNT))
    await owned.settle()
    log.gate.clear()
    await owned.submit(a_chunk(value("a")))
    waiting = asyncio.create_task(owned.submit(a_chunk(value("b"), at=1)))
    await asyncio.sleep(0)

    log.fails = OSError("broker gone")
    log.gate.set()

    await asyncio.wait_for(waiting, 5)
    await asyncio.wait_for(owned.partition.drain(), 5)
    await owned.partition.close()


async def test_a_partition_that_is_given_up_takes_no_chunk_and_finishes_the_one_under_way(owned):
    log = log_of(owned)
    log.gate.clear()
    await owned.submit(a_chunk(value("a")))
    draining = asyncio.create_task(owned.partition.drain())
    await asyncio.sleep(0)
    await_late = asyncio.create_task(owned.submit(a_chunk(value("b"), at=1)))

    log.gate.set()
    await asyncio.gather(draining, await_late)

    assert owned.acknowledged == [0]
    assert owned.store.source_next == position(1, 0)


async def test_records_that_were_left_out_stop_the_worker(owned):
    await owned.submit(a_chunk(value("a")))

    await owned.submit(a_chunk(value("c"), at=2))

    assert isinstance(owned.failures[0], InvariantBroken)


async def test_offsets_without_records_are_no_hole(owned):
    await owned.submit(a_chunk(value("a")))
    await owned.submit(a_chunk(value("b"), at=5, start=1))
    await owned.settle()

    assert owned.failures == []
    assert owned.folded[-1].decoded.first == position(1, 0)
    assert owned.store.source_next == position(6, 0)


async def test_a_chunk_whose_changelog_is_too_long_goes_in_smaller_parts(tmp_path):
    log = FakeLog()
    owned = Owned(tmp_path / "state", log, changelog_bytes_max=2_000)
    await owned.partition.apply_catalog(meters(COUNT))
    batches = len(log.batches)

    await owned.submit(a_chunk(*[value(f"e{i}", subject=f"s{i}") for i in range(64)]))
    await owned.settle()

    assert owned.failures == []
    assert len(log.batches) - batches > 4
    assert sum(folded.accepted for folded in owned.folded) == 64
    assert owned.acknowledged == [63]
    await owned.partition.close()


async def test_an_event_whose_rows_fit_into_no_batch_is_rejected_and_the_next_is_counted(tmp_path):
    log = FakeLog()
    owned = Owned(tmp_path / "state", log, changelog_bytes_max=3_000)
    await owned.partition.apply_catalog(meters(COUNT))

    await owned.submit(a_chunk(value("long", subject="s" * 4_000), value("next")))
    await owned.settle()

    assert [event.code for event in log.rejected] == ["rows_too_large"]
    assert sum(folded.accepted for folded in owned.folded) == 1
    assert owned.store.source_next == position(2, 0)
    await owned.partition.close()


async def test_a_meter_counts_from_where_it_was_made_to_where_it_was_deleted(owned):
    await owned.submit(a_chunk(value("a")))
    await owned.partition.apply_catalog(meters(COUNT, USERS))
    await owned.submit(a_chunk(value("b", user="u"), at=1))
    deleted = msgspec.structs.replace(COUNT, deleted_at=NOON)
    await owned.partition.apply_catalog(meters(deleted, USERS))
    await owned.settle()

    ranges = {a.meter.id: (a.start, a.until) for a in owned.store.applied()}
    assert ranges == {
        COUNT.id: (0, position(2, 0)),
        USERS.id: (position(1, 0), None),
    }


async def test_a_meter_is_told_to_clickhouse_when_the_changelog_has_it_and_not_before(owned):
    log = log_of(owned)
    log.gate.clear()
    await owned.partition.apply_catalog(meters(COUNT, USERS))
    before = {a.meter.id for a in owned.partition.applied()}

    log.gate.set()
    await owned.settle()

    assert before == {COUNT.id}
    assert {a.meter.id for a in owned.partition.applied()} == {COUNT.id, USERS.id}


async def test_an_owner_that_has_read_less_of_the_catalog_stops_nothing(owned):
    regrouped = msgspec.structs.replace(COUNT, group_by={"g": "$.g"}, version=2)
    await owned.partition.apply_catalog(meters(regrouped, USERS))
    await owned.submit(a_chunk(value("a")))

    await owned.partition.apply_catalog(meters(COUNT))
    await owned.settle()

    ranges = {(a.meter.id, a.meter.version): (a.start, a.until) for a in owned.store.applied()}
    assert ranges == {(COUNT.id, 1): (0, 0), (COUNT.id, 2): (0, None), (USERS.id, 1): (0, None)}


async def test_a_week_that_left_the_window_goes_with_its_tombstones_and_late_events_open_new_rows(
    tmp_path,
):
    log = FakeLog()
    owned = Owned(tmp_path / "state", log)
    await owned.partition.apply_catalog(meters(COUNT, USERS))
    await owned.submit(
        a_chunk(value("a", user="u1"), value("b", subject="s2", user="u1"), timestamp=LONG_AGO)
    )
    await owned.submit(a_chunk(value("c", subject="s3", user="u9"), at=2, timestamp=NOW))
    await owned.settle()

    await owned.partition.expire(at_once)
    await owned.submit(a_chunk(value("d", user="u1"), at=3, timestamp=NOW))
    await owned.settle()

    assert owned.failures == []
    assert owned.store._weeks.live() == [state.week_of(NOW)]
    weeks = {int.from_bytes(key[1:3]) for key in log.live_keys() if key[:1] in b"wi"}
    assert weeks == {state.week_of(NOW)}
    (late,) = [changed.rows for changed in owned.folded[-1].rows if changed.meter.id == COUNT.id]
    assert [(row.epoch, row.count) for row in late] == [(position(3, 0), 1)]
    published = {key for key, told in log.usage.items() if told is not None}
    # the tombstones stand between the two chunks
    _, before, *_, late_ones = log.usage_batches
    assert published == {*before, *late_ones}
    await owned.partition.close()


async def test_a_week_waits_until_the_sink_has_written_what_was_folded_before(tmp_path):
    owned = Owned(tmp_path / "state", FakeLog())
    await owned.partition.apply_catalog(meters(COUNT))
    await owned.submit(a_chunk(value("a"), timestamp=LONG_AGO))
    await owned.submit(a_chunk(value("b"), at=1, timestamp=NOW))
    await owned.settle()
    asked = asyncio.Queue()
    written = asyncio.Event()

    async def when_written(position):
        await asked.put(position)
        await written.wait()

    expiring = asyncio.create_task(owned.partition.expire(when_written))
    waits_for = await asyncio.wait_for(asked.get(), 5)
    await owned.submit(a_chunk(value("c"), at=2, timestamp=NOW))
    await owned.settle()
    weeks_while_waiting = owned.store._weeks.live()
    written.set()
    await expiring

    assert waits_for == position(2, 0)
    assert weeks_while_waiting == [state.week_of(LONG_AGO), state.week_of(NOW)]
    (late,) = owned.folded[-1].rows
    assert [(row.epoch, row.count) for row in late.rows] == [(position(2, 0), 1)]
    assert owned.store._weeks.live() == [state.week_of(NOW)]
    await owned.partition.close()


async def test_a_row_that_began_anew_while_its_week_is_dropped_keeps_its_place_in_the_usage_topic(
    tmp_path,
):
    log = FakeLog()
    owned = Owned(tmp_path / "state", log)
    await owned.partition.apply_catalog(meters(COUNT))
    await owned.submit(a_chunk(value("a"), timestamp=LONG_AGO))
    await owned.submit(a_chunk(value("b", subject="s2"), at=1, timestamp=NOW))
    await owned.settle()
    owned.partition._folder.shut(state.week_of(LONG_AGO))
    await owned.submit(a_chunk(value("c"), at=2, timestamp=NOW))
    await owned.settle()

    await owned.partition.expire(at_once)

    *_, began_anew, tombstones = log.usage_batches
    (key,) = began_anew
    assert key not in tombstones
    assert state.decode_row(log.usage[key]).epoch == position(2, 0)
    assert owned.store._weeks.live() == [state.week_of(NOW)]
    await owned.partition.close()


async def test_an_expiry_that_was_interrupted_is_finished_after_a_restart(tmp_path):
    log = FakeLog()

    class Killed(BaseException):
        pass

    def kill(step):
        if step == "expiry_applied":
            raise Killed

    owned = Owned(tmp_path / "state", log, reached=kill)
    await owned.partition.apply_catalog(meters(COUNT))
    await owned.submit(a_chunk(value("a"), timestamp=LONG_AGO))
    await owned.submit(a_chunk(value("b", subject="s2"), at=1, timestamp=NOW))
    await owned.settle()
    with pytest.raises(Killed):
        await owned.partition.expire(at_once)
    await owned.partition.close()

    again = Owned(tmp_path / "state", log)
    await again.partition.expire(at_once)

    assert again.failures == []
    assert again.store._weeks.live() == [state.week_of(NOW)]
    assert again.store.changelog_next == len(log.changelog)
    await again.partition.close()


def test_of_a_meter_the_newest_record_is_known():
    from streams.catalog import Catalog

    changes = []
    catalog = Catalog(changes.append)
    record = catalog_record(COUNT, 1)
    catalog.take(record)
    catalog.take(catalog_record(msgspec.structs.replace(COUNT, deleted_at=NOON), 3))

    catalog.take(catalog_record(COUNT, 2))

    assert [meter.deleted_at for meter in catalog.meters()] == [NOON]
    assert [change.version for change in changes] == [1, 3]


def test_a_meter_that_breaks_a_rule_is_left_out_and_the_others_go_on():
    from streams.catalog import Catalog

    catalog = Catalog(lambda change: None)
    catalog.take(catalog_record(COUNT, 1))

    catalog.take(catalog_record(msgspec.structs.replace(USERS, value_property="$..x"), 2))
    catalog.take(catalog_record(a_meter_record(id=ULIDS[7]), 3))

    assert [meter.id for meter in catalog.meters()] == [COUNT.id, ULIDS[7]]


def catalog_record(meter, version):
    from schemas.catalog import CatalogRecord

    return CatalogRecord(kind="meter", version=version, meter=meter)


async def test_a_record_for_the_route_agent_is_in_the_raw_topic_before_its_chunk_is_done(tmp_path):
    owned = Owned(tmp_path / "state", FakeLog(), hand_over=True)
    log = log_of(owned)
    log.raw_gate.clear()
    await owned.submit(a_chunk(value("a"), b"\x00\x00\x00\x00\x07rest"))
    for _ in range(50):
        await asyncio.sleep(0)
    before = list(owned.acknowledged)

    log.raw_gate.set()
    await owned.settle()

    assert before == []
    assert [raw.value for raw in log.raw] == [b"\x00\x00\x00\x00\x07rest"]
    assert owned.acknowledged == [1]
    assert owned.store.source_next == position(2, 0)
    await owned.partition.close()
