"""A fixed amount for a service period. Source: catalog §3.12."""

from decimal import Decimal

from domain.money.currency import Currency
from domain.rating.line import DetailedLine, LinePart
from domain.rating.price import FlatPrice, PaymentTerm


def flat_lines(
    price: FlatPrice, *, name: str, part: LinePart, currency: Currency
) -> tuple[DetailedLine, ...]:
    """One line: with the period's first part when paid in advance, with its last when paid in arrears."""
    in_advance = price.payment_term is PaymentTerm.IN_ADVANCE
    if not (part.is_first if in_advance else part.is_last):
        return ()
    return (
        DetailedLine(
            ref="flat-price",
            name=name,
            per_unit=price.amount,
            quantity=Decimal(1),
            currency=currency,
            payment_term=price.payment_term,
        ),
    )
