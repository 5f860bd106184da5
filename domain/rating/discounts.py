"""Free units, and percentages off every detailed line. Source: catalog §1.1, §3.12."""

from dataclasses import dataclass, replace
from decimal import Decimal

from domain.errors import Refused
from domain.money.amounts import ZERO, non_negative, round_amount
from domain.rating.line import DetailedLine, DiscountReason, MeteredUsage

_WHOLE = 100
_HUNDREDTH = Decimal("0.01")


@dataclass(frozen=True, slots=True, kw_only=True)
class PercentageDiscount:
    """50 is half off. Refused with `percentage_discount_invalid_value` outside 0 to 100.

    `correlation_id` is made once for the discount and kept, so that a line rated again finds its discount again.
    """

    percentage: Decimal
    correlation_id: str = ""

    def __post_init__(self) -> None:
        if not (self.percentage.is_finite() and 0 <= self.percentage <= _WHOLE):
            raise Refused(
                "percentage_discount_invalid_value",
                f"not 0 to {_WHOLE}: {self.percentage}",
                field="$.percentage",
            )
        non_negative(self.percentage, "$.percentage")

    def applied_to(self, line: DetailedLine) -> DetailedLine:
        """The line with its share taken off, rounded half away from zero."""
        off = round_amount(line.total * self.percentage * _HUNDREDTH, line.currency)
        ref = f"rateCardDiscount/correlationID={self.correlation_id}"
        return line.discounted(ref, DiscountReason.PERCENTAGE, off)


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageDiscount:
    """The first `quantity` units of the whole service period are free."""

    quantity: Decimal
    correlation_id: str = ""

    def __post_init__(self) -> None:
        if self.quantity.is_finite() and self.quantity < 0:
            raise Refused(
                "usage_discount_negative_quantity", "free units below zero", field="$.quantity"
            )
        non_negative(self.quantity, "$.quantity")

    def applied_to(self, usage: MeteredUsage) -> "FreeUnits":
        """Which units are free: those before the line first, then the line's own."""
        before = min(self.quantity, usage.before)
        return FreeUnits(quantity=min(self.quantity - before, usage.quantity), before=before)


@dataclass(frozen=True, slots=True, kw_only=True)
class FreeUnits:
    """What a usage discount takes: `quantity` of the line's units, and `before` of those before it.

    A line stores it when `quantity` is above zero.
    """

    quantity: Decimal = ZERO
    before: Decimal = ZERO

    def taken_from(self, usage: MeteredUsage) -> MeteredUsage:
        """The usage that is left to be priced."""
        return replace(
            usage, quantity=usage.quantity - self.quantity, before=usage.before - self.before
        )


NO_FREE_UNITS = FreeUnits()
