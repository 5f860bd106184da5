"""Reading a case of `meterstream simulate credits`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from domain.credits.cuts import ListedResets, Plan, Reset
from domain.credits.engine import Opening, open_state
from domain.credits.grant import Grant, GrantId
from domain.credits.quantity import ZERO
from domain.credits.readings import Readings
from domain.credits.roster import Roster
from domain.credits.state import State
from domain.credits.usage import Added, Fresh, Last, PhaseUsage, Reading
from domain.errors import Refused
from domain.metering.meter import Aggregation
from domain.time.recurrence import Recurrence
from runtime.simulate.credits_readings import distinct, quantity, readings_of
from runtime.simulate.reading import (
    Fields,
    WrongInput,
    choice,
    duration,
    flag,
    inside,
    list_of,
    map_of,
    text,
    time,
    whole,
)
from runtime.simulate.writing import json_number, time_text


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditCase:
    """A case as the engine takes it."""

    plan: Plan
    state: State
    readings: Readings
    until: datetime
    since: datetime
    """Of `usage`: from when its value counts."""
    counted: Decimal
    """The value of `start.usage`, which may count from elsewhere than the period's start."""
    takes_back: bool
    """Whether a reading is below zero."""


def read_case(fields: Fields) -> CreditCase:
    """The case in `fields`. WrongInput for a wrong form, Refused for what the rules refuse."""
    aggregation = fields.optional("aggregation", choice(Aggregation)) or Aggregation.SUM
    grants = fields.get("grants", list_of(read_grant))
    start = fields.get("start", Fields)
    at, until = start.get("at", time), fields.get("until", time)
    preserve = fields.optional("preserve_overage", flag) or False
    times = fields.optional("resets", list_of(time)) or []
    if at in times:
        raise Refused("reset_at_start", "a reset at the start has nothing to reset", "$.resets")
    with inside("$"):
        plan = Plan(
            Roster(grants), ListedResets([Reset(r, preserve) for r in times if r > at]), aggregation
        )
    usage = fields.get("usage", readings_of(aggregation))
    since, counted, state = _start(start, plan, usage)
    return CreditCase(
        plan=plan,
        state=state,
        readings=Readings(aggregation, usage),
        until=until,
        since=since,
        counted=counted,
        takes_back=any(isinstance(r.value, Decimal) and r.value < 0 for r in usage),
    )


def read_grant(value: object, path: str) -> Grant:
    """A grant; what may be missing: priority (0), created_at (effective_at), the ends, recurrence and rollover (0)."""
    fields = Fields(value, path)
    effective_at = fields.get("effective_at", time)
    amount = fields.get("amount", quantity)
    min_rollover = fields.optional("reset_min_rollover", quantity) or ZERO
    max_rollover = fields.optional("reset_max_rollover", quantity) or ZERO
    recurrence = fields.optional("recurrence", _recurrence)
    with _grant_at(path):
        grant = Grant(
            id=GrantId(fields.get("id", text)),
            amount=amount,
            priority=fields.optional("priority", whole) or 0,
            effective_at=effective_at,
            created_at=fields.optional("created_at", time) or effective_at,
            expires_at=fields.optional("expires_at", time),
            voided_at=fields.optional("voided_at", time),
            deleted_at=fields.optional("deleted_at", time),
            recurrence=recurrence,
            max_rollover=max_rollover,
            min_rollover=min_rollover,
        )
    fields.done()
    return grant


_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
"""Of grants without any time only the ids differ."""


def read_listed_grant(value: object, path: str) -> Grant:
    """A grant whose place in the burn order is asked for: only `id` and what decides it matter."""
    fields = Fields(value, path)
    effective_at = fields.optional("effective_at", time) or _LONG_AGO
    created_at = fields.optional("created_at", time) or effective_at
    ends = fields.optional("expires_at", time)
    for name in _OF_A_GRANT:
        fields.has(name)
    with _grant_at(path):
        grant = Grant(
            id=GrantId(fields.get("id", text)),
            amount=Decimal(1),
            effective_at=created_at if ends is None else min(created_at, ends),
            created_at=created_at,
            expires_at=ends,
            priority=fields.optional("priority", whole) or 0,
        )
    fields.done()
    return grant


_OF_A_GRANT = (
    "amount",
    "effective_at",
    "deleted_at",
    "voided_at",
    "recurrence",
    "reset_max_rollover",
    "reset_min_rollover",
)


@contextmanager
def _grant_at(path: str) -> Iterator[None]:
    """Let a grant's refusal name the field as this format calls it."""
    try:
        yield
    except Refused as refused:
        name = (refused.field or "$").removeprefix("$")
        raise Refused(refused.code, str(refused), path + _NAMES.get(name, name)) from None


_NAMES = {
    ".expiresAt": ".expires_at",
    ".minRolloverAmount": ".reset_min_rollover",
    ".maxRolloverAmount": ".reset_max_rollover",
}


def _recurrence(value: object, path: str) -> Recurrence:
    fields = Fields(value, path)
    interval, anchor = fields.get("interval", duration), fields.get("anchor", time)
    fields.done()
    with inside(path):
        return Recurrence(interval=interval, anchor=anchor)


def _start(fields: Fields, plan: Plan, usage: list[Reading]) -> tuple[datetime, Decimal, State]:
    """From when `usage` counts, its value at the start, and the state there."""
    at = fields.get("at", time)
    counting = fields.optional("usage", Fields)
    since, counted, phase = at, ZERO, None
    if counting is not None:
        since, counted = counting.get("since", time), counting.get("value", quantity)
        phase = counting.optional("phase", Fields)
        counting.done()
        if since > at:
            raise WrongInput(counting.where("since"), "is after the start")
    balances = (
        fields.optional("balances", map_of(quantity)) or None
    )  # none at all is as if not given
    opening = Opening(
        balances=None if balances is None else {GrantId(i): v for i, v in balances.items()},
        overage=fields.optional("overage", quantity) or ZERO,
        period_start=since,
        period_usage=fields.optional("period_usage", quantity) or ZERO,
        period_taken=fields.optional("total_grant_usage", quantity) or ZERO,
        seen=frozenset(r.value for r in usage if isinstance(r.value, str) and since <= r.at < at),
    )
    fields.done()
    state = open_state(plan, at, opening)
    return since, counted, state if phase is None else _resumed(phase, plan, state)


def _resumed(fields: Fields, plan: Plan, opened: State) -> State:
    """The state that an earlier result's `usage.phase` describes, taken at the start of this case."""
    balances = fields.get("balances", map_of(quantity))
    known = {grant.id for grant in plan.roster.grants}
    for id_ in balances:
        if id_ not in known:
            raise Refused("start_balance_unknown_grant", f"there is no grant {id_!r}", fields.path)
    state = State(
        at=opened.at,
        phase_start=fields.get("from", time),
        balances={GrantId(id_): balance for id_, balance in balances.items()},
        overage=fields.get("overage", quantity),
        usage=_phase_usage(fields, plan.nothing),
        period_start=opened.period_start,
        period_usage=fields.get("period_usage", quantity),
        period_taken=fields.get("total_grant_usage", quantity),
        seen=frozenset(fields.optional("seen", list_of(distinct)) or ()),
    )
    if state.phase_start > state.at:
        raise WrongInput(fields.where("from"), "is after the start")
    fields.done()
    return state


def _phase_usage(fields: Fields, nothing: PhaseUsage) -> PhaseUsage:
    if isinstance(nothing, Fresh):
        return Fresh(frozenset(fields.optional("fresh", list_of(distinct)) or ()))
    amount, at = fields.get("usage", quantity), fields.optional("latest_at", time)
    return Last(amount, at) if isinstance(nothing, Last) else Added(amount)


def phase_of(state: State) -> Mapping[str, object]:
    """What `start.usage.phase` has to be for a later case to go on exactly as if nothing had been stopped."""
    phase: dict[str, object] = {
        "from": time_text(state.phase_start),
        "balances": {id_: json_number(held) for id_, held in state.balances.items()},
        "overage": json_number(state.overage),
        "period_usage": json_number(state.period_usage),
        "total_grant_usage": json_number(state.period_taken),
    }
    match state.usage:
        case Fresh(values):
            return phase | {"seen": sorted(state.seen), "fresh": sorted(values)}
        case Last(amount, at):
            last = None if at is None else time_text(at)
            return phase | {"usage": json_number(amount), "latest_at": last}
        case Added(amount):
            return phase | {"usage": json_number(amount)}
