"""Minimum and maximum spend of a service period. Source: catalog §3.12.

What the parts before a line have billed counts gross, before their discounts.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from decimal import Decimal

from domain.money.amounts import ZERO, add_up, round_amount
from domain.rating.line import Category, DetailedLine, DiscountReason, MeteredUsage


def capped(
    lines: Iterable[DetailedLine], maximum: Decimal | None, previously_billed: Decimal
) -> Iterator[DetailedLine]:
    """The lines in order, each discounted by what it exceeds the maximum by; past it, wholly."""
    billed = previously_billed
    for line in lines:
        total = line.total
        billed += total
        if maximum is not None and billed > maximum:
            excess = round_amount(min(billed - maximum, total), line.currency)
            line = line.discounted("line_maximum_spend", DiscountReason.MAXIMUM_SPEND, excess)
        yield line


def top_up(
    lines: Iterable[DetailedLine],
    minimum: Decimal | None,
    previously_billed: Decimal,
    usage: MeteredUsage,
) -> tuple[DetailedLine, ...]:
    """On a period's last part, the line that fills up to the minimum; none where nothing is missing."""
    if minimum is None or not usage.part.is_last:
        return ()
    billed = add_up(line.total for line in lines) + previously_billed
    missing = round_amount(max(minimum - billed, ZERO), usage.currency)
    if not missing:
        return ()
    line = usage.line("min-spend", "minimum spend", per_unit=missing, quantity=Decimal(1))
    return (replace(line, category=Category.COMMITMENT, covers_full_period=True),)
