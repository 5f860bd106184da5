"""A reset: what grants keep, and what of the overage they pay at once.

Source: metering §6.6.
"""

from dataclasses import dataclass
from decimal import Decimal

from domain.credits.burn_down import Balances, BurnDown, burn_down
from domain.credits.grant import Grant
from domain.credits.quantity import ZERO


@dataclass(frozen=True, slots=True)
class Rollover:
    """What was kept, the overage carried, and both after the one paid for the other."""

    kept: Balances
    overage: Decimal
    after: BurnDown


def roll_over(
    active: tuple[Grant, ...], balances: Balances, overage: Decimal, *, preserve_overage: bool
) -> Rollover:
    """The start of a period, for the grants active at the reset, in burn order. Exact inside `quantity.exactly`.

    Each keeps what it holds, at least its minimum (which may raise it) and at most its maximum (which wins). A grant
    that ends at the reset is gone. Overage that is preserved is burned from what was kept; the rest stays overage.
    """
    kept = {
        grant.id: min(grant.max_rollover, max(grant.min_rollover, balances.get(grant.id, ZERO)))
        for grant in active
    }
    if not preserve_overage or not overage:
        return Rollover(kept, ZERO, BurnDown(kept, (), ZERO))
    burnt = burn_down(active, kept, overage)
    return Rollover(kept, overage, BurnDown({**kept, **burnt.balances}, burnt.taken, burnt.overage))
