"""What a price is. Flat prices are charged once a period; all others are charged on usage, in arrears.

Source: catalog §1.1. A wrong price cannot exist: making one raises Refused with the field that is wrong, relative to
the price (`$.tiers[1].up_to`).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from domain.errors import Refused
from domain.money.amounts import non_negative, positive

MAX_TIERS = 1_000
"""Tiers that one price may have."""


class PaymentTerm(StrEnum):
    """When a flat price is charged: as its period starts, or after it has ended."""

    IN_ADVANCE = "in_advance"
    IN_ARREARS = "in_arrears"


class TierMode(StrEnum):
    """Graduated: each unit at the price of the tier it lies in. Volume: all at the price of the tier reached."""

    GRADUATED = "graduated"
    VOLUME = "volume"


@dataclass(frozen=True, slots=True, kw_only=True)
class Commitments:
    """Spend limits of a whole service period; None is no limit. A maximum of 0 gives everything for free.

    Refused with `price_minimum_above_maximum` when both are above 0 and contradict each other.
    """

    minimum: Decimal | None = None
    maximum: Decimal | None = None

    def __post_init__(self) -> None:
        minimum = None if self.minimum is None else non_negative(self.minimum, "$.minimum")
        maximum = None if self.maximum is None else non_negative(self.maximum, "$.maximum")
        if minimum and maximum and minimum > maximum:
            raise Refused(
                "price_minimum_above_maximum",
                f"a minimum of {minimum} above the maximum of {maximum}",
                field="$.minimum",
            )


NO_COMMITMENTS = Commitments()


@dataclass(frozen=True, slots=True, kw_only=True)
class FlatPrice:
    """A fixed amount for a period."""

    amount: Decimal
    payment_term: PaymentTerm = PaymentTerm.IN_ADVANCE

    def __post_init__(self) -> None:
        non_negative(self.amount, "$.amount")


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitPrice:
    """An amount for each unit."""

    amount: Decimal
    commitments: Commitments = NO_COMMITMENTS

    def __post_init__(self) -> None:
        non_negative(self.amount, "$.amount")


@dataclass(frozen=True, slots=True, kw_only=True)
class PackagePrice:
    """An amount for every package of units that was begun."""

    amount: Decimal
    quantity_per_package: Decimal
    commitments: Commitments = NO_COMMITMENTS

    def __post_init__(self) -> None:
        non_negative(self.amount, "$.amount")
        positive(self.quantity_per_package, "$.quantity_per_package")


@dataclass(frozen=True, slots=True, kw_only=True)
class DynamicPrice:
    """The metered quantity is a cost already; it is charged `multiplier` times."""

    multiplier: Decimal = Decimal(1)
    commitments: Commitments = NO_COMMITMENTS

    def __post_init__(self) -> None:
        non_negative(self.multiplier, "$.multiplier")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier:
    """Units above the tier before, up to and including `up_to` (None: no end).

    `unit` is charged for each unit, `flat` once when the tier is reached; one of them must be there.
    """

    up_to: Decimal | None
    flat: Decimal | None = None
    unit: Decimal | None = None

    def __post_init__(self) -> None:
        for name in ("up_to", "flat", "unit"):
            value: Decimal | None = getattr(self, name)
            if value is not None:
                non_negative(value, f"$.{name}")
        if self.flat is None and self.unit is None:
            raise Refused(
                "price_tier_is_empty", "a tier needs a flat or a unit amount", field="$.unit"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class TieredPrice:
    """Prices by quantity. The tiers rise, no two end at the same quantity, and the last one has no end.

    Refused with `invoice_line_no_tiers`, `price_too_many_tiers`, `price_tiers_overlap`, `price_tiers_unsorted`,
    `invoice_line_missing_open_ended_tier`. Whoever takes tiers in any order puts them `in_order` first.
    """

    mode: TierMode
    tiers: tuple[Tier, ...]
    commitments: Commitments = NO_COMMITMENTS

    def __post_init__(self) -> None:
        if not self.tiers:
            raise Refused(
                "invoice_line_no_tiers", "a price needs at least one tier", field="$.tiers"
            )
        if len(self.tiers) > MAX_TIERS:
            raise Refused("price_too_many_tiers", f"more than {MAX_TIERS} tiers", field="$.tiers")
        _check_no_overlap(self.tiers)
        _check_sorted(self.tiers)
        if self.tiers[-1].up_to is not None:
            raise Refused(
                "invoice_line_missing_open_ended_tier",
                "the last tier must have no end, else there are quantities without a price",
                field=f"$.tiers[{len(self.tiers) - 1}].up_to",
            )


UsagePrice = UnitPrice | TieredPrice | PackagePrice | DynamicPrice
Price = FlatPrice | UsagePrice


def in_order(tiers: Iterable[Tier]) -> tuple[Tier, ...]:
    """The tiers by where they end, the open one last."""
    return tuple(sorted(tiers, key=_end))


def _check_no_overlap(tiers: tuple[Tier, ...]) -> None:
    seen: set[Decimal | None] = set()
    for index, tier in enumerate(tiers):
        if tier.up_to in seen:
            raise Refused(
                "price_tiers_overlap",
                "two tiers have no end" if tier.up_to is None else f"two tiers end at {tier.up_to}",
                field=f"$.tiers[{index}].up_to",
            )
        seen.add(tier.up_to)


def _check_sorted(tiers: tuple[Tier, ...]) -> None:
    for index in range(1, len(tiers)):
        if _end(tiers[index]) < _end(tiers[index - 1]):
            raise Refused(
                "price_tiers_unsorted",
                "a tier must end above the one before it, the tier without an end comes last",
                field=f"$.tiers[{index}].up_to",
            )


def _end(tier: Tier) -> Decimal:
    return Decimal("Infinity") if tier.up_to is None else tier.up_to
