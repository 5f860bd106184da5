"""Entitlement records as the rules see them: timeline, grants, and the plan that a balance follows."""

from __future__ import annotations

from domain.credits.cuts import Plan
from domain.credits.grant import Grant, GrantId
from domain.credits.roster import Roster
from domain.entitlements.entitlement import Boolean, Entitlement, Metered, Static, Terms
from domain.entitlements.usage_period import Timeline
from domain.metering.meter import Aggregation
from domain.time.duration import parse_duration
from domain.time.interval import Interval, earlier
from domain.time.recurrence import Recurrence
from domain.time.usage_periods import Entry
from schemas.catalog import EntitlementRecord, GrantRecord


def timeline_of(record: EntitlementRecord) -> Timeline:
    """The usage periods of a metered entitlement. Refused when they are out of order."""
    assert record.measured_from is not None
    assert record.interval is not None
    assert record.anchor is not None
    interval = parse_duration(record.interval)
    first = Entry(
        since=record.measured_from, recurrence=Recurrence(interval=interval, anchor=record.anchor)
    )
    resets = [
        Entry(since=reset.at, recurrence=Recurrence(interval=interval, anchor=reset.anchor))
        for reset in record.resets
    ]
    return Timeline(
        entries=(first, *resets),
        preserve_overage=record.preserve_overage,
        by_hand={reset.at: reset.preserve_overage for reset in record.resets},
    )


def grant_of(record: GrantRecord) -> Grant:
    """The rule's grant of a record."""
    recurrence = None
    if record.recurrence_interval is not None:
        assert record.recurrence_anchor is not None
        recurrence = Recurrence(
            interval=parse_duration(record.recurrence_interval), anchor=record.recurrence_anchor
        )
    return Grant(
        id=GrantId(record.id),
        amount=record.amount,
        effective_at=record.effective_at,
        created_at=record.created_at,
        priority=record.priority,
        expires_at=record.expires_at,
        voided_at=record.voided_at,
        deleted_at=record.deleted_at,
        recurrence=recurrence,
        min_rollover=record.min_rollover,
        max_rollover=record.max_rollover,
    )


def plan_of(record: EntitlementRecord, aggregation: Aggregation) -> Plan:
    """What the balance of a metered entitlement depends on besides usage."""
    return Plan(Roster(grant_of(g) for g in record.grants), timeline_of(record), aggregation)


def active_of(record: EntitlementRecord) -> Interval:
    """When the entitlement is active."""
    end = earlier(record.active_to, record.deleted_at)
    return Interval(start=record.active_from, end=end and max(end, record.active_from))


def entitlement_of(record: EntitlementRecord) -> Entitlement:
    """The rule's entitlement of a record. Refused when its type is none, or its configuration is no JSON."""
    terms: Terms
    match record.type:
        case "metered":
            terms = Metered(timeline=timeline_of(record), is_soft_limit=record.is_soft_limit)
        case "static":
            terms = Static(config=record.config or "")
        case _:
            terms = Boolean()
    return Entitlement(
        id=record.id,
        customer_id=record.customer_id,
        feature_key=record.feature_key,
        active=active_of(record),
        terms=terms,
    )
