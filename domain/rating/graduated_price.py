"""Each unit at the price of the tier it lies in. Source: catalog §3.12, §3.13.

A part walks the tiers from the quantity before it (exclusive) to the quantity at its end (inclusive), so that the parts
of a split period charge together what the whole would.
"""

from collections.abc import Iterator
from decimal import Decimal

from domain.money.amounts import ZERO
from domain.rating.line import DetailedLine, MeteredUsage
from domain.rating.price import Tier, TieredPrice


def graduated_lines(price: TieredPrice, usage: MeteredUsage) -> tuple[DetailedLine, ...]:
    """For each tier, in order: its units of this part, then its flat amount where the usage enters it here."""
    return tuple(
        line
        for number, (start, tier) in enumerate(_with_starts(price.tiers), start=1)
        for line in _tier_lines(number, start, tier, usage)
    )


def _tier_lines(
    number: int, start: Decimal, tier: Tier, usage: MeteredUsage
) -> Iterator[DetailedLine]:
    units = _units_inside(start, tier, usage)
    visited = units > 0 or (number == 1 and not usage.until_end)  # without usage, the first tier is
    if tier.unit is not None and visited:
        yield usage.line(
            f"graduated-tiered-{number}-price-usage",
            f"usage price for tier {number}",
            per_unit=tier.unit,
            quantity=units,
        )
    if tier.flat is not None and _enters(number, start, usage):
        yield usage.line(
            f"graduated-tiered-{number}-flat-price",
            f"flat price for tier {number}",
            per_unit=tier.flat,
            quantity=Decimal(1),
        )


def _units_inside(start: Decimal, tier: Tier, usage: MeteredUsage) -> Decimal:
    end = usage.until_end if tier.up_to is None else min(tier.up_to, usage.until_end)
    return max(end - max(start, usage.before), ZERO)


def _enters(number: int, start: Decimal, usage: MeteredUsage) -> bool:
    """The first tier is entered by the period's start, used or not; the others by the first unit above their start."""
    if number == 1:
        return usage.part.is_first
    return usage.before <= start < usage.until_end


def _with_starts(tiers: tuple[Tier, ...]) -> Iterator[tuple[Decimal, Tier]]:
    start = ZERO
    for tier in tiers:
        yield start, tier
        if tier.up_to is not None:  # the last one
            start = tier.up_to
