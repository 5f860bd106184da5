"""Metered units into the units that are sold: bytes into gigabytes, seconds into begun hours. Source: catalog §1.1, §3.12.

The quantity of the service period is converted, not that of each part: a part gets what the period has at its end less
what it had at the part's start. So an hour begun in one part is not begun again in the next.
"""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from math import ceil, floor

from domain.errors import Refused
from domain.money.amounts import EXACT, positive, round_half_away

MAX_PRECISION = 18
"""Digits after the point that a converted quantity may be rounded to."""

QUOTIENT_DIGITS = 16
"""Digits after the point of a quotient that never ends (10 / 3), half away from zero. Others are exact."""


class Operation(StrEnum):
    """What is done with the metered quantity and the factor."""

    MULTIPLY = "multiply"
    DIVIDE = "divide"


class Rounding(StrEnum):
    """How the converted quantity is rounded to `precision` digits."""

    NONE = "none"
    CEILING = "ceiling"
    FLOOR = "floor"
    HALF_UP = "half_up"


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitConfig:
    """quantity x or / factor, rounded. Refused with the field `factor` or `precision`."""

    operation: Operation
    factor: Decimal
    rounding: Rounding = Rounding.NONE
    precision: int = 0

    def __post_init__(self) -> None:
        positive(self.factor, "$.factor")
        if not 0 <= self.precision <= MAX_PRECISION:
            raise Refused(
                "number_out_of_range", f"not 0 to {MAX_PRECISION} digits", field="$.precision"
            )


def convert(quantity: Decimal, config: UnitConfig) -> Decimal:
    """The quantity in the units that are sold."""
    factor = Fraction(config.factor)
    exact = Fraction(quantity) * (1 / factor if config.operation is Operation.DIVIDE else factor)
    match config.rounding:
        case Rounding.NONE:
            return _decimal(exact)
        case Rounding.CEILING:
            return _scaled(ceil(exact * 10**config.precision), config.precision)
        case Rounding.FLOOR:
            return _scaled(floor(exact * 10**config.precision), config.precision)
        case Rounding.HALF_UP:
            return round_half_away(exact, config.precision)


def convert_part(quantity: Decimal, before: Decimal, config: UnitConfig) -> tuple[Decimal, Decimal]:
    """(quantity, before) of a line in the units that are sold."""
    converted_before = convert(before, config)
    return convert(before + quantity, config) - converted_before, converted_before


def _scaled(units: int, digits: int) -> Decimal:
    return EXACT.scaleb(Decimal(units), -digits)


def _decimal(value: Fraction) -> Decimal:
    """The value itself where its digits end, else its first `QUOTIENT_DIGITS` after the point."""
    digits = _digits_after_point(value.denominator)
    return round_half_away(value, QUOTIENT_DIGITS if digits is None else digits)


def _digits_after_point(denominator: int) -> int | None:
    """How many digits a fraction with this denominator has; None when they never end."""
    rest, powers = denominator, {2: 0, 5: 0}
    for prime in powers:
        while rest % prime == 0:
            rest //= prime
            powers[prime] += 1
    return max(powers.values()) if rest == 1 else None
