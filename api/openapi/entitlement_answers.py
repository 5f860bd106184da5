"""What entitlements and grants look like in answers, as types."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

from domain.entitlements.grants import ExpiryUnit
from domain.entitlements.managed import Kind

_Id = Annotated[str, Meta(pattern=r"^[0-7][0-9A-HJKMNP-TV-Z]{25}$")]
_Count = Annotated[int, Meta(ge=0)]


class RecurringPeriod(Struct, kw_only=True):
    """`interval` by its name where it has one: DAY, WEEK, MONTH, YEAR."""

    interval: str
    interval_iso: str = field(name="intervalISO")
    anchor: datetime


class Period(Struct, kw_only=True):
    """`[from, to)`."""

    from_: datetime = field(name="from")
    to: datetime


class _Entitlement(Struct, kw_only=True, rename="camel"):
    id: _Id
    type: Kind
    feature_id: _Id
    feature_key: str
    active_from: datetime
    created_at: datetime
    updated_at: datetime
    active_to: datetime | UnsetType = UNSET
    metadata: dict[str, str] | UnsetType = UNSET
    annotations: dict[str, Any] | UnsetType = UNSET
    usage_period: Annotated[
        RecurringPeriod | UnsetType, Meta(description="As asked for: resets do not move it.")
    ] = UNSET
    current_usage_period: Period | UnsetType = UNSET
    config: Annotated[str | UnsetType, Meta(description="JSON; of static ones.")] = UNSET
    is_soft_limit: bool | UnsetType = UNSET
    issue_after_reset: float | UnsetType = UNSET
    issue_after_reset_priority: int | UnsetType = UNSET
    preserve_overage_at_reset: bool | UnsetType = UNSET
    measure_usage_from: datetime | UnsetType = UNSET
    last_reset: Annotated[
        datetime | UnsetType,
        Meta(description="The last one by hand, else where measuring began."),
    ] = UNSET


class EntitlementAnswer(_Entitlement, kw_only=True, rename="camel"):
    """An entitlement of v1."""

    subject_key: Annotated[str, Meta(description='The customer\'s first one; "" without any.')]
    is_unlimited: Literal[False] | UnsetType = UNSET


class Issue(Struct, kw_only=True):
    """The grant that came with the entitlement."""

    amount: float
    priority: int | UnsetType = UNSET


class EntitlementV2Answer(_Entitlement, kw_only=True, rename="camel"):
    """An entitlement of v2."""

    customer_id: _Id
    customer_key: str | UnsetType = UNSET
    issue: Issue | UnsetType = UNSET


class Expiration(Struct, kw_only=True):
    """How long after it takes effect a grant expires."""

    duration: ExpiryUnit
    count: int


class _Grant(Struct, kw_only=True, rename="camel"):
    id: _Id
    entitlement_id: _Id
    amount: float
    priority: int
    effective_at: datetime
    max_rollover_amount: float
    min_rollover_amount: float
    created_at: datetime
    updated_at: datetime
    voided_at: datetime | UnsetType = UNSET
    recurrence: RecurringPeriod | UnsetType = UNSET
    next_recurrence: datetime | UnsetType = UNSET
    metadata: dict[str, str] | UnsetType = UNSET
    annotations: dict[str, Any] | UnsetType = UNSET


class GrantAnswer(_Grant, kw_only=True, rename="camel"):
    """A grant of v1; one that never expires is said to do so in 100 years."""

    expiration: Expiration
    expires_at: datetime


class GrantV2Answer(_Grant, kw_only=True, rename="camel"):
    """A grant of v2."""

    expiration: Expiration | UnsetType = UNSET
    expires_at: datetime | UnsetType = UNSET


class _Page(Struct, kw_only=True, rename="camel"):
    page: _Count
    page_size: _Count
    total_count: _Count


class EntitlementPage(_Page, kw_only=True, rename="camel"):
    """A page of entitlements of v1."""

    items: list[EntitlementAnswer]


class EntitlementV2Page(_Page, kw_only=True, rename="camel"):
    """A page of entitlements of v2."""

    items: list[EntitlementV2Answer]


class GrantPage(_Page, kw_only=True, rename="camel"):
    """A page of grants of v1."""

    items: list[GrantAnswer]


class GrantV2Page(_Page, kw_only=True, rename="camel"):
    """A page of grants of v2."""

    items: list[GrantV2Answer]
