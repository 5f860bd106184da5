"""The balance engine: from a state, through the cut points, to an instant.

Pure: the same plan, state and readings give the same result, and stopping at any instant on the way changes nothing.

Source: metering §6.4-6.6. Decisions: docs/decisions/0080, 0081.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from domain.credits.burn_down import Balances, BurnDown, total
from domain.credits.cuts import Cut, Plan, cuts_between
from domain.credits.grant import GrantId
from domain.credits.quantity import ZERO, check_quantity, exactly
from domain.credits.readings import UsageBetween
from domain.credits.reset import Rollover, roll_over
from domain.credits.segment import EndedBy, Segment
from domain.credits.state import Standing, State, burn, standing
from domain.credits.usage import Fresh, PhaseUsage, together
from domain.errors import Refused


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """What is known of a balance that was kept elsewhere: the form of the reference's snapshots.

    It does not say which phase it was taken in. `State` does, and is what to keep.
    """

    balances: Mapping[GrantId, Decimal] | None = None
    """Of every grant; None = grants active at the start are full, others empty."""
    overage: Decimal = ZERO
    period_start: datetime | None = None
    period_usage: Decimal = ZERO
    period_taken: Decimal = ZERO
    seen: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Where the balance stands at the end, and the segments that led there, in order."""

    state: State
    standing: Standing
    segments: tuple[Segment, ...]


def evaluate(
    plan: Plan, state: State, usage: UsageBetween, until: datetime, *, beginners: bool = False
) -> Evaluation:
    """Run from `state` to `until`. Usage in `[state.at, until)` counts.

    What begins exactly at `until` and comes with no refill or reset shows with `beginners` only: to a balance it is
    later, to a running balance and to a history that begins there it is now.

    The segments begin with the phase that `state` is in, as a whole. Refused: `until_before_start`, `too_many_phases`,
    and `state_of_another_plan` where grants or resets changed before the state was taken (roll back first).
    """
    if until < state.at:
        raise Refused(
            "until_before_start", f"until is before {state.at.isoformat()}, the start", "$.until"
        )
    segments: list[Segment] = []
    with exactly():
        for cut in cuts_between(plan, state.phase_start, until, changes_at_end=beginners):
            if cut.at < state.at:
                raise Refused(
                    "state_of_another_plan",
                    f"something changes at {cut.at.isoformat()} that the state, taken later, does not know of",
                    "$.start",
                )
            ended = used(state, usage(state.at, cut.at), cut.at)
            state = cross(plan, ended, cut, segments)
        state = used(state, usage(state.at, until), until)
        segments.append(_segment(state, burn(plan, state), None))
    return Evaluation(state, standing(plan, state), tuple(segments))


def open_state(plan: Plan, at: datetime, opening: Opening | None = None) -> State:
    """The state at `at`, before any usage from then on.

    Without balances, grants active then are full. With balances, a grant that begins just then is filled if it holds
    nothing, one that recurs just then is filled whatever it holds (an opening cannot say that this is done already).
    Refused: `start_balance_unknown_grant`, `start_balance_missing`, `balance_negative`.
    """
    opening = opening or Opening()
    roster = plan.roster
    if opening.balances is not None:
        _check_balances(plan, opening.balances)
    check_quantity(opening.overage, "$.start.overage")
    refilled = {id_ for id_, when in roster.recurrences_at(at)}
    balances: dict[GrantId, Decimal] = {}
    for grant in roster.active_at(at):
        held = None if opening.balances is None else opening.balances[grant.id]
        begins = roster.starts[grant.id] == at and not held
        full = held is None or begins or grant.id in refilled or plan.refills
        balances[grant.id] = grant.amount if full or held is None else held
    return State(
        at=at,
        phase_start=at,
        balances=balances,
        overage=opening.overage,
        usage=plan.nothing,
        period_start=at if opening.period_start is None else opening.period_start,
        period_usage=opening.period_usage,
        period_taken=opening.period_taken,
        seen=opening.seen,
    )


def used(state: State, usage: PhaseUsage, until: datetime) -> State:
    """`state` moved on to `until` inside its phase, in which `usage` happened since `state.at`."""
    return replace(state, at=until, usage=together(state.usage, usage, state.seen))


def cross(plan: Plan, ended: State, cut: Cut, segments: list[Segment] | None = None) -> State:
    """The next phase: `ended` stands at the cut point with all of its phase's usage. Its segments are added.

    First what the phase used is burned; at a reset balances roll over and pay for preserved overage; then grants that
    recur or begin at the cut hold their full amount, so what a rollover took from them is forgiven.
    """
    burnt = burn(plan, ended)
    reset = cut.reset
    if segments is not None:
        segments.append(_segment(ended, burnt, None if reset is None else EndedBy.RESET))
    if reset is None:
        return State(
            at=cut.at,
            phase_start=cut.at,
            balances=_opened(plan, burnt.balances, cut),
            overage=burnt.overage,
            usage=plan.nothing,
            period_start=ended.period_start,
            period_usage=ended.period_usage + ended.usage.amount,
            period_taken=ended.period_taken + total(burnt.taken),
            seen=_seen(ended),
        )
    rolled = roll_over(
        plan.roster.active_at(cut.at),
        burnt.balances,
        burnt.overage,
        preserve_overage=reset.preserve_overage,
    )
    if segments is not None:
        segments.append(_rollover_segment(cut.at, rolled))
    return State(
        at=cut.at,
        phase_start=cut.at,
        balances=_opened(plan, rolled.after.balances, cut),
        overage=rolled.after.overage,
        usage=plan.nothing,
        period_start=cut.at,
        period_taken=total(rolled.after.taken),
    )


def _opened(plan: Plan, balances: Balances, cut: Cut) -> dict[GrantId, Decimal]:
    """What the grants of a phase hold when it begins."""
    starts, refilled, refills = plan.roster.starts, cut.refilled, plan.refills
    return {
        grant.id: grant.amount
        if refills or grant.id in refilled or starts[grant.id] == cut.at
        else balances.get(grant.id, ZERO)
        for grant in plan.roster.active_at(cut.at)
    }


def _seen(ended: State) -> frozenset[str]:
    """The values that the period has seen once this phase is over."""
    if isinstance(ended.usage, Fresh) and ended.usage.values:
        return ended.seen | ended.usage.values
    return ended.seen


def _segment(ended: State, burnt: BurnDown, ended_by: EndedBy | None) -> Segment:
    return Segment(
        start=ended.phase_start,
        end=ended.at,
        balances=ended.balances,
        overage_at_start=ended.overage,
        usage=ended.usage.amount,
        taken=burnt.taken,
        overage=burnt.overage,
        ended_by=ended_by,
    )


def _rollover_segment(at: datetime, rolled: Rollover) -> Segment:
    return Segment(
        start=at,
        end=at,
        balances=rolled.kept,
        overage_at_start=rolled.overage,
        usage=ZERO,
        taken=rolled.after.taken,
        overage=rolled.after.overage,
        ended_by=EndedBy.ROLLOVER,
    )


def _check_balances(plan: Plan, balances: Mapping[GrantId, Decimal]) -> None:
    known = {grant.id for grant in plan.roster.grants}
    for id_, balance in balances.items():
        field = f"$.start.balances.{id_}"
        if id_ not in known:
            raise Refused("start_balance_unknown_grant", f"there is no grant {id_!r}", field)
        if check_quantity(balance, field) < 0:
            raise Refused("balance_negative", f"the balance of {id_!r} is below 0", field)
    for grant in plan.roster.grants:
        if grant.id not in balances:
            raise Refused(
                "start_balance_missing",
                f"balances are given, but none for grant {grant.id!r}",
                f"$.start.balances.{grant.id}",
            )
