"""Why a balance is what it is: the account by segments, the rows of usage behind each, and the events behind those.

Everything is read from Postgres and ClickHouse and evaluated by the rules; what a worker says is set beside it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from api.balances.accounts import Account
from api.balances.calls import BalanceCalls
from api.balances.history import refuse_unmetered, touching
from api.balances.reading import Read
from api.balances.recompute import Usage
from api.balances.valuing import Metered, metered, phases_until, value_of
from domain.credits.curve import Point, curve
from domain.credits.cuts import Reset
from domain.credits.engine import evaluate, open_state
from domain.credits.explanation import Step, explain
from domain.credits.grant import Grant
from domain.entitlements.entitlement import value_instant
from domain.entitlements.history import state_from
from domain.entitlements.readings import minute_at
from domain.errors import NotFound, Refused
from domain.metering.meter import Aggregation
from domain.metering.series import SeriesRow
from domain.metering.usage_events import EventPlace, UsageEvent
from domain.time.interval import Interval, truncate_minute
from schemas.balances import Question, Value

SEGMENTS_MAX = 2_000
"""Segments of one explanation; a later start has fewer."""
ROWS_MAX = 20_000
"""Rows of usage of one explanation, all segments together."""
_SAMPLES = 240
"""Points of the picture between cut points."""
_TICK = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """As of when (None: now), since when (None: the usage period before the current one), and how much to show."""

    at: datetime | None = None
    start: datetime | None = None
    rows: int = 50
    """Rows of each segment."""
    events: int = 100
    after: EventPlace | None = None


@dataclass(frozen=True, slots=True)
class ExplainedSegment:
    """A segment with its causes, the first rows of usage in it, and how many there are."""

    step: Step
    rows: Sequence[SeriesRow]
    row_count: int
    event_count: int


@dataclass(frozen=True, slots=True)
class Evaluated:
    """The balance with everything that it follows from, since `start`."""

    start: datetime
    period: Interval
    value: Value
    segments: Sequence[ExplainedSegment]
    grants: Sequence[Grant]
    """That were active at some time since `start`, in burn order."""
    resets: Sequence[Reset]
    by_hand: frozenset[datetime]
    points: Sequence[Point]


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """A balance explained. Usage before `until`, a whole minute, counts."""

    account: Account
    at: datetime
    until: datetime
    of: Evaluated
    events: Sequence[UsageEvent]
    next_event: EventPlace | None
    as_of_ms: int | None
    running: Read | None
    """What a worker says, where that was asked and could be."""


async def explain_balance(calls: BalanceCalls, account: Account, asked: Asked) -> Explanation:
    """Explain a metered entitlement. Refused, Unavailable."""
    refuse_unmetered(account)
    stored = calls.stored
    at = calls.now() if asked.at is None else asked.at
    until = value_instant(at)
    phases_until(account.record, until)
    usage = await stored.recompute.usage([account], until)
    of = await stored.recompute.evaluated(
        lambda: _evaluated(account, usage, asked, at, until), [account], usage, until
    )
    assert account.meter is not None
    events: Sequence[UsageEvent] = ()
    if asked.events:
        events = await stored.events.events(
            account.meter,
            account.subjects,
            int(of.start.timestamp()),
            int(until.timestamp()),
            limit=asked.events,
            after=asked.after,
            group_filters=account.filters,
        )
    return Explanation(
        account=account,
        at=at,
        until=until,
        of=of,
        events=events,
        next_event=events[-1].place if events and len(events) == asked.events else None,
        as_of_ms=usage.as_of_ms,
        running=None if asked.at is not None else await _running(calls, account),
    )


def refuse_foreign(account: Account, customer_id: str) -> None:
    """NotFound for an entitlement that is not the customer's."""
    if account.record.customer_id != customer_id:
        raise NotFound(f"customer {customer_id} has no entitlement {account.record.id}")


async def _running(calls: BalanceCalls, account: Account) -> Read | None:
    """What a worker says now; None where none can."""
    record = account.record
    return await calls.balances.told(Question(customer=record.customer_id, features=(record.id,)))


def _evaluated(
    account: Account, usage: Usage, asked: Asked, at: datetime, until: datetime
) -> Evaluated:
    rows = sorted(usage.rows[0], key=_order)
    found = metered(account, rows)
    start = _start(found, asked, until)
    opened = open_state(found.plan, min(found.timeline.measured_from, until))
    begun = state_from(found.plan, opened, found.usage, start)
    evaluation = evaluate(found.plan, begun, found.usage, until)
    if len(evaluation.segments) > SEGMENTS_MAX:
        raise Refused(
            "too_many_segments",
            f"{len(evaluation.segments)} segments since {start.isoformat()}; {SEGMENTS_MAX} can be explained: "
            "ask for a later from",
            "from",
        )
    steps = explain(found.plan, evaluation)
    step_s = (until - start) / _SAMPLES
    times = [start + step_s * n for n in range(_SAMPLES)] + [until]
    if found.plan.aggregation is Aggregation.UNIQUE_COUNT:
        times = [until]  # each sample would look at all values again
    return Evaluated(
        start=start,
        period=found.timeline.period_at(until),
        value=value_of(account, rows, at),
        segments=_with_rows(steps, rows, asked.rows),
        grants=touching(found.plan.roster.grants, start, until),
        resets=found.timeline.between(start - _TICK, until),
        by_hand=frozenset(found.timeline.by_hand),
        points=list(curve(found.plan, begun, found.usage, times)),
    )


def _start(found: Metered, asked: Asked, until: datetime) -> datetime:
    """Where the account begins: as asked, else with the usage period before the current one."""
    measured_from = min(found.timeline.measured_from, until)
    if asked.start is not None:
        start = truncate_minute(asked.start)
        if start < measured_from:
            raise Refused(
                "history_before_measuring",
                f"measuring began at {measured_from.isoformat()}",
                "from",
            )
        if start > until:
            raise Refused("history_ends_before_it_starts", "from is after time", "from")
        return start
    current = found.timeline.period_at(until).start
    before = found.timeline.period_at(current - _TICK).start if current > measured_from else current
    return min(max(before, measured_from), until)


def _order(row: SeriesRow) -> tuple[int, str, tuple[str, ...], int, int]:
    return row.minute, row.subject, row.groups, row.partition, row.row.epoch


def _with_rows(
    steps: Sequence[Step], rows: Sequence[SeriesRow], limit: int
) -> list[ExplainedSegment]:
    left = ROWS_MAX
    found = []
    for step in steps:
        segment = step.segment
        first = bisect_left(rows, segment.start, key=_at)
        last = bisect_left(rows, segment.end, first, key=_at)
        shown = rows[first : min(last, first + min(limit, left))]
        left -= len(shown)
        events = sum(row.row.count for row in rows[first:last])
        found.append(ExplainedSegment(step, shown, last - first, events))
    return found


def _at(row: SeriesRow) -> datetime:
    return minute_at(row.minute)
