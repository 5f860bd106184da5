"""Rating: what a line of an invoice comes to, as detailed lines.

Metered prices: unit conversion, usage discount, price, percentage discount, maximum spend, minimum spend.
Flat prices: price, percentage discount. Credits come after both (domain/rating/credits.py).

Source: catalog §3.12.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from domain.errors import Refused
from domain.money.amounts import ZERO, exactly, non_negative
from domain.money.currency import Currency
from domain.money.totals import Totals, sum_totals
from domain.rating.discounts import NO_FREE_UNITS, FreeUnits, PercentageDiscount, UsageDiscount
from domain.rating.dynamic_price import dynamic_lines
from domain.rating.flat_price import flat_lines
from domain.rating.graduated_price import graduated_lines
from domain.rating.line import DetailedLine, LinePart, MeteredUsage
from domain.rating.package_price import package_lines
from domain.rating.price import (
    DynamicPrice,
    FlatPrice,
    PackagePrice,
    Price,
    TieredPrice,
    TierMode,
    UnitPrice,
    UsagePrice,
)
from domain.rating.spend_limits import capped, top_up
from domain.rating.unit_conversion import UnitConfig, convert_part
from domain.rating.unit_price import unit_lines
from domain.rating.volume_price import volume_lines


@dataclass(frozen=True, slots=True, kw_only=True)
class BillableLine:
    """A line to rate: a price, and what was used.

    `quantity` is metered in the line, `quantity_before_line` in the earlier parts of the same service period;
    `previously_billed` is what these parts billed, gross. A flat price looks at none of the three.
    Refused with the field when a number is negative or not finite, `usage_discount_with_flat_price`,
    `unit_config_requires_usage_based_price` (unit and tiered prices may have one).
    """

    name: str
    price: Price
    currency: Currency
    part: LinePart = LinePart.SINGLE
    quantity: Decimal = ZERO
    quantity_before_line: Decimal = ZERO
    previously_billed: Decimal = ZERO
    discount_percentage: PercentageDiscount | None = None
    discount_usage: UsageDiscount | None = None
    unit_config: UnitConfig | None = None

    def __post_init__(self) -> None:
        for name in ("quantity", "quantity_before_line", "previously_billed"):
            non_negative(getattr(self, name), f"$.{name}")
        if self.discount_usage and isinstance(self.price, FlatPrice):
            raise Refused(
                "usage_discount_with_flat_price",
                "a flat price has no units that could be free",
                field="$.discount_usage",
            )
        if self.unit_config and not isinstance(self.price, UnitPrice | TieredPrice):
            raise Refused(
                "unit_config_requires_usage_based_price",
                "units are converted for unit and tiered prices only",
                field="$.unit_config",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Rating:
    """What a line comes to. `usage` is what was priced, after conversion and free units; None for a flat price."""

    lines: tuple[DetailedLine, ...]
    totals: Totals
    usage: MeteredUsage | None = None
    free_units: FreeUnits = NO_FREE_UNITS


def rate(line: BillableLine) -> Rating:
    """The detailed lines of `line`, in the order of its price, a minimum spend last; their totals add up to its total."""
    with exactly():
        if isinstance(line.price, FlatPrice):
            lines = flat_lines(line.price, name=line.name, part=line.part, currency=line.currency)
            return _rating(line, _less_percentage(line, lines))
        return _rate_usage(line, line.price)


def _rate_usage(line: BillableLine, price: UsagePrice) -> Rating:
    metered = _usage(line)
    free = line.discount_usage.applied_to(metered) if line.discount_usage else NO_FREE_UNITS
    usage = free.taken_from(metered)
    limits = price.commitments
    discounted = _less_percentage(line, price_lines(price, usage))
    lines = tuple(capped(discounted, limits.maximum, line.previously_billed))
    missing = top_up(lines, limits.minimum, line.previously_billed, usage)
    return _rating(line, (*lines, *missing), usage=usage, free_units=free)


def price_lines(price: UsagePrice, usage: MeteredUsage) -> tuple[DetailedLine, ...]:
    """The lines of the price alone, before discounts and spend limits."""
    match price:
        case UnitPrice():
            return unit_lines(price, usage)
        case PackagePrice():
            return package_lines(price, usage)
        case DynamicPrice():
            return dynamic_lines(price, usage)
        case TieredPrice(mode=TierMode.GRADUATED):
            return graduated_lines(price, usage)
        case TieredPrice():
            return volume_lines(price, usage)


def _usage(line: BillableLine) -> MeteredUsage:
    """What was used, in the units that are sold."""
    quantity, before = line.quantity, line.quantity_before_line
    if line.unit_config:
        quantity, before = convert_part(quantity, before, line.unit_config)
    return MeteredUsage(
        name=line.name, currency=line.currency, part=line.part, quantity=quantity, before=before
    )


def _less_percentage(line: BillableLine, lines: Iterable[DetailedLine]) -> tuple[DetailedLine, ...]:
    discount = line.discount_percentage
    return tuple(lines) if discount is None else tuple(discount.applied_to(one) for one in lines)


def _rating(
    line: BillableLine,
    lines: tuple[DetailedLine, ...],
    *,
    usage: MeteredUsage | None = None,
    free_units: FreeUnits = NO_FREE_UNITS,
) -> Rating:
    totals = sum_totals((one.totals for one in lines), line.currency)
    return Rating(lines=lines, totals=totals, usage=usage, free_units=free_units)
