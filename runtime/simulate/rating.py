"""`meterstream simulate rating`: what a line of an invoice comes to."""

from __future__ import annotations

from domain.money.amounts import plain
from domain.rating.line import DetailedLine
from domain.rating.rate import rate
from runtime.simulate.rating_account import account
from runtime.simulate.rating_case import read_line
from runtime.simulate.reading import inside


def run(case: dict[str, object]) -> dict[str, object]:
    """The detailed lines with their totals, and the total of them all."""
    line = read_line(case)
    with inside("$"):
        rating = rate(line)
    return {
        "lines": [_line(one) for one in rating.lines],
        "total": plain(rating.totals.total),
    }


def explain(case: dict[str, object]) -> str:
    """What was converted and what was free, then a table of the lines."""
    line = read_line(case)
    with inside("$"):
        return account(line, rate(line))


def _line(line: DetailedLine) -> dict[str, object]:
    totals = line.totals
    return {
        "ref": line.ref,
        "per_unit": plain(line.per_unit),
        "quantity": plain(line.quantity),
        "payment_term": line.payment_term,
        "category": line.category,
        "period": "full" if line.covers_full_period else "line",
        "discounts": [
            {"reason": discount.reason, "amount": plain(discount.amount)}
            for discount in line.discounts
        ],
        "totals": {
            "amount": plain(totals.amount),
            "charges": plain(totals.charges),
            "discounts": plain(totals.discounts),
            "total": plain(totals.total),
        },
    }
