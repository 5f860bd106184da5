"""Judging an event against the meters of its type, and the times that can be counted at all.

An event is never rejected for its data: what does not fit is said when events are listed. Source: metering §1.6.
"""

from collections.abc import Sequence
from decimal import Decimal

from domain.metering.jsonpath import MISSING, compile_path
from domain.metering.meter import Aggregation, Meter
from domain.metering.numbers import read_number

SECOND_MIN = 1
"""The first second that is counted: 1970-01-01T00:00:01Z."""

SECOND_MAX = 10_413_791_999
"""The last second that is counted: 2299-12-31T23:59:59Z, where ClickHouse's DateTime64 ends."""


def problems(event_type: str, data: object, meters: Sequence[Meter]) -> list[str]:
    """What keeps an event from counting, a text for each meter of its type; `data` is MISSING when there is none."""
    mine = [
        meter for meter in meters if meter.event_type == event_type and meter.deleted_at is None
    ]
    if not mine:
        return [f"no meter found for event type: {event_type}"]
    found = [_problem(meter, data) for meter in mine]
    return [text for text in found if text is not None]


def _problem(meter: Meter, data: object) -> str | None:
    if meter.aggregation is Aggregation.COUNT or meter.value_property is None:
        return None
    if data is MISSING or data is None:
        return "invalid event: null and missing value property"
    value = compile_path(meter.value_property).find(data)
    if value is MISSING:
        return f'invalid event: missing value property: "{meter.value_property}"'
    if value is None:
        return "invalid event: value cannot be null"
    if meter.aggregation is Aggregation.UNIQUE_COUNT:
        return None
    return _number_problem(value)


def _number_problem(value: object) -> str | None:
    if read_number(value) is not None:
        return None
    if isinstance(value, str):
        return _text_problem(value)
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return "invalid event: value cannot be infinity"
    kind = _KINDS.get(type(value), type(value).__name__)
    return f"invalid event: unsupported value property type: {kind}"


_KINDS: dict[type, str] = {bool: "bool", list: "array", dict: "object"}


def _text_problem(text: str) -> str:
    name = text.removeprefix("+").removeprefix("-").lower()
    if name == "nan":
        return "invalid event: value cannot be NaN"
    if name in ("inf", "infinity"):
        return "invalid event: value cannot be infinity"
    return f"invalid event: value cannot be parsed as float64: {text}"
