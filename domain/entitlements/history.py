"""The history of a balance: usage and starting balance by window, and the segments that explain it.

Source: metering §5.8. DAY and MONTH windows follow the time zone that is asked for, also at their edges.
"""

from bisect import bisect_right
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from domain.credits.cuts import Cut, Plan
from domain.credits.engine import Evaluation, cross, evaluate
from domain.credits.quantity import ZERO, exactly
from domain.credits.readings import UsageBetween
from domain.credits.segment import Segment
from domain.credits.state import State
from domain.errors import Refused
from domain.metering.windows import WindowSize, window_end, window_start
from domain.time.interval import Interval, ceil_minute, truncate_minute

WINDOWS_MAX = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """One window: its usage and what grants held when it began, beginners in its midst not yet among them."""

    period: Interval
    usage: Decimal
    balance_at_start: Decimal


@dataclass(frozen=True, slots=True)
class History:
    """Windows without gaps, and the segments of the same time."""

    windows: tuple[Window, ...]
    segments: tuple[Segment, ...]


def history(
    plan: Plan,
    opened: State,
    usage: UsageBetween,
    *,
    start: datetime,
    end: datetime,
    size: WindowSize,
    zone: ZoneInfo,
) -> History:
    """From the window that holds `start` (cut to the minute) to the one that holds `end` (rounded up).

    `opened` stands where measuring begins. Windows that begin before that are left out, and so is the time before it.
    Refused: `history_before_measuring`, `history_ends_before_it_starts`, `too_many_windows`.
    """
    measured_from = opened.at
    if start < measured_from:
        raise Refused(
            "history_before_measuring",
            f"measuring began at {measured_from.isoformat()}",
            "$.from",
        )
    start, end = truncate_minute(start), ceil_minute(end)
    if end < start:
        raise Refused("history_ends_before_it_starts", "to is before from", "$.to")
    periods = [p for p in _windows(start, end, size, zone) if p.start >= measured_from]
    first = max(_moment(window_start(_second(start), size, zone)), measured_from)
    segments = evaluated_from(plan, opened, usage, first, max(end, first)).segments
    return History(_with_balances(periods, segments, usage), segments)


def evaluated_from(
    plan: Plan, opened: State, usage: UsageBetween, start: datetime, end: datetime
) -> Evaluation:
    """The balance at `end`, with the segments since `start` only, whole minutes both."""
    begun = state_from(plan, opened, usage, start)
    return evaluate(plan, begun, usage, end)


def state_from(plan: Plan, opened: State, usage: UsageBetween, start: datetime) -> State:
    """The state at `start`, a whole minute, as if a phase began there."""
    return _from_here(plan, evaluate(plan, opened, usage, start, beginners=True).state)


def _from_here(plan: Plan, state: State) -> State:
    """A state whose phase begins here: the account of a history does not go back before it."""
    if state.phase_start == state.at:
        return state
    with exactly():
        return cross(plan, state, Cut(state.at))


def _windows(start: datetime, end: datetime, size: WindowSize, zone: ZoneInfo) -> list[Interval]:
    """The windows that cover `[start, end)`; one where it is empty."""
    found: list[Interval] = []
    begin, last = window_start(_second(start), size, zone), _second(end)
    while begin < last or not found:
        if len(found) == WINDOWS_MAX:
            raise Refused("too_many_windows", f"more than {WINDOWS_MAX} windows", "$.windowSize")
        stop = window_end(begin, size, zone)
        found.append(Interval(start=_moment(begin), end=_moment(stop)))
        begin = stop
    return found


def _with_balances(
    periods: list[Interval], segments: tuple[Segment, ...], usage: UsageBetween
) -> tuple[Window, ...]:
    """The balance that the last segment begun by then began with, less the usage since; never below zero."""
    starts = [segment.start for segment in segments]
    windows = []
    with exactly():
        for period in periods:
            assert period.end is not None
            segment = segments[max(bisect_right(starts, period.start) - 1, 0)]
            since = usage(segment.start, max(period.start, segment.start)).amount
            windows.append(
                Window(
                    period=period,
                    usage=usage(period.start, period.end).amount,
                    balance_at_start=max(segment.balance - since, ZERO),
                )
            )
    return tuple(windows)


def _second(at: datetime) -> int:
    return int(at.timestamp())


def _moment(second: int) -> datetime:
    return datetime.fromtimestamp(second, UTC)
