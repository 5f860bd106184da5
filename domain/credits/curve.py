"""A balance over time, as points to draw."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import pairwise

from domain.credits.cuts import Plan
from domain.credits.engine import evaluate
from domain.credits.quantity import exactly
from domain.credits.readings import UsageBetween
from domain.credits.segment import Segment
from domain.credits.state import State


@dataclass(frozen=True, slots=True)
class Point:
    """What all grants held, and what was over, at an instant. A jump is two points of one instant."""

    at: datetime
    balance: Decimal
    overage: Decimal


def curve(
    plan: Plan, state: State, usage: UsageBetween, times: Iterable[datetime]
) -> Iterator[Point]:
    """The balance at `times`, which are in order and not before `state.at`, and on both sides of every cut point.

    Several points may be of one instant; those of a cut point come in the order in which things happen there.
    """
    for at in times:
        done = evaluate(plan, state, usage, at)
        yield from _jumps(done.segments)
        yield Point(at, done.standing.balance, done.standing.overage)
        state = done.state


def _jumps(segments: tuple[Segment, ...]) -> Iterator[Point]:
    """The end of every segment but the last, and the beginning of the one after it, its overage paid."""
    for before, after in pairwise(segments):
        yield Point(before.end, before.balance_at_end, before.overage)
        with exactly():
            paid = min(after.balance, after.overage_at_start)
            begun = Point(after.start, after.balance - paid, after.overage_at_start - paid)
        yield begun
