"""The value of an entitlement, from its records and its usage. Pure. Source: metering §5.7."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

from api.balances.accounts import METERED, Account
from domain.credits.cuts import Plan, next_cut_after
from domain.credits.engine import Evaluation
from domain.credits.readings import UsageBetween
from domain.entitlements.balance import balance_at
from domain.entitlements.entitlement import (
    Access,
    Granted,
    MeteredAccess,
    NoAccess,
    StaticAccess,
    access,
    value_instant,
)
from domain.entitlements.readings import readings
from domain.entitlements.usage_period import Timeline
from domain.errors import Refused
from domain.metering.series import SeriesRow
from domain.time.duration import parse_duration
from schemas.balances import Value
from schemas.catalog import EntitlementRecord
from schemas.entitlement_plans import active_of, entitlement_of, plan_of, timeline_of


class Metered(NamedTuple):
    """A metered entitlement with its usage, ready to be evaluated."""

    plan: Plan
    timeline: Timeline
    usage: UsageBetween

    def at(self, until: datetime) -> Evaluation:
        """Where it stands at a whole minute. Refused."""
        return balance_at(self.plan, self.timeline, self.usage, until)


def needs_usage(record: EntitlementRecord, at: datetime) -> bool:
    """Whether the value at `at` depends on usage."""
    return record.type == METERED and active_of(record).contains(at)


def metered(account: Account, rows: Iterable[SeriesRow]) -> Metered:
    """Of a metered account. Refused: `aggregation_not_supported`."""
    assert account.meter is not None
    aggregation = account.meter.aggregation
    return Metered(
        plan_of(account.record, aggregation),
        timeline_of(account.record),
        readings(rows, aggregation),
    )


PHASES_MAX = 100_000
"""About as many phases are evaluated at most, which takes 6 s; hourly periods of eleven years."""


def phases_until(record: EntitlementRecord, until: datetime) -> int:
    """About how many phases a metered entitlement has up to `until`: what evaluating it costs. Refused: `too_many_phases`."""
    assert record.measured_from is not None
    assert record.interval is not None
    count = _times(record.interval, record.measured_from, until)
    for grant in record.grants:
        if grant.recurrence_interval is not None:
            ends = (grant.expires_at, grant.voided_at, grant.deleted_at, until)
            end = min(at for at in ends if at is not None)
            begin = max(grant.effective_at, record.measured_from)
            count += _times(grant.recurrence_interval, begin, end)
    if count > PHASES_MAX:
        raise Refused(
            "too_many_phases",
            f"about {count} periods and recurrences up to then; {PHASES_MAX} can be recomputed",
            "time",
        )
    return count + len(record.grants)


def _times(interval: str, begin: datetime, end: datetime) -> int:
    length = parse_duration(interval)
    about_s = length.total_months * 2_592_000 + length.total_microseconds / 1_000_000
    return max(0, int((end - begin).total_seconds() / max(about_s, 1.0)))


def value_of(account: Account, rows: Iterable[SeriesRow], at: datetime) -> Value:
    """The value at `at`; `rows` is all usage since measuring began. Refused."""
    entitlement = entitlement_of(account.record)
    if not needs_usage(account.record, at):
        return _value(account.record, access(entitlement, at))
    found, until = metered(account, rows), value_instant(at)
    evaluation = found.at(until)
    period = found.timeline.period_at(until)
    return _value(
        account.record,
        access(entitlement, at, evaluation.standing),
        period_start=period.start,
        period_end=period.end,
        next_cut_at=next_cut_after(found.plan, until),
    )


def _value(
    record: EntitlementRecord,
    found: Access,
    *,
    period_start: datetime | None = None,
    period_end: datetime | None = None,
    next_cut_at: datetime | None = None,
) -> Value:
    named: Any = {
        "entitlement_id": record.id,
        "customer_id": record.customer_id,
        "feature_id": record.feature_id,
        "feature_key": record.feature_key,
        "type": record.type,
    }
    match found:
        case NoAccess():
            return Value(**named, has_access=False)
        case Granted():
            return Value(**named, has_access=True)
        case StaticAccess(config=config):
            return Value(**named, has_access=True, config=config)
        case MeteredAccess():
            return Value(
                **named,
                has_access=found.has_access,
                balance=found.balance,
                usage=found.usage,
                overage=found.overage,
                total_available=found.total_available,
                grant_balances={str(id_): left for id_, left in found.grant_balances.items()},
                period_start=period_start,
                period_end=period_end,
                next_cut_at=next_cut_at,
            )
