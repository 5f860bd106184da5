"""Why a balance is what it is: every segment with what began it, as data.

The command prints it, the API answers with it.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from domain.credits.cuts import Plan
from domain.credits.engine import Evaluation
from domain.credits.grant import Grant, GrantId
from domain.credits.segment import EndedBy, Segment
from domain.time.interval import truncate_minute


class Why(StrEnum):
    """What makes a new segment begin."""

    START = "start"
    BEGAN = "began"
    RECURRED = "recurred"
    EXPIRED = "expired"
    VOIDED = "voided"
    DELETED = "deleted"
    REFILLED = "refilled"
    RESET = "reset"


@dataclass(frozen=True, slots=True)
class Cause:
    """One cause; `grant` is None where it concerns all of them."""

    why: Why
    grant: GrantId | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """A segment and what began it, in the order in which it took effect."""

    segment: Segment
    causes: tuple[Cause, ...]


def explain(plan: Plan, evaluation: Evaluation) -> tuple[Step, ...]:
    """The segments of an evaluation, each with its causes. A rollover's cause is its reset."""
    first = evaluation.segments[0]
    return tuple(
        Step(segment, _causes(plan, segment, is_first=segment is first))
        for segment in evaluation.segments
    )


def _causes(plan: Plan, segment: Segment, *, is_first: bool) -> tuple[Cause, ...]:
    if segment.ended_by is EndedBy.ROLLOVER:
        return (Cause(Why.RESET),)
    at = segment.start
    causes = [Cause(Why.START)] if is_first else []
    causes += [Cause(_ending(grant, at), grant.id) for grant in plan.roster.ending_at(at)]
    if plan.refills and plan.roster.active_at(at):
        return (*causes, Cause(Why.REFILLED))
    recurred = {id_ for id_, _ in plan.roster.recurrences_at(at)}
    for grant in plan.roster.active_at(at):
        if segment.balances.get(grant.id) != grant.amount:
            continue  # not filled: at a start it may begin with a balance that was given
        if plan.roster.starts[grant.id] == at:
            causes.append(Cause(Why.BEGAN, grant.id))
        elif grant.id in recurred:
            causes.append(Cause(Why.RECURRED, grant.id))
    return tuple(causes)


def _ending(grant: Grant, at: datetime) -> Why:
    """Why a grant that ends at `at` does: a deletion goes before a void, a void before an expiry."""
    if grant.deleted_at is not None and truncate_minute(grant.deleted_at) == at:
        return Why.DELETED
    if grant.voided_at is not None and truncate_minute(grant.voided_at) == at:
        return Why.VOIDED
    return Why.EXPIRED
