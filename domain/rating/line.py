"""What rating takes and gives: the part of a service period that a line bills, and the detailed lines it comes to."""

from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum

from domain.money.amounts import EXACT, ZERO, add_up, round_amount
from domain.money.currency import Currency
from domain.money.totals import Totals
from domain.rating.price import PaymentTerm


class LinePart(StrEnum):
    """Which part of its service period a line bills. A period that is not split has one, `SINGLE`."""

    SINGLE = "single"
    FIRST = "first"
    MID = "mid"
    LAST = "last"

    @property
    def is_first(self) -> bool:
        """Whether the line starts where the service period starts."""
        return self in (LinePart.SINGLE, LinePart.FIRST)

    @property
    def is_last(self) -> bool:
        """Whether the line ends where the service period ends."""
        return self in (LinePart.SINGLE, LinePart.LAST)


class Category(StrEnum):
    """Regular lines are for what was sold, commitments fill up to what was promised."""

    REGULAR = "regular"
    COMMITMENT = "commitment"


class DiscountReason(StrEnum):
    """Why something is not charged."""

    PERCENTAGE = "ratecard_percentage"
    USAGE = "ratecard_usage"
    MAXIMUM_SPEND = "maximum_spend"


@dataclass(frozen=True, slots=True, kw_only=True)
class AmountDiscount:
    """Taken off one detailed line; `amount` is in whole minor units, `ref` tells it from the line's other discounts."""

    ref: str
    reason: DiscountReason
    amount: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditAllocation:
    """Credit of the customer that pays a part of one detailed line; `amount` is in whole minor units."""

    credit_id: str
    amount: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class DetailedLine:
    """`quantity` at `per_unit` each, neither of them rounded; rounding happens once, to their product.

    `ref` is the child reference id: stable over re-rating, so that a stored line keeps its id.
    `covers_full_period`: the line is for the whole service period even where only a part of it is billed.
    """

    ref: str
    name: str
    per_unit: Decimal
    quantity: Decimal
    currency: Currency
    payment_term: PaymentTerm = PaymentTerm.IN_ARREARS
    category: Category = Category.REGULAR
    covers_full_period: bool = False
    discounts: tuple[AmountDiscount, ...] = ()
    credits: tuple[CreditAllocation, ...] = ()

    @property
    def gross(self) -> Decimal:
        """The rounded amount before discounts and credits."""
        return round_amount(EXACT.multiply(self.per_unit, self.quantity), self.currency)

    @property
    def totals(self) -> Totals:
        """What the line adds up to; a commitment counts as a charge, not as an amount."""
        commitment = self.category is Category.COMMITMENT
        return Totals(
            currency=self.currency,
            amount=ZERO if commitment else self.gross,
            charges=self.gross if commitment else ZERO,
            discounts=add_up(d.amount for d in self.discounts),
            credits=add_up(c.amount for c in self.credits),
        )

    @property
    def total(self) -> Decimal:
        """What is to be paid for the line."""
        return self.totals.total

    def discounted(self, ref: str, reason: DiscountReason, amount: Decimal) -> "DetailedLine":
        """The line with one more discount; nothing to take off changes nothing."""
        if not amount:
            return self
        discount = AmountDiscount(ref=ref, reason=reason, amount=amount)
        return replace(self, discounts=(*self.discounts, discount))


@dataclass(frozen=True, slots=True, kw_only=True)
class MeteredUsage:
    """What is priced: `quantity` of the line, and `before` it in the same service period (earlier parts)."""

    name: str
    currency: Currency
    part: LinePart
    quantity: Decimal
    before: Decimal = ZERO

    @property
    def until_end(self) -> Decimal:
        """The quantity of the service period up to the line's end."""
        return self.before + self.quantity

    def line(self, ref: str, what: str, *, per_unit: Decimal, quantity: Decimal) -> DetailedLine:
        """A regular line of this usage; `what` follows the name of the line it belongs to."""
        return DetailedLine(
            ref=ref,
            name=f"{self.name}: {what}",
            per_unit=per_unit,
            quantity=quantity,
            currency=self.currency,
        )
