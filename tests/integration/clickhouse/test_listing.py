"""Listing stored events is a plain sort of the visible accepted ones, page by page."""

import random

import pytest

from domain.metering.filters import (
    AllOf,
    AnyOf,
    TextOp,
    TextTest,
    TimeTest,
    text_matches,
    time_matches,
)
from domain.metering.listing import EventListing, StoredEvent
from schemas.sink_block import Block, EventColumns
from tests.integration.clickhouse.conftest import NOW_MS

pytestmark = pytest.mark.integration

NOON = 1_772_712_000
ODD = [
    "s1",
    "s2",
    "a'b",
    "c\\d",
    "x\0y",
    "😀 é",
    "%_",
    "'); DROP TABLE events; --",
    "\n\t",
    "l" * 3000,
]


def an_event(rnd: random.Random, partition: int, position: int) -> StoredEvent:
    time_s = NOON + rnd.choice((0, 1, 60, 3600, 86_400 * 40)) * rnd.randint(0, 3)
    return StoredEvent(
        id=rnd.choice(("", "e", "E")) + str(rnd.randint(0, 30)),
        source=rnd.choice(("api", "src%")),
        type=rnd.choice(("request", "other")),
        subject=rnd.choice(ODD),
        time_s=time_s,
        data=rnd.choice(("", '{"n":1}', '{"t":"\\u0000é"}')),
        ingested_ms=time_s * 1000 + rnd.randint(0, 3),
        stored_ms=NOW_MS,
        partition=partition,
        position=position,
    )


def a_block(
    events: list[tuple[StoredEvent, bool]], partition: int, first: int, end: int, visible: int
) -> Block:
    columns = EventColumns()
    for event, accepted in events:
        columns.ids.append(event.id)
        columns.sources.append(event.source)
        columns.types.append(event.type)
        columns.subjects.append(event.subject)
        columns.seconds.append(event.time_s)
        columns.datas.append(event.data)
        columns.ingested_ms.append(event.ingested_ms)
        columns.positions.append(event.position)
        columns.accepted.append(accepted)
    return Block(
        "default", "om_default_events", partition, first, end, visible, NOW_MS, events=columns
    )


async def store(database, rnd: random.Random) -> list[StoredEvent]:
    """Blocks in two partitions, some written twice under another token; what may be seen afterwards."""
    seen = []
    for partition in (0, 3):
        made = [(an_event(rnd, partition, p), rnd.random() < 0.8) for p in range(120)]
        visible = 0
        for first in range(0, 120, 30):
            visible = first + 30 if first < 90 else visible
            block = a_block(made[first : first + 30], partition, first, first + 30, visible)
            await database.writer.write_block(block)
            if rnd.random() < 0.5:
                again = a_block(
                    made[max(0, first - 7) : first + 30],
                    partition,
                    max(0, first - 7),
                    first + 30,
                    visible,
                )
                await database.writer.write_block(again)
        seen += [event for event, accepted in made[:visible] if accepted]
    return seen


def newest_first(event: StoredEvent):
    return (-event.time_s, -event.ingested_ms, -event.partition, -event.position)


def fits(event: StoredEvent, listing: EventListing) -> bool:
    return (
        all(text_matches(test, getattr(event, name)) for name, test in listing.fields.items())
        and (listing.time is None or time_matches(listing.time, event.time_s * 1000))
        and (listing.ingested is None or time_matches(listing.ingested, event.ingested_ms))
    )


def a_text_filter(rnd: random.Random, values: list[str]):
    op = rnd.choice(list(TextOp))
    some = tuple(rnd.sample(values, min(len(values), rnd.randint(0, 3))))
    if op in (TextOp.IN, TextOp.NIN):
        return TextTest(op, some)
    test = TextTest(op, rnd.choice([*values, "%e%", "_1%", "\\", "e\\"]))
    return rnd.choice(
        [test, AllOf((test,)), AnyOf((test, TextTest(TextOp.EQ, rnd.choice(values))))]
    )


def a_time_filter(rnd: random.Random, moments_ms: list[int]):
    def test():
        op = rnd.choice((TextOp.GT, TextOp.GTE, TextOp.LT, TextOp.LTE))
        at = rnd.choice([*moments_ms, 0, -5_000_000, 10_413_791_999_000, 400_000_000_000_000])
        return TimeTest(op, at + rnd.choice((-1000, -1, 0, 1, 999)))

    return rnd.choice(
        [test(), AllOf((test(), test())), AnyOf((test(), test())), AllOf(()), AnyOf(())]
    )


def a_listing(rnd: random.Random, seen: list[StoredEvent]) -> EventListing:
    names = rnd.sample(["id", "source", "subject", "type"], rnd.choice((0, 0, 1, 2)))
    return EventListing(
        fields={n: a_text_filter(rnd, [getattr(e, n) for e in rnd.sample(seen, 5)]) for n in names},
        time=a_time_filter(rnd, [e.time_s * 1000 for e in seen]) if rnd.random() < 0.4 else None,
        ingested=a_time_filter(rnd, [e.ingested_ms for e in seen]) if rnd.random() < 0.4 else None,
        limit=rnd.choice((11, 40, 100)),
    )


async def pages(lister, listing: EventListing) -> list[StoredEvent]:
    found: list[StoredEvent] = []
    before = None
    while True:
        page = await lister.list_events(
            EventListing(
                fields=listing.fields,
                time=listing.time,
                ingested=listing.ingested,
                before=before,
                limit=listing.limit,
            )
        )
        found += page
        if len(page) < listing.limit:
            return found
        last = page[-1]
        before = (last.time_s, last.ingested_ms, last.partition, last.position)


async def test_pages_are_a_plain_sort_of_what_may_be_seen(database):
    rnd = random.Random(7)
    seen = await store(database, rnd)

    for _ in range(60):
        listing = a_listing(rnd, seen)
        expected = sorted((e for e in seen if fits(e, listing)), key=newest_first)

        assert await pages(database.lister, listing) == expected, listing


async def test_nothing_is_listed_before_the_first_block(database):
    assert await database.lister.list_events(EventListing()) == []
