"""Which values are numbers, in which lane they are counted, and what text a JSON value has.

Values arrive as JSON was read: int, Decimal (never float), str, bool, None, list, dict.
Source: design "Numbers" and metering §1.6, §2.4: numeric text counts as ClickHouse's toFloat64OrNull reads it.
"""

import re
from decimal import Decimal

from domain.metering.rows import Number

EXACT_LIMIT = 10**28
"""Values below this, in absolute terms, with at most 38 fraction digits, are summed exactly."""

_FRACTION_DIGITS = 38
_EXACT_LIMIT = Decimal(EXACT_LIMIT)
_FLOAT_DIGITS = 400

_NUMERIC_TEXT = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?\Z", re.ASCII)


def read_number(value: object) -> Number | None:
    """The number that `value` counts as: exact where the lane holds it, else a finite float; None when it is none."""
    if type(value) is int:
        return value if -EXACT_LIMIT < value < EXACT_LIMIT else _outside(Decimal(value))
    if type(value) is Decimal:
        return _lane(value)
    if type(value) is str and len(value) <= _FLOAT_DIGITS and _NUMERIC_TEXT.match(value):
        return _lane(Decimal(value))
    return None


def _lane(value: Decimal) -> Number | None:
    if not value.is_finite():
        return None
    exponent = value.as_tuple().exponent
    if isinstance(exponent, int) and exponent >= -_FRACTION_DIGITS and abs(value) < _EXACT_LIMIT:
        return value
    return _outside(value)


def _outside(value: Decimal) -> Number | None:
    """A value the exact lane cannot hold, as the double it is read as; None when that is infinite."""
    number = float(value)
    if number in (float("inf"), float("-inf")):
        return None
    shortest = Decimal(repr(number))
    exponent = shortest.as_tuple().exponent
    if (
        isinstance(exponent, int)
        and exponent >= -_FRACTION_DIGITS
        and abs(shortest) < _EXACT_LIMIT
        and shortest == value
    ):
        return shortest
    return number


def json_text(value: object) -> str:
    """The text of a JSON value as ClickHouse's JSON_VALUE gives it; "" for missing, null, lists and objects."""
    if type(value) is str:
        return value
    if value is True:
        return "true"
    if value is False:
        return "false"
    if type(value) is int:
        return str(value)
    if type(value) is Decimal:
        return _decimal_text(value)
    return ""


def _decimal_text(value: Decimal) -> str:
    """A JSON number with a fraction or an exponent: the shortest text of its double, as ClickHouse prints doubles."""
    number = float(value)
    if number == 0:
        return "-0" if value.is_signed() else "0"
    if number in (float("inf"), float("-inf")):
        return str(value)
    sign, digits, exponent = Decimal(repr(number)).normalize().as_tuple()
    assert isinstance(exponent, int)
    text = "".join(map(str, digits))
    point = len(text) + exponent
    minus = "-" if sign else ""
    if -6 < point <= 21:
        if point <= 0:
            return f"{minus}0.{'0' * -point}{text}"
        if point >= len(text):
            return minus + text + "0" * (point - len(text))
        return f"{minus}{text[:point]}.{text[point:]}"
    mantissa = text[0] + (f".{text[1:]}" if len(text) > 1 else "")
    return f"{minus}{mantissa}e{point - 1:+d}".replace("e+", "e")
