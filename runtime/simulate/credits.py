"""`meterstream simulate credits`: what grants hold after usage, refills, resets and expiries."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from domain.credits.engine import Evaluation, Opening, evaluate, open_state
from domain.credits.grant import burn_order, effective_period
from domain.credits.quantity import ZERO, exactly
from domain.credits.segment import Segment
from domain.credits.state import standing
from domain.credits.usage import Fresh, Last
from domain.time.interval import Interval
from runtime.simulate.credits_case import CreditCase, phase_of, read_case, read_listed_grant
from runtime.simulate.reading import Fields, WrongInput, choice, list_of, time
from runtime.simulate.writing import json_number, time_text

Answer = dict[str, object]


class Kind(StrEnum):
    """What is asked."""

    BALANCE = "balance"
    ORDER = "order"
    EFFECTIVE_PERIOD = "effective_period"


def run(case: dict[str, object]) -> Answer:
    """The balances and the segments that led there; of `order` the ids, of `effective_period` its ends."""
    fields = Fields(case)
    match fields.optional("kind", choice(Kind)) or Kind.BALANCE:
        case Kind.ORDER:
            grants = sorted(fields.get("grants", list_of(read_listed_grant)), key=burn_order)
            answer: Answer = {"order": [grant.id for grant in grants]}
        case Kind.EFFECTIVE_PERIOD:
            answer = _ends(fields.get("grant", _period))
        case Kind.BALANCE:
            credit = read_case(fields)
            answer = result(credit, evaluate_case(credit))
    fields.done()
    return answer


def explain(case: dict[str, object]) -> str:
    """The segments as a table, each with what began it."""
    from runtime.simulate.credits_account import account

    credit = _balance_case(case, "--explain")
    return account(credit, evaluate_case(credit))


def plot(case: dict[str, object], target: Path | None) -> str:
    """The balance over time: as text, or as a PNG at `target`."""
    from runtime.simulate.credits_picture import as_png, in_terminal

    credit = _balance_case(case, "--plot")
    return in_terminal(credit) if target is None else as_png(credit, target)


def evaluate_case(case: CreditCase) -> Evaluation:
    """The case through the engine."""
    return evaluate(case.plan, case.state, case.readings, case.until)


def _balance_case(case: dict[str, object], option: str) -> CreditCase:
    fields = Fields(case)
    if (fields.optional("kind", choice(Kind)) or Kind.BALANCE) is not Kind.BALANCE:
        raise WrongInput(option, "is for balances, not for an order or a period")
    credit = read_case(fields)
    fields.done()
    return credit


def result(case: CreditCase, done: Evaluation) -> Answer:
    """What the command prints. Every grant is listed; one that is not active holds 0."""
    nothing: Answer = dict.fromkeys(sorted(grant.id for grant in case.plan.roster.grants), 0)
    now = done.standing
    return {
        "balances": nothing | {id_: json_number(held) for id_, held in now.balances.items()},
        "balance": json_number(now.balance),
        "overage": json_number(now.overage),
        "usage": _usage(case, done),
        "period_usage": json_number(now.usage),
        "total_grant_usage": json_number(now.taken),
        "segments": [_segment(segment, nothing) for segment in done.segments],
    }


def _usage(case: CreditCase, done: Evaluation) -> Answer:
    """`usage` as its own count: it goes on from `start.usage` until a reset begins it anew."""
    since, value = done.state.period_start, done.standing.usage
    if since == case.since:
        with exactly():
            value = case.counted + value - standing(case.plan, case.state).usage
    usage: Answer = {"since": time_text(since), "value": json_number(value)}
    return usage | {"phase": phase_of(done.state)} if _needs_phase(case, done) else usage


def _needs_phase(case: CreditCase, done: Evaluation) -> bool:
    """Whether a case that starts with the documented fields of this result would not go on exactly.

    Usage that does not simply add up needs the phase it is in; so does a stop at an instant whose refills have already
    been burned from, which the fields cannot tell from refills still to come.
    """
    state, now = done.state, done.standing
    match state.usage:
        case Fresh(values) if values or state.seen:
            return True
        case Last(_, at) if at is not None:
            return True
    if state.phase_start < state.at and not case.plan.refills:
        return case.takes_back
    held = {grant.id: now.balances.get(grant.id, ZERO) for grant in case.plan.roster.grants}
    return open_state(case.plan, state.at, Opening(balances=held)).balances != now.balances


def _segment(segment: Segment, nothing: Answer) -> Answer:
    """`nothing` has every grant with 0, which is what those not active hold."""
    held = {str(id_): json_number(amount) for id_, amount in segment.balances.items()}
    return {
        "from": time_text(segment.start),
        "to": time_text(segment.end),
        "balance_at_start": nothing | held,
        "overage_at_start": json_number(segment.overage_at_start),
        "total_usage": json_number(segment.usage),
        "grant_usages": {id_: json_number(share) for id_, share in segment.taken},
        "overage": json_number(segment.overage),
        "ended_by": segment.ended_by,
    }


def _period(value: object, path: str) -> Interval:
    fields = Fields(value, path)
    return effective_period(
        fields.get("effective_at", time),
        fields.optional("expires_at", time),
        fields.optional("voided_at", time),
        fields.optional("deleted_at", time),
    )


def _ends(period: Interval) -> Answer:
    return {
        "from": time_text(period.start),
        "to": None if period.end is None else time_text(period.end),
    }
