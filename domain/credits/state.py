"""Where a balance stands: what an evaluation is stopped at and resumed from.

A state keeps the phase it is in as it began, and what the phase has used so far. What grants hold now follows from the
two (`standing`), so a phase that is stopped ten times ends like one that runs through.

Source: metering §6.4, §6.9; exact, so there is no tolerance anywhere.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from domain.credits.burn_down import BurnDown, burn_down, total
from domain.credits.cuts import Plan
from domain.credits.grant import GrantId
from domain.credits.quantity import ZERO, exactly
from domain.credits.usage import PhaseUsage


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Usage before `at` is counted, and every cut point up to `phase_start` has done its work."""

    at: datetime
    phase_start: datetime
    balances: Mapping[GrantId, Decimal]
    """Of the grants active at the phase's start, before the phase's demand."""
    overage: Decimal
    """At the phase's start: the phase pays for it first."""
    usage: PhaseUsage
    """Of the phase so far."""
    period_start: datetime
    period_usage: Decimal = ZERO
    """Of the period's earlier phases."""
    period_taken: Decimal = ZERO
    """What the period's earlier phases, and overage carried into it, took from grants."""
    seen: frozenset[str] = frozenset()
    """UNIQUE_COUNT: the values of the period's earlier phases."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What a state comes to at its instant."""

    balances: Mapping[GrantId, Decimal]
    """Of the grants active at the instant, in burn order."""
    overage: Decimal
    period_start: datetime
    usage: Decimal
    """Since the period's start."""
    taken: Decimal
    """What grants gave since the period's start, to usage and to overage carried into it."""

    @property
    def balance(self) -> Decimal:
        """What is left to use."""
        with exactly():
            return sum(self.balances.values(), ZERO)

    @property
    def total_available(self) -> Decimal:
        """What the period's grants gave and can still give."""
        with exactly():
            return self.taken + self.balance


def standing(plan: Plan, state: State) -> Standing:
    """What grants hold at `state.at`, who is over, and what the period used.

    A grant that ends at that instant is gone; one that begins there (and did not make a cut) holds nothing yet.
    """
    with exactly():
        burnt = burn(plan, state)
        return Standing(
            balances={
                grant.id: burnt.balances.get(grant.id, ZERO)
                for grant in plan.roster.active_at(state.at)
            },
            overage=burnt.overage,
            period_start=state.period_start,
            usage=state.period_usage + state.usage.amount,
            taken=state.period_taken + total(burnt.taken),
        )


def burn(plan: Plan, state: State) -> BurnDown:
    """The phase's usage and the overage it began with, taken from its grants. Exact inside `quantity.exactly`."""
    return burn_down(
        plan.roster.active_at(state.phase_start),
        state.balances,
        state.usage.amount + state.overage,
    )
