"""Usage burns grants. The one place where credit is spent.

Source: metering §6.5, phase step 6.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from domain.credits.grant import Grant, GrantId
from domain.credits.quantity import ZERO

Balances = Mapping[GrantId, Decimal]
"""What grants hold; one that is missing holds nothing."""


@dataclass(frozen=True, slots=True)
class BurnDown:
    """What is left, what was taken from whom (in burn order; 0 from those not reached) and what nobody paid."""

    balances: Balances
    taken: tuple[tuple[GrantId, Decimal], ...]
    overage: Decimal


def burn_down(grants: Iterable[Grant], balances: Balances, demand: Decimal) -> BurnDown:
    """Take `demand` from the `grants`, which come in burn order. Exact inside `quantity.exactly`.

    A grant that holds nothing is passed by. A demand below zero (usage taken back) is given to the first that holds
    something, and may lift it above its amount; with no such grant it stays as overage below zero, a credit.
    """
    left: dict[GrantId, Decimal] = {}
    taken: list[tuple[GrantId, Decimal]] = []
    for grant in grants:
        balance = balances.get(grant.id, ZERO)
        if not balance:
            continue
        share = balance if balance <= demand else demand
        demand -= share
        left[grant.id] = balance - share
        taken.append((grant.id, share))
    return BurnDown(left, tuple(taken), demand)


def total(taken: Iterable[tuple[GrantId, Decimal]]) -> Decimal:
    """What all of them gave."""
    return sum((share for _, share in taken), ZERO)
