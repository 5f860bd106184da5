"""A price for each unit. Source: catalog §3.12."""

from domain.rating.line import DetailedLine, MeteredUsage
from domain.rating.price import UnitPrice


def unit_lines(price: UnitPrice, usage: MeteredUsage) -> tuple[DetailedLine, ...]:
    """One line of all units; no usage, no line."""
    if usage.quantity <= 0:
        return ()
    return (
        usage.line(
            "unit-price-usage", "usage in period", per_unit=price.amount, quantity=usage.quantity
        ),
    )
