"""Arithmetic of amounts and quantities: exact, except in the one function that rounds.

Every number that comes in is bounded (`MAX_INTEGER_DIGITS`, `MAX_FRACTION_DIGITS`), so that every product and sum of
rating fits the precision of `EXACT`, which raises rather than rounds.
"""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from decimal import (
    ROUND_HALF_UP,
    Clamped,
    Context,
    Decimal,
    DivisionByZero,
    Inexact,
    InvalidOperation,
    Overflow,
    Underflow,
    localcontext,
)
from fractions import Fraction

from domain.errors import Refused
from domain.money.currency import Currency

MAX_INTEGER_DIGITS = 38
MAX_FRACTION_DIGITS = 38

EXACT = Context(
    prec=500,
    Emin=-999_999,
    Emax=999_999,
    traps=[Clamped, DivisionByZero, Inexact, InvalidOperation, Overflow, Underflow],
)
"""Holds every product and sum that rating makes of numbers within the bounds; raises where a digit would be lost."""

_ROUNDING = Context(
    prec=EXACT.prec, Emin=EXACT.Emin, Emax=EXACT.Emax
)  # loses digits, as it is asked to

ZERO = Decimal(0)

_LIMIT = Decimal(10) ** MAX_INTEGER_DIGITS


def exactly() -> AbstractContextManager[Context]:
    """Operators on decimals inside `with exactly():` follow `EXACT` instead of rounding to 28 digits."""
    return localcontext(EXACT)


def round_amount(amount: Decimal | Fraction, currency: Currency) -> Decimal:
    """The amount in whole minor units of its currency, half away from zero: the only rounding of money there is.

    1.005 USD is 1.01, 1.9556789 JPY is 2, 0.0005 KWD is 0.001.
    """
    return round_half_away(amount, currency.exponent)


def round_half_away(value: Decimal | Fraction, digits: int) -> Decimal:
    """`value` with `digits` digits after the point; what lies in the middle goes away from zero."""
    if isinstance(value, Decimal):
        unit = Decimal((0, (1,), -digits))
        return value.quantize(unit, rounding=ROUND_HALF_UP, context=_ROUNDING)
    scaled = Fraction(value) * 10**digits
    units, rest = divmod(abs(scaled.numerator), scaled.denominator)
    if 2 * rest >= scaled.denominator:
        units += 1
    return EXACT.scaleb(Decimal(units if scaled >= 0 else -units), -digits)


def add_up(values: Iterable[Decimal]) -> Decimal:
    """The exact sum; 0 of nothing."""
    total = ZERO
    for value in values:
        total = EXACT.add(total, value)
    return total


def plain(value: Decimal) -> str:
    """The number as the interface writes it: no exponent, no zeros at the end ("10", "6.51", "0")."""
    return format(EXACT.normalize(value), "f") if value else "0"


def non_negative(value: Decimal, field: str) -> Decimal:
    """`value`; Refused with the field and `number_not_finite`, `number_out_of_range`, `field_must_be_positive_or_zero`."""
    _check_bounds(value, field)
    if value < 0:
        raise Refused("field_must_be_positive_or_zero", f"negative: {plain(value)}", field=field)
    return value


def positive(value: Decimal, field: str) -> Decimal:
    """`value`; Refused as `non_negative` refuses, with `field_must_be_positive` for zero and below."""
    _check_bounds(value, field)
    if value <= 0:
        raise Refused("field_must_be_positive", f"not above zero: {plain(value)}", field=field)
    return value


def _check_bounds(value: Decimal, field: str) -> None:
    if not value.is_finite():
        raise Refused("number_not_finite", f"not a number to count with: {value}", field=field)
    exponent = value.as_tuple().exponent
    assert isinstance(exponent, int)  # a finite number's is
    in_bounds = (
        -MAX_FRACTION_DIGITS <= exponent <= MAX_INTEGER_DIGITS
    )  # 0E+999999 is no size either
    if not (in_bounds and -_LIMIT < value < _LIMIT):
        raise Refused(
            "number_out_of_range",
            f"needs at most {MAX_INTEGER_DIGITS} digits before the point and {MAX_FRACTION_DIGITS} after it",
            field=field,
        )
