import asyncio
import json
from collections import defaultdict

import msgspec
import pytest

from domain.errors import NotFound, Unavailable
from schemas.avro_schemas import DIRECTORY
from streams.fetched_schemas import FetchedSchemas, SchemaOptions
from streams.routing import RouteOptions, Router
from streams.steps import Step
from tests.avro_events import VERSION_1, VERSION_2, confluent, single_object
from tests.builders import an_event
from tests.unit.streams.fakes import ARecord, FakeLog

NOW_MS = 1_790_000_000_000
DAY_MS = 86_400_000
AVRO = {"id": "a", "source": "s", "type": "prompt", "subject": "avro"}


class FakeFeed:
    """Records by partition; what is committed, and what waits."""

    def __init__(self, **records):
        self.records = {int(name[1:]): found for name, found in records.items()}
        self.at = defaultdict(int)
        self.committed = {}
        self.paused = set()
        self.anew = set()

    async def fetch(self):
        await asyncio.sleep(0)
        got = {}
        for number, records in self.records.items():
            found = [r for r in records if r.offset >= self.at[number]]
            if found and number not in self.paused:
                got[number] = found
                self.at[number] = found[-1].offset + 1
        return got

    def assigned(self):
        return set(self.records)

    def begun_anew(self):
        return self.anew

    def go_back(self, partition, offset, *, paused):
        self.at[partition] = offset
        if paused:
            self.paused.add(partition)

    def resume(self, partition):
        self.paused.discard(partition)

    async def commit(self, offsets):
        self.committed |= offsets


class FakeRegistry:
    def __init__(self, schemas=None):
        self.schemas = schemas or {}
        self.down = False
        self.asked = []

    async def schema(self, id):
        self.asked.append(id)
        if self.down:
            raise Unavailable("down")
        if id not in self.schemas:
            raise NotFound(f"no schema {id}")
        return self.schemas[id]


class Routed:
    """A router on fakes with a clock that is set."""

    def __init__(self, feed, registry=None, *, kept_max=100, wait_s=60.0):
        self.feed, self.log, self.registry = feed, FakeLog(), registry
        self.now, self.steps = 0.0, []
        self.router = Router(
            feed,
            self.log,
            FetchedSchemas(registry, SchemaOptions(kept_max=kept_max), now=lambda: self.now),
            RouteOptions(namespace="n", wait_s=wait_s, window_ms=32 * DAY_MS),
            reached=self.steps.append,
            now=lambda: self.now,
            now_ms=lambda: NOW_MS,
        )

    async def turns(self, count=1, *, after_s=0.0):
        self.now += after_s
        for _ in range(count):
            await self.router.turn()

    @property
    def ids(self):
        return [msgspec.json.decode(event.value)["id"] for event in self.log.forwarded]

    @property
    def codes(self):
        return [event.code for event in self.log.rejected]


def a_record(offset, event, **more):
    value = event if isinstance(event, bytes) else msgspec.json.encode(event)
    return ARecord(offset, value, **more)


def needs_registry(offset, id="a", number=7):
    return a_record(offset, confluent(VERSION_2, {**AVRO, "id": id}, number))


def schema_text():
    return (DIRECTORY / VERSION_2).read_text()


async def test_every_way_in_comes_out_as_one_event_under_its_subject():
    binary = ARecord(
        3,
        b'{"tokens":4}',
        headers=(
            ("ce_specversion", b"1.0"),
            ("ce_id", b"b"),
            ("ce_source", b"s"),
            ("ce_type", b"t"),
            ("ce_subject", b"binary"),
        ),
    )
    routed = Routed(
        FakeFeed(
            p0=[
                a_record(0, an_event("j", subject="json"), key=b"any"),
                a_record(1, [an_event("m1", subject="one"), an_event("m2", subject="two")]),
                a_record(2, single_object(VERSION_1, AVRO)),
                binary,
            ]
        )
    )

    await routed.turns()

    assert [
        (event.subject, id) for event, id in zip(routed.log.forwarded, routed.ids, strict=True)
    ] == [
        ("json", "j"),
        ("one", "m1"),
        ("two", "m2"),
        ("avro", "a"),
        ("binary", "b"),
    ]
    assert routed.feed.committed == {0: 4}


async def test_an_event_without_a_time_gets_the_time_of_its_first_arrival():
    event = an_event("a")
    del event["time"]
    routed = Routed(FakeFeed(p0=[a_record(0, event, timestamp=NOW_MS - 5_000)]))

    await routed.turns()
    routed.feed.at[0] = 0
    await routed.turns()

    first, again = routed.log.forwarded
    assert first.value == again.value
    assert msgspec.json.decode(first.value)["time"] == "2026-09-21T14:13:15Z"


async def test_what_is_no_event_is_rejected_and_the_rest_goes_on():
    routed = Routed(FakeFeed(p1=[a_record(5, b"{"), a_record(6, an_event("e"))]))

    await routed.turns()

    assert (routed.codes, routed.ids, routed.feed.committed) == (["invalid_json"], ["e"], {1: 7})


async def test_nothing_is_committed_before_all_of_it_is_acknowledged():
    routed = Routed(FakeFeed(p0=[a_record(0, an_event("e")), a_record(1, b"{")]))
    routed.log.gate.clear()

    turn = asyncio.create_task(routed.turns())
    for _ in range(50):
        await asyncio.sleep(0)
    assert routed.steps[-1] is Step.ROUTE_SENT
    before = dict(routed.feed.committed)
    routed.log.gate.set()
    await turn

    assert before == {}
    assert routed.feed.committed == {0: 2}


async def test_a_send_that_fails_is_not_committed():
    routed = Routed(FakeFeed(p0=[a_record(0, an_event("e"))]))
    routed.log.fails = OSError("broken")

    with pytest.raises(OSError, match="broken"):
        await routed.turns()

    assert routed.feed.committed == {}


async def test_a_schema_of_the_registry_is_asked_for_once():
    registry = FakeRegistry({7: schema_text()})
    routed = Routed(FakeFeed(p0=[needs_registry(i, f"e{i}") for i in range(5)]), registry)

    await routed.turns()
    routed.feed.records[0].append(needs_registry(9, "e9"))
    await routed.turns()

    assert routed.ids == ["e0", "e1", "e2", "e3", "e4", "e9"]
    assert registry.asked == [7]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (None, "avro_schema_unknown"),
        ('"string"', "avro_schema_unsuitable"),
        ("{", "avro_schema_unsuitable"),
    ],
)
async def test_a_schema_that_is_none_is_a_rejection_and_is_remembered(text, code):
    registry = FakeRegistry({} if text is None else {7: text})
    routed = Routed(FakeFeed(p0=[needs_registry(0), needs_registry(1)]), registry)

    await routed.turns()
    routed.feed.records[0].append(needs_registry(2))
    await routed.turns()

    assert routed.codes == [code] * 3
    assert registry.asked == [7]
    assert routed.log.rejected[0].value == needs_registry(0).value


async def test_that_there_is_no_schema_is_asked_again_after_a_while():
    registry = FakeRegistry()
    routed = Routed(FakeFeed(p0=[needs_registry(0)]), registry)
    await routed.turns()
    registry.schemas[7] = schema_text()
    routed.feed.records[0].append(needs_registry(1, "later"))

    await routed.turns(after_s=31)

    assert (routed.codes, routed.ids) == (["avro_schema_unknown"], ["later"])


async def test_while_the_registry_is_down_its_records_wait_and_other_partitions_go_on():
    registry = FakeRegistry({7: schema_text()})
    registry.down = True
    feed = FakeFeed(
        p0=[
            a_record(0, an_event("before")),
            needs_registry(1, "waits"),
            a_record(2, an_event("after")),
        ],
        p1=[a_record(0, an_event("other"))],
    )
    routed = Routed(feed, registry)

    await routed.turns()
    feed.records[1].append(a_record(1, an_event("other2")))
    await routed.turns(after_s=10)

    assert routed.ids == ["before", "other", "other2"]
    assert feed.committed == {0: 1, 1: 2}
    registry.down = False
    await routed.turns(2, after_s=20)
    assert routed.ids[3:] == ["waits", "after"]
    assert routed.codes == []
    assert feed.committed[0] == 3


async def test_a_registry_that_stays_down_does_not_hold_a_partition_for_ever():
    registry = FakeRegistry()
    registry.down = True
    feed = FakeFeed(p0=[needs_registry(0), a_record(1, an_event("after"))])
    routed = Routed(feed, registry, wait_s=60)

    for _ in range(8):
        await routed.turns(after_s=10)

    assert routed.codes == ["avro_schema_unavailable"]
    assert routed.ids == ["after"]
    assert feed.committed == {0: 2}


async def test_once_the_registry_is_back_nothing_more_is_rejected():
    registry = FakeRegistry({7: schema_text()})
    registry.down = True
    feed = FakeFeed(p0=[needs_registry(0, "lost")])
    routed = Routed(feed, registry, wait_s=1)
    for _ in range(3):
        await routed.turns(after_s=1)
    registry.down = False
    feed.records[0].append(needs_registry(1, "found"))

    await routed.turns(after_s=20)

    assert (routed.codes, routed.ids) == (["avro_schema_unavailable"], ["found"])


async def test_a_registry_that_is_down_is_not_asked_at_every_turn():
    registry = FakeRegistry()
    registry.down = True
    routed = Routed(FakeFeed(p0=[needs_registry(0)]), registry)

    for _ in range(100):
        await routed.turns(after_s=0.1)

    assert 2 <= len(registry.asked) <= 7


async def test_more_schemas_than_are_kept_are_found_one_list_after_the_other():
    registry = FakeRegistry({number: schema_text() for number in range(10)})
    records = [needs_registry(n, f"e{n}", n) for n in range(10)]
    routed = Routed(FakeFeed(p0=records), registry, kept_max=3)

    await routed.turns(4)

    assert routed.ids == [f"e{n}" for n in range(10)]
    assert routed.codes == []


async def test_without_a_registry_an_unknown_id_is_rejected():
    routed = Routed(FakeFeed(p0=[needs_registry(0)]))

    await routed.turns()

    assert routed.codes == ["avro_schema_unknown"]


async def test_what_may_have_been_counted_and_forgotten_is_rejected():
    old, new = NOW_MS - 33 * DAY_MS, NOW_MS - 31 * DAY_MS
    records = [
        a_record(0, an_event("old"), timestamp=old),
        a_record(1, an_event("new"), timestamp=new),
    ]
    anew, known = FakeFeed(p0=records), FakeFeed(p0=records)
    anew.anew = {0}

    first, second = Routed(anew), Routed(known)
    await first.turns()
    await second.turns()

    assert (first.ids, first.codes) == (["new"], ["older_than_dedupe_window"])
    assert second.ids == ["old", "new"]


def test_the_schema_of_the_tests_is_no_stored_number():
    ids = {entry["id"] for entry in json.loads((DIRECTORY / "ids.json").read_bytes())}

    assert not ids & set(range(100))
