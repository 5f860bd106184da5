"""The events that a confirmation makes of a used amount, where a meter is simple enough for that.

SUM: one event with the amount at the value property. COUNT: as many events as were used. Every filter of the feature must
be an `$eq`, and every path plain members. What is made is read back by the meter's own rules before it is believed.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from domain.errors import Refused
from domain.metering.jsonpath import compile_path
from domain.metering.meter import Aggregation, Meter
from domain.metering.numbers import json_text, read_number

COUNT_MAX = 1_000
"""Events of one confirmation: they are one record of the log."""


def needs_event(why: str) -> Refused:
    """Nothing can be made of `used`."""
    return Refused("hold_needs_event", f"{why}: confirm with the event instead of used", "$.used")


def datas_of(meter: Meter, filters: Mapping[str, Any], used: Decimal) -> tuple[dict[str, Any], ...]:
    """The data of each event that together adds `used` (> 0) to the feature's usage. Refused."""
    wanted = _wanted_texts(meter, filters)
    datas: tuple[dict[str, Any], ...]
    match meter.aggregation:
        case Aggregation.SUM:
            assert meter.value_property is not None
            datas = (_data({**wanted, meter.value_property: used}),)
        case Aggregation.COUNT:
            if used != used.to_integral_value() or used > COUNT_MAX:
                raise needs_event(f"the meter counts events, and {used} are not 1 to {COUNT_MAX:,}")
            datas = (_data(wanted),) * int(used)
        case other:
            raise needs_event(f"a meter of {other.value} cannot add up what was used")
    for data in datas[:1]:
        _check(meter, data, wanted, used)
    return datas


def _wanted_texts(meter: Meter, filters: Mapping[str, Any]) -> dict[str, str]:
    """By path, the text that the feature asks for."""
    wanted: dict[str, str] = {}
    for key, test in filters.items():
        path = meter.group_by.get(key)
        if path is None or not isinstance(test, Mapping) or set(test) != {"$eq"}:
            raise needs_event(f"the feature's filter of {key} is not one $eq")
        text = test["$eq"]
        if not isinstance(text, str) or wanted.setdefault(path, text) != text:
            raise needs_event(f"the feature's filter of {key} cannot be met")
    return wanted


def _data(values: Mapping[str, Any]) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for path, value in values.items():
        names = compile_path(path).steps
        inside = data
        for name in names[:-1]:
            if not isinstance(name, str):
                raise needs_event(f"{path} is more than names")
            inside = inside.setdefault(name, {})
            if not isinstance(inside, dict):
                raise needs_event(f"{path} lies inside another value")
        if not names or not isinstance(names[-1], str) or names[-1] in inside:
            raise needs_event(f"{path} is more than names, or lies around another value")
        inside[names[-1]] = value
    return data


def _check(meter: Meter, data: Mapping[str, Any], wanted: Mapping[str, str], used: Decimal) -> None:
    """What the meter reads there is what was meant."""
    if any(json_text(compile_path(path).find(data)) != text for path, text in wanted.items()):
        raise needs_event("the feature's filters cannot be met together")
    if meter.value_property is None:
        return
    read = read_number(compile_path(meter.value_property).find(data))
    if isinstance(read, float) or read != used:
        raise needs_event(f"{used} is no number that is added up exactly")
