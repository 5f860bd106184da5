"""Amounts of credit: exact decimals, in the unit of the meter that the grant pays for."""

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal, localcontext

from domain.errors import Refused
from domain.metering.rows import EXACT

ZERO = Decimal(0)
LIMIT = Decimal(10) ** 28
"""Every quantity is below this, in absolute terms."""
FRACTION_DIGITS_MAX = 38
"""With `LIMIT` this leaves room for 10^10 quantities in a sum of 76 digits, which is never rounded."""


@contextmanager
def exactly() -> Iterator[None]:
    """Arithmetic that raises rather than rounds, for the block."""
    with localcontext(EXACT):
        yield


def check_quantity(value: Decimal, field: str) -> Decimal:
    """`value` if it can be summed exactly; else Refused: `number_not_finite` or `number_out_of_range`."""
    if not value.is_finite():
        raise Refused("number_not_finite", f"{field} is {value}, not a finite number", field)
    exponent = value.as_tuple().exponent
    assert isinstance(exponent, int)  # finite
    if value.copy_abs() >= LIMIT or exponent < -FRACTION_DIGITS_MAX:
        raise Refused(
            "number_out_of_range",
            f"{field} is below 10^28 and has at most {FRACTION_DIGITS_MAX} fraction digits",
            field,
        )
    return value
