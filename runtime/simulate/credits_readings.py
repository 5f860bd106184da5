"""Readings and quantities in the cases of `meterstream simulate credits`."""

from __future__ import annotations

import re
from datetime import datetime
from decimal import Decimal

from domain.credits.usage import Reading
from domain.errors import Refused
from domain.metering.meter import Aggregation
from domain.metering.numbers import json_text
from runtime.simulate.reading import Fields, Reader, WrongInput, list_of, number, shown, time

_NOT_FINITE = frozenset({"nan", "snan", "inf", "infinity"})


def readings_of(aggregation: Aggregation) -> Reader[list[Reading]]:
    """Most readings of a long list are plain, and are read without more ado; the others get a reader that explains."""
    slowly = _reading(aggregation)
    counts_values = aggregation is Aggregation.UNIQUE_COUNT

    def read(value: object, path: str) -> Reading:
        plain = None if counts_values else _plain_reading(value)
        return slowly(value, path) if plain is None else plain

    return list_of(read)


def _plain_reading(value: object) -> Reading | None:
    """A reading with a time in UTC to the second and a short number, and nothing else in it; None for all others."""
    if type(value) is not dict or len(value) != 2 or "at" not in value or "value" not in value:
        return None
    at, amount = value["at"], value["value"]
    if type(at) is not str or not _PLAIN_TIME.fullmatch(at):
        return None
    if type(amount) not in (int, Decimal) or not _PLAIN_NUMBER.fullmatch(str(amount)):
        return None
    try:
        return Reading(datetime.fromisoformat(at), Decimal(amount))
    except ValueError:  # no such day
        return None


_PLAIN_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z", re.ASCII)
_PLAIN_NUMBER = re.compile(r"-?[0-9]{1,20}(?:\.[0-9]{1,20})?", re.ASCII)


def _reading(aggregation: Aggregation) -> Reader[Reading]:
    """Of COUNT a reading without a value counts 1; of UNIQUE_COUNT the value is any text, number or flag."""

    def read(value: object, path: str) -> Reading:
        fields = Fields(value, path)
        at = fields.get("at", time)
        if aggregation is Aggregation.UNIQUE_COUNT:
            reading = Reading(at, fields.get("value", distinct))
        elif aggregation is Aggregation.COUNT and not fields.has("value"):
            reading = Reading(at, Decimal(1))
        else:
            reading = Reading(at, fields.get("value", quantity))
        fields.done()
        return reading

    return read


def distinct(value: object, field: str) -> str:
    """The text that a value is told apart by, as a meter reads it: 1.10 is 1.1."""
    if isinstance(value, dict | list):
        raise WrongInput(field, f"has to be a text, a number, true or false, not {shown(value)}")
    return json_text(value)


def quantity(value: object, field: str) -> Decimal:
    """A number. What is not finite is Refused, like every amount that the rules do not allow."""
    written = str(value).lower().lstrip("+-") if isinstance(value, str | Decimal) else ""
    if written in _NOT_FINITE:
        raise Refused("number_not_finite", f"{shown(value)} is not a finite number", field)
    return number(value, field)
