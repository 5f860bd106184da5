"""Sending refused records again, on fakes: whatever breaks off where, and whenever it is run again, each counts once."""

from datetime import timedelta

import msgspec
import pytest

from connectors.kafka.original_records import OriginalRecord
from connectors.postgres.redrives import Redrive
from domain.errors import Unavailable
from domain.metering.rejected import Place, RejectedListing
from runtime.redrive.judging import with_changes
from runtime.redrive.run import BATCH_RECORDS_MAX, Order, Redriver, Report
from runtime.redrive.speech import as_values, listed, told
from schemas.avro_schemas import DIRECTORY
from schemas.partitioner import partition_of
from schemas.rejected import decode_rejected
from streams.fetched_schemas import FetchedSchemas, SchemaOptions
from tests.avro_events import VERSION_2, confluent
from tests.builders import NOON, an_event

WINDOW = timedelta(days=32)
EVENTS = "om_default_events"


def a_refusal(offset=1, event=None, *, value=None, at=NOON, code="an_old_rule", **headers):
    """A record of the rejected topic, refused at `at`."""
    told = {"code": code, "topic": EVENTS, "partition": 2, "offset": offset, "index": 0, **headers}
    content = value if value is not None else msgspec.json.encode(event or an_event(f"e{offset}"))
    return decode_rejected(
        Place(topic="om_default_rejected", partition=2, offset=offset + 100),
        int(at.timestamp() * 1000),
        b"a key",
        content,
        [(name, str(text).encode()) for name, text in told.items()],
    )


class Breaks(Exception):
    """The process dies here."""


class World:
    """Everything outside: the topics, the book, and a step at which the process dies."""

    def __init__(self, *refusals, originals=None):
        self.refusals = refusals
        self.originals = originals or {}
        self.book: dict[str, Redrive] = {}
        self.appended: list = []
        self.dies_at: str | None = None
        self.now = NOON

    def run(self, report=None, on_batch=lambda report: None, schemas=None, **more):
        order = Order(
            namespace="default",
            listing=RejectedListing(),
            topics=(EVENTS,),
            window=WINDOW,
            **more,
        )
        return Redriver(
            order,
            rejections=self,
            originals=self,
            events=self,
            book=self,
            now=lambda: self.now,
            partition_of=partition_of,
            schemas=schemas,
            report=report,
            on_batch=on_batch,
        ).run()

    @property
    def counted(self) -> list[str]:
        """What a worker would count: each (source, id, subject) once."""
        told = [msgspec.json.decode(event.value) for event in self.appended]
        return sorted({(e["source"], e["subject"], e["id"]) for e in told})

    def _step(self, name):
        if self.dies_at == name:
            raise Breaks

    def ends(self):
        return {2: 1000}

    def forwards(self, listing, ends):
        return iter([(r, []) for r in self.refusals if listing.fits(r)])

    def read(self, places):
        return {at: self.originals[at] for at in places if at in self.originals}

    def partitions(self):
        return 4

    def send(self, events):
        self._step("before sending")
        self.appended += events
        self._step("after sending")

    async def find(self, ids):
        return {id: self.book[id] for id in ids if id in self.book}

    async def begin(self, ids, at):
        self._step("before beginning")
        for id in ids:
            self.book.setdefault(id, Redrive(begun_at=at, done_at=None))
        self._step("after beginning")

    async def finish(self, ids, at):
        self._step("before finishing")
        for id in ids:
            self.book[id] = Redrive(begun_at=self.book[id].begun_at, done_at=at)
        self._step("after finishing")


@pytest.mark.parametrize("step", ["beginning", "sending", "finishing"])
@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_run_that_dies_anywhere_is_made_up_for_by_the_next(when, step):
    world = World(*(a_refusal(n) for n in range(5)))
    world.dies_at = f"{when} {step}"
    with pytest.raises(Breaks):
        await world.run()
    world.dies_at = None

    await world.run()
    third = await world.run()

    assert world.counted == [("test", "s1", f"e{n}") for n in range(5)]
    assert (third.sent, third.done_before) == (0, 5)
    twice = (when, step) in (("after", "sending"), ("before", "finishing"))
    assert len(world.appended) == (10 if twice else 5)


async def test_what_may_have_been_sent_is_left_alone_once_nobody_remembers_its_ids():
    world = World(a_refusal(1))
    world.dies_at = "before finishing"
    with pytest.raises(Breaks):
        await world.run()
    world.dies_at, world.now = None, NOON + WINDOW

    report = await world.run(beyond_window=True)

    assert (report.sent, report.uncertain, len(world.appended)) == (0, 1, 1)


async def test_what_may_have_been_sent_is_sent_again_while_its_ids_are_remembered():
    world = World(a_refusal(1))
    world.dies_at = "after beginning"
    with pytest.raises(Breaks):
        await world.run()
    world.dies_at, world.now = None, NOON + WINDOW - timedelta(hours=2)

    report = await world.run()

    assert (report.sent, report.too_old, len(world.appended)) == (1, 0, 1)


async def test_what_was_refused_longer_ago_than_the_window_needs_a_word():
    world = World(a_refusal(1, at=NOON - WINDOW))

    careful = await world.run()
    sure = await world.run(beyond_window=True)

    assert (careful.sent, careful.too_old) == (0, 1)
    assert (sure.sent, sure.too_old) == (1, 0)


async def test_a_copy_of_a_refusal_is_sent_once():
    world = World(a_refusal(1), a_refusal(1), a_refusal(2), a_refusal(1))

    report = await world.run()

    assert (report.found, report.sent, len(world.appended)) == (2, 2, 2)


async def test_the_same_offset_of_a_topic_made_anew_is_another_record():
    world = World(a_refusal(1, an_event("before")), a_refusal(1, an_event("after")))

    assert (await world.run()).sent == 2


async def test_a_limit_stops_in_the_middle_and_the_next_run_goes_on():
    world = World(*(a_refusal(n) for n in range(5)))

    first, second = await world.run(limit=2), await world.run(limit=10)

    assert (first.sent, first.left) == (2, 3)
    assert (second.sent, second.done_before) == (3, 2)


async def test_a_run_that_breaks_off_says_how_far_it_came():
    world = World(*(a_refusal(n) for n in range(BATCH_RECORDS_MAX + 1)))
    report = Report()

    def break_off(report):
        world.dies_at = "before sending"

    with pytest.raises(Breaks):
        await world.run(report=report, on_batch=break_off)

    assert (report.found, report.sent) == (BATCH_RECORDS_MAX + 1, BATCH_RECORDS_MAX)


async def test_a_dry_run_writes_nothing():
    world = World(a_refusal(1), a_refusal(2, value=b"{"))

    report = await world.run(dry_run=True)

    assert (report.sent, report.events, dict(report.refused)) == (1, 1, {"invalid_json": 1})
    assert (world.appended, world.book) == ([], {})


async def test_what_is_refused_again_is_not_sent_and_tried_the_next_time():
    world = World(a_refusal(1, value=b'[{"id": "x"}]'), a_refusal(2))

    first, second = await world.run(), await world.run()

    assert (first.sent, dict(first.refused)) == (1, {"not_a_cloudevent": 1})
    assert (second.sent, dict(second.refused)) == (0, {"not_a_cloudevent": 1})
    (line,) = [line for line in told(first, dry_run=False) if "refused again" in line]
    assert f"{EVENTS}/2/1/0" in line
    assert as_values(first, dry_run=False)["refusedAgain"] == {"not_a_cloudevent": 1}


async def test_each_event_goes_to_the_partition_of_its_subject_and_names_its_origin():
    batch = [an_event(f"e{n}", subject=f"subject-{n}") for n in range(8)]
    world = World(a_refusal(7, value=msgspec.json.encode(batch), index=0))

    report = await world.run()

    assert (report.sent, report.events) == (1, 8)
    for event in world.appended:
        assert event.partition == partition_of(event.subject.encode(), 4)
        assert msgspec.json.decode(event.value)["subject"] == event.subject
        assert event.origin == f"{EVENTS}/2/7/0".encode()


async def test_attributes_can_be_set_on_the_way():
    event = {**an_event("e1"), "specversion": "9", "subject": ""}
    world = World(a_refusal(1, event), a_refusal(2, value=msgspec.json.encode([event])))

    await world.run(changes={"specversion": "1.0", "subject": "new"})

    sent = [msgspec.json.decode(one.value) for one in world.appended]
    assert [(e["subject"], e["specversion"], e["data"]) for e in sent] == [("new", "1.0", {})] * 2


def test_attributes_of_binary_mode_are_set_in_its_headers():
    headers = [("ce_id", b"1"), ("ce_subject", b"old"), ("x", b"y")]

    assert with_changes(b"{}", headers, {"subject": "new"}) == (
        b"{}",
        [("ce_id", b"1"), ("x", b"y"), ("ce_subject", b"new")],
    )


async def test_the_original_has_the_whole_value_and_the_time_of_an_event_without_one():
    event = msgspec.json.encode({k: v for k, v in an_event("e1").items() if k != "time"})
    first_ms = int((NOON - timedelta(hours=3)).timestamp() * 1000)
    at = Place(topic=EVENTS, partition=2, offset=1)
    original = OriginalRecord(key=b"k", value=event, appended_ms=first_ms, headers=())
    cut = a_refusal(1, value=event[:40], cut_from=len(event))

    with_original, without = World(cut, originals={at: original}), World(cut)
    report = await without.run()
    await with_original.run()

    assert dict(report.refused) == {"value_cut": 1}
    (sent,) = with_original.appended
    assert msgspec.json.decode(sent.value)["time"] == "2026-03-05T09:00:00Z"


@pytest.mark.parametrize(
    ("value", "hours"), [(b"something else", -1), (msgspec.json.encode(an_event("e1")), 1)]
)
async def test_an_original_that_is_another_record_is_not_used(value, hours):
    at = Place(topic=EVENTS, partition=2, offset=1)
    appended_ms = int((NOON + timedelta(hours=hours)).timestamp() * 1000)
    original = OriginalRecord(key=b"k", value=value, appended_ms=appended_ms, headers=())
    world = World(a_refusal(1, an_event("mine")), originals={at: original})

    await world.run()

    assert world.counted == [("test", "s1", "mine")]


async def test_a_record_that_came_after_the_refusal_is_not_its_original():
    event = {name: value for name, value in an_event("mine").items() if name != "time"}
    at = Place(topic=EVENTS, partition=2, offset=1)
    later_ms = int((NOON + timedelta(hours=1)).timestamp() * 1000)
    later = OriginalRecord(key=b"k", value=b"{}", appended_ms=later_ms, headers=())
    world = World(a_refusal(1, event), originals={at: later})

    await world.run()

    (sent,) = world.appended
    assert msgspec.json.decode(sent.value)["time"] == "2026-03-05T12:00:00Z"


async def test_kafka_that_goes_away_leaves_the_batch_open():
    world = World(a_refusal(1))

    def gone(events):
        raise Unavailable("Kafka")

    world.send = gone
    with pytest.raises(Unavailable):
        await world.run()

    (known,) = world.book.values()
    assert known.done_at is None


def test_a_line_tells_when_why_and_where():
    (line,) = listed([a_refusal(3, message="two\nlines", field="$.time")], {})

    assert line == f"2026-03-05T12:00:00.000Z  an_old_rule $.time  {EVENTS}/2/3/0  two lines"


class ARegistry:
    """Has one schema, or is down."""

    def __init__(self, *, down=False):
        self._down = down

    async def schema(self, id):
        if self._down:
            raise Unavailable("down")
        return (DIRECTORY / VERSION_2).read_text()


def in_avro(id):
    event = {"id": id, "source": "test", "type": "request", "subject": "s1", "data": {"tokens": 1}}
    return confluent(VERSION_2, event, 7)


async def test_what_needed_a_registry_that_was_down_is_sent_when_it_is_back():
    world = World(a_refusal(value=in_avro("a"), code="avro_schema_unavailable"))
    schemas = FetchedSchemas(ARegistry(), SchemaOptions())

    without = await world.run()
    report = await world.run(schemas=schemas)

    assert (without.sent, dict(without.refused)) == (0, {"avro_schema_unknown": 1})
    assert (report.sent, world.counted) == (1, [("test", "s1", "a")])


async def test_while_the_registry_is_down_a_redrive_breaks_off_and_nothing_is_lost():
    world = World(a_refusal(value=in_avro("a"), code="avro_schema_unavailable"))
    schemas = FetchedSchemas(ARegistry(down=True), SchemaOptions())

    with pytest.raises(Unavailable, match="schema 7"):
        await world.run(schemas=schemas)

    assert (world.counted, world.book) == ([], {})
