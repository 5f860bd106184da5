"""What an entitlement asks of its grants: the one that is issued with it, new ones, and voids.

Source: metering §5.5, §6.1, §6.2, §11.12.
"""

from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from domain.credits.grant import Grant, GrantId
from domain.entitlements.usage_period import Timeline
from domain.errors import Refused
from domain.time.duration import Duration, add_overflowing
from domain.time.interval import truncate_minute

EXPIRY_COUNT_MAX = 1_000


class ExpiryUnit(StrEnum):
    """What an expiry is counted in."""

    HOUR = "HOUR"
    DAY = "DAY"
    WEEK = "WEEK"
    MONTH = "MONTH"
    YEAR = "YEAR"


_LENGTH = {
    ExpiryUnit.HOUR: Duration(hours=1),
    ExpiryUnit.DAY: Duration(days=1),
    ExpiryUnit.WEEK: Duration(weeks=1),
    ExpiryUnit.MONTH: Duration(months=1),
    ExpiryUnit.YEAR: Duration(years=1),
}


def expires_at(effective_at: datetime, unit: ExpiryUnit, count: int) -> datetime:
    """When a grant expires. Months and years run over: 31 January + 1 month is 2 or 3 March. Refused: `expiry_invalid`."""
    if not 1 <= count <= EXPIRY_COUNT_MAX:
        raise Refused(
            "expiry_invalid", f"an expiry counts 1-{EXPIRY_COUNT_MAX}", "$.expiration.count"
        )
    return add_overflowing(truncate_minute(effective_at), _LENGTH[unit], count)


def issued_grant(
    timeline: Timeline, *, id: GrantId, amount: Decimal, now: datetime, priority: int = 1
) -> Grant:
    """The grant that comes with an entitlement: never expires, and every reset brings it back to `amount`.

    It begins with the usage period that is current when the entitlement is made.
    """
    return Grant(
        id=id,
        amount=amount,
        priority=priority,
        effective_at=timeline.period_at(now).start,
        created_at=now,
        min_rollover=amount,
        max_rollover=amount,
    )


def check_begins(timeline: Timeline, effective_at: datetime, now: datetime) -> datetime:
    """The minute in which a new grant begins. Refused before the current usage period: `grant_before_the_period`."""
    minute = truncate_minute(effective_at)
    _check_in_period(timeline, minute, now, "grant_before_the_period", "$.effectiveAt")
    return minute


def voided(grant: Grant, timeline: Timeline, at: datetime, now: datetime) -> Grant:
    """`grant` void from the minute of `at` on; what it paid stays paid.

    Refused: `grant_already_voided`, `void_in_the_future`, `void_before_the_period`.
    """
    if grant.voided_at is not None:
        raise Refused("grant_already_voided", f"void since {grant.voided_at.isoformat()}")
    if at > now:
        raise Refused("void_in_the_future", "a grant cannot be voided in the future", "$.at")
    minute = truncate_minute(at)
    _check_in_period(timeline, minute, now, "void_before_the_period", "$.at")
    return replace(grant, voided_at=minute)


def _check_in_period(
    timeline: Timeline, at: datetime, now: datetime, code: str, field: str
) -> None:
    start = timeline.period_at(now).start
    if at < start:
        raise Refused(
            code, f"before the current usage period, which began {start.isoformat()}", field
        )
