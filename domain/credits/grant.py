"""A grant: credit that usage burns. When it is active, and which of several burns first.

Source: metering §6.1, §6.3, §6.8.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NewType

from domain.credits.quantity import ZERO, check_quantity
from domain.errors import Refused
from domain.time.duration import add_clamped
from domain.time.interval import Interval, earlier, truncate_minute, truncate_second
from domain.time.recurrence import Recurrence

GrantId = NewType("GrantId", str)

PRIORITY_MAX = 255
RECURRENCE_LEAST = timedelta(minutes=1)
"""Credit has minute resolution: nothing comes back more often."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """Credit of `amount` > 0 from `effective_at` on; `priority` 0-255, the lower burns first.

    `recurrence` refills it to `amount`. At a reset it keeps what it holds, at least `min_rollover` and at most
    `max_rollover`, which wins. An expiry before the start is refused; a void or deletion before it leaves nothing.
    """

    id: GrantId
    amount: Decimal
    effective_at: datetime
    created_at: datetime
    priority: int = 0
    expires_at: datetime | None = None
    voided_at: datetime | None = None
    deleted_at: datetime | None = None
    recurrence: Recurrence | None = None
    min_rollover: Decimal = ZERO
    max_rollover: Decimal = ZERO

    def __post_init__(self) -> None:
        if check_quantity(self.amount, "$.amount") <= 0:
            raise Refused(
                "grant_amount_must_be_positive",
                f"amount is {self.amount}, not above 0",
                "$.amount",
                amount=float(self.amount),
            )
        if not 0 <= self.priority <= PRIORITY_MAX:
            raise Refused("priority_invalid", f"priority is 0-{PRIORITY_MAX}", "$.priority")
        for field, amount in (
            ("$.minRolloverAmount", self.min_rollover),
            ("$.maxRolloverAmount", self.max_rollover),
        ):
            if check_quantity(amount, field) < 0:
                raise Refused("rollover_negative", f"{field[2:]} is {amount}, below 0", field)
        if self.expires_at is not None and self.expires_at < self.effective_at:
            raise Refused(
                "grant_ends_before_it_starts",
                f"expires at {self.expires_at.isoformat()}, before it takes effect",
                "$.expiresAt",
            )
        if self.recurrence is not None:
            _check_recurrence(self.recurrence)


def effective_period(
    effective_at: datetime,
    expires_at: datetime | None,
    voided_at: datetime | None,
    deleted_at: datetime | None,
) -> Interval:
    """`[effective_at, end)`, the end being the earliest of the others; empty where that is before the start."""
    end = earlier(earlier(expires_at, voided_at), deleted_at)
    return Interval(start=effective_at, end=end and max(end, effective_at))


def active_minutes(grant: Grant) -> Interval:
    """When a grant can be burned, in whole minutes: both ends are cut to the minute that they lie in."""
    period = effective_period(
        grant.effective_at, grant.expires_at, grant.voided_at, grant.deleted_at
    )
    return Interval(
        start=truncate_minute(period.start), end=period.end and truncate_minute(period.end)
    )


def burn_order(grant: Grant) -> tuple[int, bool, datetime, datetime, GrantId]:
    """Sort key, first burned first: priority, soonest expiry (to the second; never comes last), oldest, id.

    The id makes the order total, so that the same grants give the same balances in whatever order they arrive.
    """
    never = grant.expires_at is None
    expiry = grant.created_at if grant.expires_at is None else truncate_second(grant.expires_at)
    return (grant.priority, never, expiry, grant.created_at, grant.id)


def recurs_at(grant: Grant) -> Recurrence | None:
    """Its recurrence with the anchor cut to the minute."""
    if grant.recurrence is None:
        return None
    return Recurrence(
        interval=grant.recurrence.interval, anchor=truncate_minute(grant.recurrence.anchor)
    )


def _check_recurrence(recurrence: Recurrence) -> None:
    if add_clamped(recurrence.anchor, recurrence.interval) - recurrence.anchor < RECURRENCE_LEAST:
        raise Refused(
            "recurrence_too_short",
            "a grant recurs at most once a minute",
            "$.recurrence.interval",
        )
