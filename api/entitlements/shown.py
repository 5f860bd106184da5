"""Entitlements and grants as answers show them; v1 and v2 differ. Source: metering §5.2, §6.1."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from api.times import in_utc
from domain.entitlements.grants import ExpiryUnit
from domain.entitlements.managed import (
    Holder,
    Kind,
    ManagedEntitlement,
    ManagedGrant,
    current_period,
    last_reset_at,
)
from domain.time.duration import Duration, add_clamped, format_duration
from domain.time.recurrence import Recurrence, next_after

_EXACT_MAX = 2**53
_CENTURY = Duration(years=100)
_NAMES = {
    (0, Duration(days=1).total_microseconds): "DAY",
    (0, Duration(weeks=1).total_microseconds): "WEEK",
    (1, 0): "MONTH",
    (12, 0): "YEAR",
}


def entitlement_v1(found: ManagedEntitlement, holder: Holder, now: datetime) -> dict[str, Any]:
    """With the subject; a metered one always says that it is not unlimited."""
    shown = {**_entitlement(found, now), "subjectKey": holder.subject_key}
    if found.kind is Kind.METERED:
        shown["isUnlimited"] = False
    return shown


def entitlement_v2(found: ManagedEntitlement, holder: Holder, now: datetime) -> dict[str, Any]:
    """With the customer."""
    shown = {**_entitlement(found, now), "customerId": holder.customer_id}
    if holder.customer_key is not None:
        shown["customerKey"] = holder.customer_key
    if found.issue is not None:
        shown["issue"] = _without_none(
            {"amount": number(found.issue.amount), "priority": found.issue.priority}
        )
    return shown


def grant_v1(found: ManagedGrant, now: datetime) -> dict[str, Any]:
    """One that never expires says that it does in 100 years: v1 knows no other."""
    shown = _grant(found, now)
    if found.expiry is None:
        shown["expiration"] = {"duration": ExpiryUnit.YEAR, "count": 100}
        shown["expiresAt"] = add_clamped(now, _CENTURY)
    return shown


def grant_v2(found: ManagedGrant, now: datetime) -> dict[str, Any]:
    """As it is."""
    return _grant(found, now)


def number(value: Decimal) -> int | float:
    """For JSON, which reads numbers as doubles: whole ones without a point."""
    whole = value == value.to_integral_value() and abs(value) <= _EXACT_MAX
    return int(value) if whole else float(value)


def _entitlement(found: ManagedEntitlement, now: datetime) -> dict[str, Any]:
    period = current_period(found, now)
    shown: dict[str, Any] = {
        "id": found.id,
        "type": found.kind,
        "featureId": found.feature_id,
        "featureKey": found.feature_key,
        "activeFrom": found.active_from,
        "activeTo": found.active.end,
        "createdAt": found.created_at,
        "updatedAt": found.updated_at,
        "deletedAt": found.deleted_at,
        "metadata": _map(found.metadata),
        "annotations": _map(found.annotations),
        "usagePeriod": _period(found.usage_period),
        "currentUsagePeriod": period and {"from": period.start, "to": period.end},
    }
    if found.kind is Kind.STATIC:
        shown["config"] = found.config
    if found.kind is Kind.METERED:
        shown |= {
            "isSoftLimit": found.is_soft_limit,
            "issueAfterReset": 0 if found.issue is None else number(found.issue.amount),
            "issueAfterResetPriority": found.issue and found.issue.priority,
            "preserveOverageAtReset": found.preserve_overage,
            "measureUsageFrom": found.measured_from,
            "lastReset": last_reset_at(found),
        }
    return _without_none(shown)


def _grant(found: ManagedGrant, now: datetime) -> dict[str, Any]:
    grant, expiry = found.grant, found.expiry
    return _without_none(
        {
            "id": grant.id,
            "entitlementId": found.entitlement_id,
            "amount": number(grant.amount),
            "priority": grant.priority,
            "effectiveAt": grant.effective_at,
            "expiration": expiry and {"duration": expiry.unit, "count": expiry.count},
            "expiresAt": grant.expires_at,
            "voidedAt": grant.voided_at,
            "maxRolloverAmount": number(grant.max_rollover),
            "minRolloverAmount": number(grant.min_rollover),
            "recurrence": _period(grant.recurrence),
            "nextRecurrence": grant.recurrence
            and next_after(grant.recurrence, now, inclusive=True),
            "metadata": _map(found.metadata),
            "annotations": _map(found.annotations),
            "createdAt": grant.created_at,
            "updatedAt": found.updated_at,
            "deletedAt": grant.deleted_at,
        }
    )


def _period(period: Recurrence | None) -> dict[str, Any] | None:
    """`interval` by its name where it has one: `P7D` is WEEK."""
    if period is None:
        return None
    interval, text = period.interval, format_duration(period.interval)
    length = (interval.total_months, interval.total_microseconds)
    name = None if "T" in text else _NAMES.get(length)
    return {"interval": name or text, "intervalISO": text, "anchor": in_utc(period.anchor)}


def _map(given: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if given is None else dict(given)


def _without_none(shown: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in shown.items() if value is not None}
