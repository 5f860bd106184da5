"""A price for usage that is a cost already. Source: catalog §3.12."""

from decimal import Decimal

from domain.money.amounts import round_amount
from domain.rating.line import DetailedLine, MeteredUsage
from domain.rating.price import DynamicPrice


def dynamic_lines(price: DynamicPrice, usage: MeteredUsage) -> tuple[DetailedLine, ...]:
    """The cost times the multiplier as one unit, whose amount is rounded; no cost, no line."""
    if usage.quantity <= 0:
        return ()
    cost = round_amount(usage.quantity * price.multiplier, usage.currency)
    return (usage.line("usage", "usage in period", per_unit=cost, quantity=Decimal(1)),)
