"""A phase of a subscription: how long it runs, how long its items run, and when it is billed.

Source: catalog §2.5.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from domain.errors import Refused
from domain.time.duration import Duration, add_clamped
from domain.time.interval import Interval, earlier
from domain.time.recurrence import Recurrence, period_at

MIN_CADENCE = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """`interval` ends with the phase or with the subscription, whichever is first; `billing` recurs from the anchor."""

    interval: Interval
    billing: Recurrence


def phase_interval(
    start: datetime, *, phase_end: datetime | None, subscription_end: datetime | None
) -> Interval:
    """`[start, end)` with the earlier of both ends; an end before the start is Refused."""
    for end, field in ((subscription_end, "$.subscription_end"), (phase_end, "$.phase_end")):
        if end is not None and end < start:
            raise Refused("interval_ends_before_it_starts", "lies before the start", field)
    return Interval(start=start, end=earlier(phase_end, subscription_end))


def cadence(interval: Duration, anchor: datetime) -> Recurrence:
    """What recurs every `interval`; one of less than an hour is Refused with code `billing_cadence_invalid_value`."""
    if not interval.is_positive or _is_short(interval):
        raise Refused("billing_cadence_invalid_value", "a cadence lasts at least an hour")
    return Recurrence(interval=interval, anchor=anchor)


def item_interval(
    phase: Interval, starts_after: Duration | None, ends_after: Duration | None
) -> Interval | None:
    """The part of the phase in which an item runs; None when it would begin where the phase has ended.

    Both offsets count from the phase's start. Equal ones leave an empty interval: the item was taken off at once.
    Refused: an offset below zero, an end before the start.
    """
    start = _offset(phase.start, starts_after, "from") or phase.start
    end = earlier(phase.end, _offset(phase.start, ends_after, "to"))
    if phase.end is not None and start >= phase.end:
        return None
    return Interval(start=start, end=end)


def billing_period(phase: Phase, at: datetime) -> Interval:
    """The billing period of the subscription that contains `at`, clipped to the phase.

    Refused with code `subscription_billing_period_queried_before_subscription_start` before the phase; at its end or
    later the last period is meant.
    """
    run = phase.interval
    if at < run.start:
        raise Refused(
            "subscription_billing_period_queried_before_subscription_start",
            f"{at.isoformat()} lies before the start at {run.start.isoformat()}",
        )
    if run.end is not None and at >= run.end:
        at = max(run.end - timedelta(microseconds=1), run.start)
    found = period_at(phase.billing, at)
    return Interval(start=max(found.start, run.start), end=earlier(found.end, run.end))


def _offset(start: datetime, offset: Duration | None, side: str) -> datetime | None:
    if offset is None:
        return None
    field = "$.starts_after" if side == "from" else "$.ends_after"
    if offset.total_months < 0 or offset.total_microseconds < 0:
        raise Refused(
            f"subscription_item_active_{side}_override_relative_to_phase_start_is_negative",
            "an item starts and ends after its phase starts",
            field,
        )
    try:
        return add_clamped(start, offset)
    except Refused as refused:
        raise Refused(refused.code, str(refused), field) from None


def _is_short(interval: Duration) -> bool:
    return interval.total_months == 0 and (
        timedelta(microseconds=interval.total_microseconds) < MIN_CADENCE
    )
