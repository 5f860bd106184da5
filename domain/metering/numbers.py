"""Which values are numbers, in which lane they are counted, and what text a JSON value has.

Values arrive as JSON was read: int, Decimal (never float), str, bool, None, list, dict.
Source: design "Numbers" and metering §1.6, §2.4: numeric text counts as ClickHouse's toFloat64OrNull reads it, what is
not finite does not count; compared with the engine by tests/contract/test_numbers_against_chdb.py.
"""

import re
from decimal import Decimal, DecimalException, Inexact

from domain.metering.rows import EXACT, Number

EXACT_LIMIT = 10**28
"""Values below this, in absolute terms, with at most 38 fraction digits, are summed exactly."""

_FRACTION_DIGITS = 38
_EXACT_LIMIT = Decimal(EXACT_LIMIT)
_SMALLEST = Decimal(1).scaleb(-_FRACTION_DIGITS)
_INFINITE = (float("inf"), float("-inf"))

_NUMERIC_TEXT = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?\Z")


def read_number(value: object) -> Number | None:
    """The number that `value` counts as: exact where the lane holds it, else a finite float; None when it is none."""
    if type(value) is int:
        return value if -EXACT_LIMIT < value < EXACT_LIMIT else _outside(value)
    if type(value) is Decimal:
        return _lane(value)
    if type(value) is str and _NUMERIC_TEXT.match(value):
        return _read_text(value)
    return None


def json_text(value: object) -> str:
    """The text of a JSON value as ClickHouse's JSON_VALUE gives it; "" for what is missing, lists and objects.

    null is "null", 1.10 is "1.1", 1e5 is "1e+05", an integer keeps its digits. A number past the range of doubles is "".
    """
    if type(value) is str:
        return value
    if type(value) is int:
        return str(value)
    if type(value) is Decimal:
        return _double_text(float(value))
    if value is True:
        return "true"
    if value is False:
        return "false"
    return "null" if value is None else ""


def json_number(value: Number) -> int | float:
    """A number for JSON, which reads every number as a double: integers that a double holds stay whole."""
    return value if type(value) is int and abs(value) <= 2**53 else float(value)


def _read_text(text: str) -> Number | None:
    try:
        return _lane(Decimal(text))
    except DecimalException:  # an exponent beyond what Decimal can hold
        return _finite(float(text))


def _lane(value: Decimal) -> Number | None:
    if not value.is_finite():
        return None
    if not value:
        return 0
    exponent = value.as_tuple().exponent
    if not -_EXACT_LIMIT < value < _EXACT_LIMIT:
        return _outside(value)
    if isinstance(exponent, int) and exponent >= -_FRACTION_DIGITS:
        return value
    try:
        return EXACT.normalize(EXACT.quantize(value, _SMALLEST))
    except Inexact:
        return _outside(value)


def _outside(value: int | Decimal) -> Number | None:
    """A value the exact lane cannot hold, as the double it is read as; None when that is infinite."""
    try:
        return _finite(float(value))
    except OverflowError:  # an int; a Decimal gives infinity
        return None


def _finite(number: float) -> Number | None:
    if number in _INFINITE:
        return None
    return number or 0


def _double_text(number: float) -> str:
    """The shortest text that reads back as `number`: plain unless the form with an exponent is shorter."""
    if number in _INFINITE:
        return ""
    text = repr(number)
    if abs(number) >= 0.001 and "e" not in text and not text.endswith(".0"):
        return text  # nearly all there are
    sign, digits, exponent = Decimal(text).normalize().as_tuple()
    assert isinstance(exponent, int)
    minus = "-" if sign else ""
    if not any(digits):
        return minus + "0"
    plain = _plain(digits, exponent, number)
    mantissa = f"{digits[0]}." + "".join(map(str, digits[1:]))
    scientific = f"{mantissa.rstrip('.')}e{exponent + len(digits) - 1:+03d}"
    return minus + (plain if len(plain) <= len(scientific) else scientific)


def _plain(digits: tuple[int, ...], exponent: int, number: float) -> str:
    text = "".join(map(str, digits))
    if exponent >= 0:
        return str(abs(int(number)))  # the digits of the double itself, not zeros
    point = len(text) + exponent
    return f"{text[:point]}.{text[point:]}" if point > 0 else f"0.{'0' * -point}{text}"
