"""One line of the account that explains a balance: a phase, or the rollover between two periods.

Source: metering §5.8 (burndownHistory), §6.5 step 8.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from domain.credits.burn_down import Balances, total
from domain.credits.grant import GrantId
from domain.credits.quantity import ZERO, exactly


class EndedBy(StrEnum):
    """Why a segment is followed by another, where it is not a grant's doing."""

    RESET = "reset"
    ROLLOVER = "rollover"


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """`[start, end)` with what grants held before its demand; grants that are not named held nothing.

    What balances and overage began with, plus nothing, less usage is what they ended with:
    sum(balances) - overage - usage stays the same from start to end.
    """

    start: datetime
    end: datetime
    balances: Balances
    overage_at_start: Decimal
    usage: Decimal
    taken: tuple[tuple[GrantId, Decimal], ...]
    """In burn order; 0 from grants that hold something and were not reached."""
    overage: Decimal
    ended_by: EndedBy | None = None

    @property
    def balance(self) -> Decimal:
        """What all grants held at the start."""
        with exactly():
            return sum(self.balances.values(), ZERO)

    @property
    def balances_at_end(self) -> dict[GrantId, Decimal]:
        """What each grant held at the end, before the next cut point does anything."""
        with exactly():
            left = dict(self.balances)
            for id_, share in self.taken:
                left[id_] -= share
            return left

    @property
    def balance_at_end(self) -> Decimal:
        """What all grants held at the end."""
        with exactly():
            return sum(self.balances.values(), ZERO) - total(self.taken)
