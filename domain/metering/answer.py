"""From a question to its answer: which part comes from rows, which from events, and how they become result rows.

Rows answer whole minutes; the at most two minutes that a bound cuts, and events that no row covers, are folded from the
events by the same code that folds the stream. Source: docs/internals.md, "Rule of a query"; metering §2.4, §11.7.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from domain.metering.filters import text_matches
from domain.metering.fold import Measure, groupings, unique_texts
from domain.metering.meter import Aggregation
from domain.metering.numbers import json_text
from domain.metering.query import MeterQuery, ResultRow
from domain.metering.rows import Number, Row, mean_of, merge, total_of
from domain.metering.windows import window_end, window_start, zone


class AnswerKey(NamedTuple):
    """What one result row is about; `window` is None without windows, `subject` None unless kept apart: by subject, or else by customer."""

    window: int | None
    subject: str | None
    groups: tuple[str, ...]


@dataclass(slots=True)
class Part:
    """What is known of one key: the row over its events, their first and last minute, and its distinct values."""

    row: Row
    first_minute: int
    last_minute: int
    hashes: set[bytes] = field(default_factory=set)
    distinct: int | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """A stored event as the fold needs it; `data` was read with decimals."""

    subject: str
    second: int
    position: int
    data: object
    partition: int = 0


Belongs = Callable[[Event, tuple[str, ...]], bool]
"""Whether an event with these group values, in the order of the meter's sorted keys, is to be folded."""


@dataclass(frozen=True, slots=True)
class Span:
    """Seconds `[start, end)`; None = unbounded."""

    start: int | None
    end: int | None


@dataclass(frozen=True, slots=True)
class Plan:
    """Minutes `[first_minute, end_minute)` come from rows (None = unbounded, `rows` False = none); `edges` from events."""

    rows: bool
    first_minute: int | None
    end_minute: int | None
    edges: tuple[Span, ...]


def plan(query: MeterQuery) -> Plan:
    """Split the range asked into whole minutes and the edges that cut a minute."""
    start, end = query.start, query.end
    first = None if start is None else -(-start // 60)
    last = None if end is None else end // 60
    if (
        start is not None
        and end is not None
        and first is not None
        and last is not None
        and first > last
    ):
        return Plan(False, None, None, (Span(start, end),))
    edges = []
    if start is not None and first is not None and first * 60 != start:
        edges.append(Span(start, first * 60))
    if end is not None and last is not None and last * 60 != end:
        edges.append(Span(last * 60, end))
    return Plan(first is None or last is None or first < last, first, last, tuple(edges))


def fold_events(
    query: MeterQuery,
    events: Iterable[Event],
    value_hash: Callable[[str], bytes],
    belongs: Belongs | None = None,
) -> dict[AnswerKey, Part]:
    """The parts that `events` make; every event given is inside the range and of the meter's type."""
    ((grouping,),) = groupings([query.meter]).values()
    (measure,) = grouping.measures
    tz = zone(query.zone)
    keys = sorted(query.meter.group_by)
    chosen = [keys.index(key) for key in query.group_by]
    filters = [(keys.index(key), test) for key, test in query.group_filters]
    buckets: dict[AnswerKey, list[Event]] = {}
    for event in events:
        groups = [json_text(find(event.data)) for find in grouping.find_groups]
        if belongs is not None and not belongs(event, tuple(groups)):
            continue
        if not all(text_matches(test, groups[i]) for i, test in filters):
            continue
        if not all(text_matches(test, event.subject) for test in query.subject_filters):
            continue
        window = (
            None if query.window_size is None else window_start(event.second, query.window_size, tz)
        )
        key = AnswerKey(window, _kept_apart(query, event), tuple(groups[i] for i in chosen))
        buckets.setdefault(key, []).append(event)
    return {key: _fold_bucket(measure, found, value_hash) for key, found in buckets.items()}


def _kept_apart(query: MeterQuery, event: Event) -> str | None:
    if query.by_subject:
        return event.subject
    return None if query.customers is None else query.customers[event.subject]


def _fold_bucket(
    measure: Measure, events: Sequence[Event], value_hash: Callable[[str], bytes]
) -> Part:
    indexes = list(range(len(events)))
    find = measure.find_value
    values = [None if find is None else find(event.data) for event in events]
    row = measure.fold(
        None, indexes, [e.position for e in events], [e.second for e in events], values
    )
    minutes = [event.second // 60 for event in events]
    part = Part(row, min(minutes), max(minutes))
    if measure.counts_uniques:
        part.hashes = {value_hash(text) for text in unique_texts(indexes, values)}
    return part


def combine(parts: Iterable[Mapping[AnswerKey, Part]]) -> dict[AnswerKey, Part]:
    """One part for each key, over all sources; no event may be in two of them."""
    found: dict[AnswerKey, Part] = {}
    for source in parts:
        for key, part in source.items():
            known = found.get(key)
            found[key] = part if known is None else _joined(known, part)
    return found


def _joined(a: Part, b: Part) -> Part:
    distinct = None
    if a.distinct is not None or b.distinct is not None:
        raise AssertionError("a count of distinct values cannot be joined: the sets are needed")
    return Part(
        merge(a.row, b.row),
        min(a.first_minute, b.first_minute),
        max(a.last_minute, b.last_minute),
        a.hashes | b.hashes,
        distinct,
    )


def results(query: MeterQuery, parts: Mapping[AnswerKey, Part]) -> list[ResultRow]:
    """The answer's rows, by window, subject and groups."""
    rows = []
    for key in sorted(parts, key=lambda k: (k.window or 0, k.subject or "", k.groups)):
        part = parts[key]
        number = _value(query.meter.aggregation, part)
        if number is not None:
            start, end = _bounds(query, key, part)
            groups = dict(zip(query.group_by, key.groups, strict=True))
            rows.append(
                ResultRow(
                    window_start=start,
                    window_end=end,
                    value=number,
                    subject=key.subject if query.by_subject else None,
                    customer=_customer(query, key),
                    groups=groups,
                )
            )
    return rows or _nothing(query)


def _customer(query: MeterQuery, key: AnswerKey) -> str | None:
    if query.customers is None or key.subject is None:
        return None
    return query.customers[key.subject] if query.by_subject else key.subject


def _value(aggregation: Aggregation, part: Part) -> Number | None:
    row = part.row
    if aggregation is Aggregation.COUNT:
        return row.count
    if aggregation is Aggregation.UNIQUE_COUNT:
        return len(part.hashes) if part.distinct is None else part.distinct
    if row.numeric == 0:
        return None
    if aggregation is Aggregation.SUM:
        return total_of(row)
    if aggregation is Aggregation.AVG:
        return mean_of(row)
    if aggregation is Aggregation.MIN:
        return row.least
    if aggregation is Aggregation.MAX:
        return row.most
    return None if row.latest is None else row.latest.value


def _bounds(query: MeterQuery, key: AnswerKey, part: Part) -> tuple[int, int]:
    if query.window_size is not None and key.window is not None:
        return key.window, window_end(key.window, query.window_size, zone(query.zone))
    start = part.first_minute * 60 if query.asked_from is None else query.asked_from
    end = part.last_minute * 60 + 60 if query.asked_to is None else query.asked_to
    return start, end


def _nothing(query: MeterQuery) -> list[ResultRow]:
    """No event: COUNT and UNIQUE_COUNT answer one zero row when nothing is grouped."""
    counts = query.meter.aggregation in (Aggregation.COUNT, Aggregation.UNIQUE_COUNT)
    grouped = query.by_subject or query.customers is not None or query.group_by
    if not counts or query.window_size is not None or grouped:
        return []
    start = 0 if query.asked_from is None else query.asked_from
    end = 60 if query.asked_to is None else query.asked_to
    return [ResultRow(window_start=start, window_end=end, value=0)]
