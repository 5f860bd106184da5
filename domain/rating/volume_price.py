"""All units at the price of the tier that their sum reaches. Source: catalog §3.12."""

from decimal import Decimal

from domain.errors import Refused
from domain.rating.line import DetailedLine, MeteredUsage
from domain.rating.price import Tier, TieredPrice


def volume_lines(price: TieredPrice, usage: MeteredUsage) -> tuple[DetailedLine, ...]:
    """The tier's flat amount, then its units; a part that is not the last bills nothing.

    Refused with `invoice_line_graduated_split_not_supported` (the reference's name for it) when there was usage before:
    a volume price needs the whole period's usage on one line.
    """
    if not usage.part.is_last:
        return ()
    if usage.before:
        raise Refused(
            "invoice_line_graduated_split_not_supported",
            "a volume price cannot bill a part of a period: all usage must be on its last line",
            field="$.quantity_before_line",
        )
    return _tier_lines(_tier_of(price, usage.quantity), usage)


def _tier_lines(tier: Tier, usage: MeteredUsage) -> tuple[DetailedLine, ...]:
    lines: list[DetailedLine] = []
    if tier.flat is not None:
        lines.append(
            usage.line("volume-flat-price", "flat price", per_unit=tier.flat, quantity=Decimal(1))
        )
    if tier.unit is not None and usage.quantity:
        lines.append(
            usage.line(
                "volume-tiered-price", "unit price", per_unit=tier.unit, quantity=usage.quantity
            )
        )
    return tuple(lines)


def _tier_of(price: TieredPrice, quantity: Decimal) -> Tier:
    return next(t for t in price.tiers if t.up_to is None or quantity <= t.up_to)
