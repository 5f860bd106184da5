"""A made-up history: events of some partitions, what a sink would write of them in which order, and what is true when.

The rows are folded here one event at a time with the rule's own measures, so that no code of the worker is needed.
"""

import random
from collections import defaultdict
from dataclasses import dataclass, field, replace
from decimal import Decimal

import msgspec

from domain.metering.fold import groupings, unique_texts
from domain.metering.meter import Meter
from domain.metering.numbers import json_text
from domain.metering.rows import Row
from schemas.catalog import meter_of
from schemas.position import position
from schemas.sink_block import Block, BlockRow, BlockUnique, EventColumns
from schemas.state import Applied, value_hash
from tests import oracle
from tests.builders import ULIDS, a_meter_record

NOW_MS = 1_785_000_000_000
decode = msgspec.json.Decoder(float_hook=Decimal).decode

SUBJECTS = ["s1", "s2", "a'b\\", "x\0y", "😀é", "%_", "'); DROP TABLE usage; --", "", "l" * 500]
GROUPS = [
    '"a"',
    '"b"',
    '"a\'\\\\"',
    '"\\u0000"',
    '"😀"',
    "1.10",
    "null",
    "true",
    '"' + "g" * 400 + '"',
    "[1]",
]
NUMBERS = [
    "1", "2", "3.25", "-4", "0.1", "0.2", '"5"', '"+1.5e2"', '"abc"', "null", "true", "[]", "-0.0", '"-0"', "1e400",
    "9999999999999999999999999999", "-9999999999999999999999999999.99999999999999999999999999999999999999",
    "0.00000000000000000000000000000000000001", '""', '"x\\u0000y"', '"😀"', "123456789012345678",
]  # fmt: skip
# Far above the rest and of one sign: sums of doubles depend on the order when they cancel out.
OUTSIDE = ["1e300", "1e60", "12345678901234567890123456789012345678901234567890", "1e-39"]
CENTRES = [
    1_772_971_200,  # 2026-03-08: the clock changes in New York
    1_775_318_400,  # 2026-04-04: Lord Howe's half hour
    1_378_000_000,  # 2013
    3_600,  # the first hour of all
    10_413_791_000,  # the last
]


@dataclass
class Sent:
    """An event at its place in the log; a duplicate is stored but not counted."""

    position: int
    accepted: bool
    data: str
    event: oracle.Event


@dataclass
class Story:
    """One partition: its events, and the meters that count there from a position on, some until another."""

    partition: int
    sent: list[Sent]
    applied: list[Applied]
    rows: dict = field(default_factory=dict)
    versions: dict = field(default_factory=lambda: defaultdict(list))
    uniques: dict = field(default_factory=dict)

    @property
    def end(self) -> int:
        return self.sent[-1].position + 1


def meters() -> list[Meter]:
    """One of each aggregation, some grouped."""
    kinds = ["SUM", "COUNT", "UNIQUE_COUNT", "AVG", "MIN", "MAX", "LATEST"]
    groups = [{}, {"k": "$.k"}, {"k": "$.k", "a_z": "$.z"}]
    return [
        meter_of(
            a_meter_record(
                f"m{i}", id=ULIDS[i], aggregation=kinds[i % 7], value="$.v", groups=groups[i % 3]
            )
        )
        for i in range(10)
    ]


def tell(rnd: random.Random, partition: int, count: int, found: list[Meter]) -> Story:
    """A random story of `count` events or so."""
    values = NUMBERS + (OUTSIDE if rnd.random() < 0.3 else [])
    centres = rnd.sample(CENTRES, rnd.choice((1, 2)))
    subjects = rnd.sample(SUBJECTS, rnd.choice((2, 9)))
    sent, offset = [], partition  # no two partitions share a position: LATEST has no ties
    while len(sent) < count:
        offset += rnd.choice((4, 4, 4, 16))
        for index in range(rnd.choice((1, 1, 5))):
            sent.append(_sent(rnd, partition, position(offset, index), values, centres, subjects))
    applied = []
    for meter in found:
        start = rnd.choice([0, 0, rnd.choice(sent).position])
        until = rnd.choice([None, None, rnd.choice(sent).position])
        if until is not None and until < start:
            start, until = until, start
        record = a_meter_record(
            meter.slug,
            id=meter.id,
            aggregation=meter.aggregation,
            value=meter.value_property,
            groups=dict(meter.group_by),
        )
        if rnd.random() < 0.9:
            applied.append(Applied(record, start, until))
    story = Story(partition, sent, applied)
    _fold(rnd, story)
    return story


def _sent(rnd, partition, at, values, centres, subjects) -> Sent:
    members = {}
    for name, choices, chance in (("v", values, 0.9), ("k", GROUPS, 0.8), ("z", ['"z"', "0"], 0.7)):
        if rnd.random() < chance:
            members[name] = rnd.choice(choices)
    data = "{" + ",".join(f'"{name}":{value}' for name, value in members.items()) + "}"
    if rnd.random() < 0.05:
        data = ""
    second = rnd.choice(centres) + rnd.choice((0, 0, 0, 1, 59, 60, 61, 1800, 3600, 7200, 86_400, 86_400 * 31)) * rnd.choice((-3, -1, 0, 0, 1, 2))  # fmt: skip
    event = oracle.Event(
        id=f"{partition}-{at}",
        subject=rnd.choice(subjects),
        type=rnd.choice(("request", "request", "request", "other")),
        second=min(max(second, 1), 10_413_791_999),
        data=decode(data) if data else None,
        position=at,
    )
    return Sent(at, rnd.random() < 0.9, data, event)


def _fold(rnd: random.Random, story: Story) -> None:
    """Every state that every row goes through; now and then a row is forgotten and begins again, with a new epoch."""
    for applied in story.applied:
        ((grouping,),) = groupings([meter_of(applied.meter)]).values()
        (measure,) = grouping.measures
        for s in story.sent:
            event = s.event
            counts = s.accepted and event.type == measure.meter.event_type
            if not counts or s.position < applied.start or (applied.until or 1 << 63) <= s.position:
                continue
            groups = tuple(json_text(find(event.data)) for find in grouping.find_groups)
            bucket = (event.subject, event.second // 60, groups)
            key = (*applied.key, bucket)
            known = story.rows.get(key)
            if known is not None and rnd.random() < 0.15:
                known = None
            values = [measure.find_value and measure.find_value(event.data)]
            row = measure.fold(known, [0], [s.position], [event.second], values)
            story.rows[key] = row
            story.versions[key, row.epoch].append(row)
            if measure.counts_uniques:
                for text in unique_texts([0], values):
                    story.uniques.setdefault((*key, value_hash(text)), s.position)


def block(
    story: Story, first: int, end: int, visible: int, *, known: int, again: bool = False
) -> Block:
    """The block of positions `[first, end)`; its rows are as of `known`, which is at or after `end`.

    `again`: as it is made from the state, with values that were there before.
    """
    inside = [s for s in story.sent if first <= s.position < end]
    columns = EventColumns(
        ids=[s.event.id for s in inside],
        sources=[s.event.source for s in inside],
        types=[s.event.type for s in inside],
        subjects=[s.event.subject for s in inside],
        seconds=[s.event.second for s in inside],
        datas=[s.data for s in inside],
        ingested_ms=[NOW_MS - 1000 + (s.position >> 20) for s in inside],
        positions=[s.position for s in inside],
        accepted=[s.accepted for s in inside],
    )
    rows = []
    for (key, _), versions in story.versions.items():
        if any(first <= row.position < end for row in versions):
            row = [row for row in versions if row.position < known][-1]
            rows.append(_row(key, row))
    uniques = [
        BlockUnique(meter, version, *bucket[::2], bucket[1], hash, at)
        for (meter, version, bucket, hash), at in story.uniques.items()
        if first <= at < end or (again and at < end)
    ]
    if again:
        uniques = [replace(u, position=max(u.position, end - 1)) for u in uniques]
    return Block(
        "default",
        "om_default_events",
        story.partition,
        first,
        end,
        visible,
        NOW_MS,
        events=columns,
        rows=rows,
        uniques=uniques,
        ranges=[a for a in story.applied if a.start <= known],
    )


def _row(key: tuple, row: Row) -> BlockRow:
    meter, version, (subject, minute, groups) = key
    return BlockRow(meter, version, subject, groups, minute, row)


def blocks(rnd: random.Random, story: Story) -> list[Block]:
    """What a sink with a hard life writes: blocks, some again, some after a restart with other bounds and newer rows."""
    written: list[Block] = []
    at, visible = 0, 0
    while at < story.end:
        end = min(rnd.choice(story.sent).position + 1, story.end)
        if end <= at:
            end = min(at + (rnd.randint(4, 120) << 20), story.end)
        known = rnd.choice([end, end, min(end + (32 << 20), story.end)])
        made = block(story, at, end, 0, known=known)
        ahead = max((r.row.position for r in made.rows), default=-1)
        visible = end if ahead < end else visible
        made.visible = visible
        written.append(made)
        if rnd.random() < 0.3:
            written.append(made)
        if rnd.random() < 0.4:
            first = max(0, at - (rnd.choice((0, 4, 40)) << 20))
            known = rnd.choice((end, story.end))
            written.append(block(story, first, end, visible, known=known, again=True))
        at = end
    return written


def true_events(stories: list[Story], visible: dict[int, int]) -> list[oracle.Event]:
    """What counts when reads may see up to `visible`."""
    return [
        s.event
        for story in stories
        for s in story.sent
        if s.accepted and s.position < visible.get(story.partition, 0)
    ]
