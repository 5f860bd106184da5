"""A price for every begun package. Source: catalog §3.12.

Packages are counted over the whole service period: a part bills those that the parts before it did not begin.
"""

from decimal import Decimal
from fractions import Fraction
from math import ceil

from domain.money.amounts import ZERO
from domain.rating.line import DetailedLine, MeteredUsage
from domain.rating.price import PackagePrice


def package_lines(price: PackagePrice, usage: MeteredUsage) -> tuple[DetailedLine, ...]:
    """One line of the packages begun in this part; none begun, no line."""
    billed = ZERO if usage.part.is_first else packages(usage.before, price.quantity_per_package)
    begun = packages(usage.until_end, price.quantity_per_package) - billed
    if not begun:
        return ()
    return (usage.line("usage", "usage in period", per_unit=price.amount, quantity=begun),)


def packages(quantity: Decimal, size: Decimal) -> Decimal:
    """How many packages of `size` are begun by `quantity` units."""
    return Decimal(ceil(Fraction(quantity) / Fraction(size)))
