"""An entitlement as it is managed: what was asked for, what was granted, when it was reset.

Its value needs less: `schemas.catalog.EntitlementRecord`. Source: metering §5.2, §6.1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from domain.credits.grant import Grant
from domain.entitlements.grants import ExpiryUnit
from domain.entitlements.usage_period import Timeline
from domain.time.interval import Interval, earlier
from domain.time.recurrence import Recurrence, period_at
from domain.time.usage_periods import Entry

SUBSCRIPTION_MARK = "subscription.id"
"""The annotation of an entitlement that belongs to a subscription."""


class Kind(StrEnum):
    """How access is decided."""

    METERED = "metered"
    STATIC = "static"
    BOOLEAN = "boolean"


@dataclass(frozen=True, slots=True, kw_only=True)
class Issue:
    """The grant that came with the entitlement, as it was asked for; an amount of 0 makes none. `priority` None = not said."""

    amount: Decimal
    priority: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ManualReset:
    """A reset by hand: its minute, the anchor of the periods from then on, whether overage went over."""

    at: datetime
    anchor: datetime
    preserve_overage: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Expiry:
    """When a grant expires, as it was asked for."""

    unit: ExpiryUnit
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagedGrant:
    """A grant with what its balance does not need."""

    grant: Grant
    entitlement_id: str
    updated_at: datetime
    expiry: Expiry | None = None
    metadata: Mapping[str, str] | None = None
    annotations: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagedEntitlement:
    """An entitlement without its grants, and of its resets the last one only.

    `usage_period` as asked for: its anchor never moves. A metered one has it and `measured_from`, a static one has
    `config`.
    """

    id: str
    namespace: str
    customer_id: str
    feature_id: str
    feature_key: str
    kind: Kind
    active_from: datetime
    created_at: datetime
    updated_at: datetime
    active_to: datetime | None = None
    deleted_at: datetime | None = None
    metadata: Mapping[str, str] | None = None
    annotations: Mapping[str, Any] | None = None
    config: str | None = None
    usage_period: Recurrence | None = None
    measured_from: datetime | None = None
    is_soft_limit: bool = False
    preserve_overage: bool = False
    issue: Issue | None = None
    last_reset: ManualReset | None = None

    @property
    def active(self) -> Interval:
        """When it is active: its end or its deletion ends it, whichever comes first."""
        end = earlier(self.active_to, self.deleted_at)
        return Interval(start=self.active_from, end=end and max(end, self.active_from))

    @property
    def is_of_subscription(self) -> bool:
        """Whether a subscription manages it."""
        return SUBSCRIPTION_MARK in (self.annotations or {})


@dataclass(frozen=True, slots=True, kw_only=True)
class Aggregate:
    """An entitlement with all its grants and resets: what one change reads and writes."""

    entitlement: ManagedEntitlement
    grants: tuple[ManagedGrant, ...] = ()
    resets: tuple[ManualReset, ...] = ()

    def grant(self, id: str) -> ManagedGrant:
        """The grant with this id; it is there."""
        return next(grant for grant in self.grants if grant.grant.id == id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who has an entitlement, as answers name it. `subject_key` is the alphabetically first one, "" without any."""

    customer_id: str
    customer_key: str | None = None
    subject_key: str = ""


def timeline_of(aggregate: Aggregate) -> Timeline:
    """The usage periods of a metered entitlement."""
    return _timeline(aggregate.entitlement, aggregate.resets)


def current_period(entitlement: ManagedEntitlement, now: datetime) -> Interval | None:
    """The usage period that `now` lies in; None where there are no periods. Refused past the year 9999."""
    if entitlement.usage_period is None:
        return None
    if entitlement.kind is not Kind.METERED:
        return period_at(entitlement.usage_period, now)
    last = entitlement.last_reset
    return _timeline(entitlement, () if last is None else (last,)).period_at(now)


def last_reset_at(entitlement: ManagedEntitlement) -> datetime | None:
    """The latest reset by hand, else where measuring began; boundaries of periods do not count. None unless metered."""
    return (
        entitlement.measured_from if entitlement.last_reset is None else entitlement.last_reset.at
    )


def with_resets(aggregate: Aggregate, resets: tuple[ManualReset, ...]) -> Aggregate:
    """The aggregate with these resets, oldest first."""
    last = resets[-1] if resets else None
    return replace(
        aggregate, entitlement=replace(aggregate.entitlement, last_reset=last), resets=resets
    )


def _timeline(entitlement: ManagedEntitlement, resets: tuple[ManualReset, ...]) -> Timeline:
    assert entitlement.usage_period is not None
    assert entitlement.measured_from is not None
    interval = entitlement.usage_period.interval
    first = Entry(since=entitlement.measured_from, recurrence=entitlement.usage_period)
    rest = [
        Entry(since=reset.at, recurrence=Recurrence(interval=interval, anchor=reset.anchor))
        for reset in resets
    ]
    return Timeline(
        entries=(first, *rest),
        preserve_overage=entitlement.preserve_overage,
        by_hand={reset.at: reset.preserve_overage for reset in resets},
    )
