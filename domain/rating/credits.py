"""Credit of the customer pays detailed lines, in order. Source: catalog §3.12."""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

from domain.errors import Refused
from domain.money.amounts import EXACT, add_up, non_negative, plain, round_amount
from domain.rating.line import CreditAllocation, DetailedLine


def pay_with_credits(
    lines: Sequence[DetailedLine], credits: Sequence[CreditAllocation]
) -> tuple[DetailedLine, ...]:
    """The lines, paid from the credits as far as these go: first credit first, first line first.

    Refused with `invoice_line_credits_not_consumed_fully` when more was allocated than there is to pay, and with the
    field of an amount that is below zero or not in minor units.
    """
    left = [credit.amount for credit in credits]
    for index, amount in enumerate(left):
        non_negative(amount, f"$.credits[{index}].amount")
    paid = tuple(_paid(line, credits, left) for line in lines)
    if any(left):
        raise Refused(
            "invoice_line_credits_not_consumed_fully",
            f"{plain(add_up(left))} of the credits found nothing to pay",
            field="$.credits",
        )
    return paid


def _paid(
    line: DetailedLine, credits: Sequence[CreditAllocation], left: list[Decimal]
) -> DetailedLine:
    """The line with what it takes of the credits; takes it from `left`."""
    owed = line.total
    taken: list[CreditAllocation] = []
    for index, credit in enumerate(credits):
        amount = min(left[index], owed)
        if amount != round_amount(amount, line.currency):
            raise Refused(
                "number_out_of_range",
                f"{plain(amount)} is not in minor units of {line.currency.code}",
                field=f"$.credits[{index}].amount",
            )
        if amount:
            taken.append(replace(credit, amount=amount))
            left[index] = EXACT.subtract(left[index], amount)
            owed = EXACT.subtract(owed, amount)
    return replace(line, credits=(*line.credits, *taken))
