"""What a line or an invoice adds up to.

Source: catalog §3.3: total = amount + charges + taxes exclusive - discounts - credits.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from domain.errors import Refused
from domain.money.amounts import EXACT, ZERO, add_up, round_amount
from domain.money.currency import Currency


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Amounts in whole minor units of one currency; a part that is not is a ValueError, for it should have been rounded.

    `amount` is gross, before discounts; `charges` are minimum-spend top-ups. Taxes are computed by the invoicing app:
    `taxes_inclusive` is contained in the amount already.
    """

    currency: Currency
    amount: Decimal = ZERO
    charges: Decimal = ZERO
    discounts: Decimal = ZERO
    credits: Decimal = ZERO
    taxes_inclusive: Decimal = ZERO
    taxes_exclusive: Decimal = ZERO
    taxes: Decimal = ZERO

    def __post_init__(self) -> None:
        for name in PARTS:
            value = getattr(self, name)
            if value and round_amount(value, self.currency) != value:
                raise ValueError(f"{name} is not in minor units of {self.currency.code}: {value}")

    @property
    def total(self) -> Decimal:
        """What is to be paid."""
        owed = add_up((self.amount, self.charges, self.taxes_exclusive))
        return EXACT.subtract(owed, add_up((self.discounts, self.credits)))


PARTS = (
    "amount",
    "charges",
    "discounts",
    "credits",
    "taxes_inclusive",
    "taxes_exclusive",
    "taxes",
)


def sum_totals(items: Iterable[Totals], currency: Currency) -> Totals:
    """The totals of everything together, part by part; nothing adds up to zero.

    Refused with `invoice_line_currency_mismatch` when an item has another currency.
    """
    sums = dict.fromkeys(PARTS, ZERO)
    for item in items:
        if item.currency != currency:
            raise Refused(
                "invoice_line_currency_mismatch",
                f"{item.currency.code} on an invoice in {currency.code}",
                field="$.currency",
            )
        for name in PARTS:
            sums[name] = EXACT.add(sums[name], getattr(item, name))
    return Totals(currency=currency, **sums)
