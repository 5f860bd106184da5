"""Cut points: the instants at which what grants hold changes by itself. Between two of them lies a phase.

Source: metering §6.5, "Building phases"; §6.11.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from domain.credits.grant import GrantId
from domain.credits.roster import Roster
from domain.credits.usage import PhaseUsage, no_usage
from domain.errors import Refused
from domain.metering.meter import Aggregation

CUTS_MAX = 1_000_000
"""Cut points of one evaluation; more are refused with code `too_many_phases`."""


@dataclass(frozen=True, slots=True)
class Reset:
    """A usage period ends and the next begins. Overage is forgiven unless it is preserved."""

    at: datetime
    preserve_overage: bool = False


class Resets(Protocol):
    """When periods end."""

    def between(self, after: datetime, until: datetime) -> Sequence[Reset]:
        """The resets in `(after, until]`, in order, one at an instant."""
        ...

    def next_after(self, after: datetime) -> datetime | None:
        """The next reset after an instant; None when there is none."""
        ...


class ListedResets:
    """Resets that are known one by one."""

    __slots__ = ("_resets",)

    def __init__(self, resets: Sequence[Reset] = ()) -> None:
        """In any order; of two at one instant the last counts."""
        by_time = {reset.at: reset for reset in resets}
        self._resets = [by_time[at] for at in sorted(by_time)]

    def between(self, after: datetime, until: datetime) -> Sequence[Reset]:
        """The resets in `(after, until]`."""
        return [reset for reset in self._resets if after < reset.at <= until]

    def next_after(self, after: datetime) -> datetime | None:
        """The next reset after an instant."""
        return next((reset.at for reset in self._resets if reset.at > after), None)


@dataclass(frozen=True, slots=True)
class Plan:
    """What the balance of one entitlement depends on, besides usage: its grants, resets and how usage adds up."""

    roster: Roster
    resets: Resets
    aggregation: Aggregation

    def __post_init__(self) -> None:
        no_usage(self.aggregation)

    @property
    def nothing(self) -> PhaseUsage:
        """The usage of a phase that has just begun."""
        return no_usage(self.aggregation)

    @property
    def refills(self) -> bool:
        """LATEST is a level, not a flow: every phase begins with full grants."""
        return self.aggregation is Aggregation.LATEST


@dataclass(frozen=True, slots=True)
class Cut:
    """A cut point: who is refilled there, and whether a period ends."""

    at: datetime
    refilled: frozenset[GrantId] = frozenset()
    reset: Reset | None = None


def cuts_between(
    plan: Plan, after: datetime, until: datetime, *, changes_at_end: bool
) -> list[Cut]:
    """The cut points in `(after, until]`, in order.

    A grant that merely begins or ends exactly at `until` cuts only if `changes_at_end`: seen from `until`, what it
    changes begins there. A refill or a reset at `until` shows, and so does what coincides with it.
    """
    resets = {reset.at: reset for reset in plan.resets.between(after, until)}
    refilled: dict[datetime, list[GrantId]] = {}
    for count, (id_, at) in enumerate(plan.roster.recurrences_between(after, until)):
        if count >= CUTS_MAX:
            raise _too_many()
        refilled.setdefault(at, []).append(id_)
    changes = plan.roster.changes_between(after, until, at_end=changes_at_end)
    instants = sorted({*resets, *refilled, *changes})
    if len(instants) > CUTS_MAX:
        raise _too_many()
    return [Cut(at, frozenset(refilled.get(at, ())), resets.get(at)) for at in instants]


def next_cut_after(plan: Plan, after: datetime) -> datetime | None:
    """The next cut point after an instant; None when nothing changes by itself any more."""
    found = (
        plan.roster.next_change_after(after),
        plan.roster.next_recurrence_after(after),
        plan.resets.next_after(after),
    )
    return min((at for at in found if at is not None), default=None)


def _too_many() -> Refused:
    return Refused(
        "too_many_phases", f"more than {CUTS_MAX} phases between start and until", "$.until"
    )
