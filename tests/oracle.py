"""What every meter query must answer, recomputed slowly and plainly from the full list of events.

Nothing here knows of rows, chunks or positions in a state: events are read one by one, values are fractions.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Context, Decimal
from fractions import Fraction
from math import fsum, isclose

from domain.metering.filters import text_matches
from domain.metering.jsonpath import MISSING, compile_path
from domain.metering.judge import SECOND_MAX, SECOND_MIN
from domain.metering.numbers import json_text
from domain.metering.query import MeterQuery, ResultRow
from domain.metering.windows import window_end, window_start, zone


@dataclass(frozen=True, kw_only=True)
class Event:
    """An event as sent; `data` as decoded with decimals. `position` breaks ties of LATEST, else the order given does."""

    id: str
    subject: str
    type: str
    second: int
    data: object
    namespace: str = "default"
    source: str = "test"
    position: int | None = None


def answer(events: Iterable[Event], query: MeterQuery) -> list[ResultRow]:
    """The rows of the answer, by window, subject and group values (without windows by the latter two)."""
    meter = query.meter
    found: dict[tuple, list[tuple[int, Event]]] = {}
    for position, event in enumerate(accepted(events)):
        if event.namespace != meter.namespace or event.type != meter.event_type:
            continue
        if not _asked_for(event, query):
            continue
        groups = _groups(event, meter)
        window = None
        if query.window_size is not None:
            window = window_start(event.second, query.window_size, zone(query.zone))
        key = (
            window,
            event.subject if query.by_subject else None,
            query.customers[event.subject] if query.customers is not None else None,
            tuple(groups[name] for name in query.group_by),
        )
        found.setdefault(key, []).append((position, event))
    rows = []
    order = sorted(found, key=lambda k: (k[0] or 0, (k[2] if k[1] is None else k[1]) or "", k[3]))
    for window, subject, customer, groups in order:
        members = found[window, subject, customer, groups]
        value = _value(members, meter)
        if value is None:
            continue
        start, end = _bounds(window, members, query)
        rows.append(
            ResultRow(
                window_start=start,
                window_end=end,
                value=value,
                subject=subject,
                customer=customer,
                groups=dict(zip(query.group_by, groups, strict=True)),
            )
        )
    return rows or _nothing(query)


def accepted(events: Iterable[Event]) -> list[Event]:
    """The events that count: the first of each identity, with a time that can be stored."""
    seen = set()
    kept = []
    for event in events:
        identity = (event.namespace, event.source, event.id, event.subject)
        if SECOND_MIN <= event.second <= SECOND_MAX and identity not in seen:
            seen.add(identity)
            kept.append(event)
    return kept


def same(ours: list[ResultRow], expected: list[ResultRow]) -> bool:
    """Equal rows in the same order; doubles may differ in their last digits, exact numbers may not."""
    if len(ours) != len(expected):
        return False
    for a, b in zip(ours, expected, strict=True):
        if (a.window_start, a.window_end, a.subject) != (b.window_start, b.window_end, b.subject):
            return False
        if dict(a.groups) != dict(b.groups):
            return False
        doubles = isinstance(a.value, float) or isinstance(b.value, float)
        if not (isclose(a.value, b.value, rel_tol=1e-12) if doubles else a.value == b.value):
            return False
    return True


def _asked_for(event: Event, query: MeterQuery) -> bool:
    if query.start is not None and event.second < query.start:
        return False
    if query.end is not None and event.second >= query.end:
        return False
    if query.subjects is not None and event.subject not in query.subjects:
        return False
    if not all(text_matches(test, event.subject) for test in query.subject_filters):
        return False
    groups = _groups(event, query.meter)
    return all(text_matches(test, groups[name]) for name, test in query.group_filters)


def _groups(event: Event, meter) -> dict[str, str]:
    return {
        name: json_text(compile_path(path).find(event.data))
        for name, path in meter.group_by.items()
    }


def _value(members: list[tuple[int, Event]], meter):
    if meter.aggregation == "COUNT":
        return len(members)
    find = compile_path(meter.value_property).find
    if meter.aggregation == "UNIQUE_COUNT":
        texts = set()
        for _, event in members:
            value = find(event.data)
            if value is not None:
                texts.add("" if value is MISSING else json_text(value))
        return len(texts)
    numbers = []
    for position, event in members:
        number = _number(find(event.data))
        if number is not None:
            tie = position if event.position is None else event.position
            numbers.append((event.second, tie, number))
    if not numbers:
        return None
    if meter.aggregation == "LATEST":
        return _plain(max(numbers)[2])
    values = [number for _, _, number in numbers]
    if meter.aggregation == "MIN":
        return _plain(min(values))
    if meter.aggregation == "MAX":
        return _plain(max(values))
    exact = sum((value for value in values if isinstance(value, Fraction)), Fraction(0))
    doubles = [value for value in values if isinstance(value, float)]
    if meter.aggregation == "AVG":
        if doubles:
            return fsum([float(exact), *doubles]) / len(values)
        return float(exact / len(values))
    return fsum([float(exact), *doubles]) if doubles else _plain(exact)


def _number(value: object) -> Fraction | float | None:
    """A Fraction when the exact lane holds the value, else a finite float, else None."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal | str):
        return None
    if isinstance(value, str):
        body = value[1:] if value[:1] in ("+", "-") else value
        if not body.isascii() or not body or not set(body) <= set("0123456789.eE+-"):
            return None
    try:
        double = float(value)
    except (ValueError, OverflowError):
        return None
    if double in (float("inf"), float("-inf")):
        return None
    if double == 0:
        return Fraction(0)
    exact = Fraction(value)
    if abs(exact) < 10**28 and (exact * 10**38).denominator == 1:
        return exact
    return double


def _plain(value: Fraction | float):
    """A Fraction of the exact lane as a Decimal with every digit."""
    if isinstance(value, float):
        return value
    scaled = value * 10**38
    assert scaled.denominator == 1
    return Decimal(scaled.numerator).scaleb(-38, Context(prec=200))


def _bounds(window: int | None, members: list[tuple[int, Event]], query: MeterQuery):
    if window is not None:
        return window, window_end(window, query.window_size, zone(query.zone))
    seconds = [event.second for _, event in members]
    start, end = query.asked_from, query.asked_to
    if start is None:
        start = min(seconds) // 60 * 60
    if end is None:
        end = max(seconds) // 60 * 60 + 60
    return start, end


def _nothing(query: MeterQuery) -> list[ResultRow]:
    """Without events the counts answer one zero, unless windows or groups were asked for."""
    counts = query.meter.aggregation in ("COUNT", "UNIQUE_COUNT")
    grouped = query.by_subject or query.customers is not None or query.group_by
    if not counts or query.window_size or grouped:
        return []
    start = query.asked_from if query.asked_from is not None else 0
    end = query.asked_to if query.asked_to is not None else 60
    return [ResultRow(window_start=start, window_end=end, value=0)]
