"""ClickHouse's tables of usage in memory, written an insert at a time and read a statement at a time.

Writer and reader follow docs/internals.md ("ClickHouse", "One moment") as the real ones do; the same histories hold both to
it (tests/integration/clickhouse/test_answers.py, tests/property/test_meters_that_change.py). Before each insert and each
statement they ask for their turn, so that a test decides what happens in between.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

import msgspec

from domain.metering.answer import AnswerKey, Event, Part, combine, fold_events, plan, results
from domain.metering.filters import text_matches
from domain.metering.meter import Aggregation
from domain.metering.query import MeterQuery, ResultRow
from domain.metering.windows import window_start, zone
from schemas.sink_block import Block
from schemas.state import value_hash

Turn = Callable[[], Awaitable[object]]

_decode = msgspec.json.Decoder(float_hook=Decimal).decode
_ALWAYS = 1 << 64


@dataclass
class Tables:
    """Of each sorting key the row with the highest version, as after a merge."""

    events: dict = field(default_factory=dict)
    usage: dict = field(default_factory=dict)
    uniques: dict = field(default_factory=dict)
    ranges: dict = field(default_factory=dict)
    visible: dict = field(default_factory=dict)

    def inserts(self, block: Block) -> list[Callable[[], None]]:
        """The inserts of a block, in their order."""
        calls = (self._events, self._uniques, self._usage, self._ranges, self._visible)
        return [lambda call=call: call(block) for call in calls]

    def _events(self, block: Block) -> None:
        columns = block.events
        for position, kind, subject, second, data, accepted in zip(
            columns.positions, columns.types, columns.subjects, columns.seconds, columns.datas,
            columns.accepted, strict=True,
        ):  # fmt: skip
            event = Event(
                subject, second, position, _decode(data) if data else None, block.partition
            )
            self.events[block.partition, position] = (kind, event, accepted)

    def _uniques(self, block: Block) -> None:
        for u in block.uniques:
            key = (u.meter, u.version, u.subject, u.groups, u.minute, u.hash, block.partition)
            self.uniques[key] = min(u.position, self.uniques.get(key, u.position))

    def _usage(self, block: Block) -> None:
        for r in block.rows:
            epoch = r.row.epoch
            key = (r.meter, r.version, r.subject, r.groups, r.minute, block.partition, epoch)
            known = self.usage.get(key)
            if known is None or known.position <= r.row.position:
                self.usage[key] = r.row

    def _ranges(self, block: Block) -> None:
        for a in block.ranges:
            key = (*a.key, block.partition)
            known = self.ranges.get(key)
            if known is None or known[1] is None or a.until is not None:
                self.ranges[key] = (a.start, a.until)

    def _visible(self, block: Block) -> None:
        known = self.visible.get(block.partition, 0)
        self.visible[block.partition] = max(known, block.visible)


async def _at_once() -> None:
    """Nobody holds it up."""


class MemoryWriter:
    """The sink's port UsageWriter; `under_way` are the inserts of the block that is being written."""

    def __init__(self, tables: Tables, turn: Turn = _at_once) -> None:
        self._tables = tables
        self._turn = turn
        self._one_at_a_time = asyncio.Lock()
        self.under_way: list[Callable[[], None]] = []

    async def write_block(self, block: Block) -> None:
        async with self._one_at_a_time:
            self.under_way = self._tables.inserts(block)
            while self.under_way:
                await self._turn()
                self.under_way.pop(0)()

    async def visible(self, topic: str, partition: int) -> int | None:
        return self._tables.visible.get(partition)

    def close(self) -> None:
        self.under_way = []


class MemoryReader:
    """The API's port MeterUsage, as far as questions go; `visible` is the moment of the last answer."""

    def __init__(self, tables: Tables, turn: Turn = _at_once) -> None:
        self._tables = tables
        self._turn = turn
        self.visible: dict[int, int] = {}

    async def query(self, query: MeterQuery) -> list[ResultRow]:
        await self._turn()
        visible = self.visible = dict(self._tables.visible)
        if not visible:
            return results(query, {})
        await self._turn()
        key = (query.meter.id, query.meter.version)
        ranges = {r[2]: of for r, of in self._tables.ranges.items() if r[:2] == key}
        await self._turn()
        rows, ahead = self._rows(query, visible)
        await self._turn()
        if query.meter.aggregation is Aggregation.UNIQUE_COUNT:
            self._add_values(query, visible, rows)
        await self._turn()
        events = self._from_events(query, visible, ranges, ahead)
        return results(query, combine([rows, events]))

    def _rows(self, query: MeterQuery, visible: Mapping[int, int]):
        """Parts from the rows that may be seen; of the others their key and first position."""
        parts, ahead = {}, {}
        for (*meter, subject, groups, minute, partition, epoch), row in self._tables.usage.items():
            if not _asked(query, meter, subject, groups, minute):
                continue
            if row.position < visible.get(partition, 0):
                key = _answer_key(query, subject, groups, minute)
                parts = combine([parts, {key: Part(row, minute, minute)}])
            else:
                where = (partition, subject, minute, groups)
                ahead[where] = min(epoch, ahead.get(where, epoch))
        return parts, ahead

    def _add_values(self, query: MeterQuery, visible: Mapping[int, int], parts) -> None:
        for key, position in self._tables.uniques.items():
            *meter, subject, groups, minute, value, partition = key
            if _asked(query, meter, subject, groups, minute) and position < visible.get(
                partition, 0
            ):
                part = parts.get(_answer_key(query, subject, groups, minute))
                if part is not None:
                    part.hashes.add(value)

    def _from_events(self, query: MeterQuery, visible: Mapping[int, int], ranges, ahead):
        split = plan(query)

        def wanted(event: Event) -> bool:
            start, until = ranges.get(event.partition, (_ALWAYS, None))
            minute = event.second // 60
            whole = split.rows and _inside(minute, split.first_minute, split.end_minute)
            return not whole or not _inside(event.position, start, until)

        def belongs(event: Event, groups: tuple[str, ...]) -> bool:
            first = ahead.get((event.partition, event.subject, event.second // 60, groups))
            return wanted(event) or (first is not None and event.position >= first)

        found = [
            event
            for kind, event, accepted in self._tables.events.values()
            if accepted
            and kind == query.meter.event_type
            and event.position < visible.get(event.partition, 0)
            and _inside(event.second, query.start, query.end)
            and (query.subjects is None or event.subject in query.subjects)
        ]
        return fold_events(query, found, value_hash, belongs)


def _inside(at: int, start: int | None, end: int | None) -> bool:
    return (start is None or at >= start) and (end is None or at < end)


def _asked(query: MeterQuery, meter, subject: str, groups: tuple[str, ...], minute: int) -> bool:
    """Whether a row is one of the whole minutes and passes the filters."""
    split = plan(query)
    keys = sorted(query.meter.group_by)
    return (
        tuple(meter) == (query.meter.id, query.meter.version)
        and split.rows
        and _inside(minute, split.first_minute, split.end_minute)
        and (query.subjects is None or subject in query.subjects)
        and all(text_matches(test, subject) for test in query.subject_filters)
        and all(text_matches(test, groups[keys.index(k)]) for k, test in query.group_filters)
    )


def _answer_key(query: MeterQuery, subject: str, groups: tuple[str, ...], minute: int):
    keys = sorted(query.meter.group_by)
    size = query.window_size
    window = None if size is None else window_start(minute * 60, size, zone(query.zone))
    chosen = tuple(groups[keys.index(key)] for key in query.group_by)
    customer = None if query.customers is None else query.customers[subject]
    return AnswerKey(window, subject if query.by_subject else customer, chosen)
