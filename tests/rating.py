"""Builders of prices and lines for tests, with defaults; numbers may be written as text."""

from decimal import Decimal

from domain.money.currency import fiat
from domain.rating.price import (
    Commitments,
    DynamicPrice,
    FlatPrice,
    PackagePrice,
    Tier,
    TieredPrice,
    TierMode,
    UnitPrice,
)
from domain.rating.rate import BillableLine

USD = fiat("USD")


def number(value):
    return None if value is None else Decimal(str(value))


def limits(minimum=None, maximum=None):
    return Commitments(minimum=number(minimum), maximum=number(maximum))


def a_flat_price(amount="100", **more):
    return FlatPrice(amount=number(amount), **more)


def a_unit_price(amount="10", **more):
    return UnitPrice(amount=number(amount), commitments=limits(**more))


def a_package_price(amount="15", size="10", **more):
    return PackagePrice(
        amount=number(amount), quantity_per_package=number(size), commitments=limits(**more)
    )


def a_dynamic_price(multiplier="1", **more):
    return DynamicPrice(multiplier=number(multiplier), commitments=limits(**more))


def a_tier(up_to=None, *, flat=None, unit=None):
    return Tier(up_to=number(up_to), flat=number(flat), unit=number(unit))


def a_tiered_price(*tiers, mode=TierMode.GRADUATED, **more):
    given = tiers or (a_tier(5, flat=100, unit=0), a_tier(10, flat=50), a_tier(unit=1))
    return TieredPrice(mode=mode, tiers=given, commitments=limits(**more))


def a_line(price=None, quantity="1", *, before="0", billed="0", currency=USD, **more):
    return BillableLine(
        name="Tokens",
        price=price or a_unit_price(),
        currency=currency,
        quantity=number(quantity),
        quantity_before_line=number(before),
        previously_billed=number(billed),
        **more,
    )
