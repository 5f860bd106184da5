"""What values, histories and access look like in answers, as types."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

from api.openapi.answers import ProblemExtensions
from api.openapi.entitlement_answers import Period
from domain.credits.explanation import Why
from domain.credits.segment import EndedBy

_Id = Annotated[str, Meta(pattern=r"^[0-7][0-9A-HJKMNP-TV-Z]{25}$")]
_Count = Annotated[int, Meta(ge=0)]
_Cursor = Annotated[str, Meta(description="For `page[after]` and `page[before]`.")]


class EntitlementValue(Struct, kw_only=True, rename="camel"):
    """Of an entitlement that is not active only `hasAccess`. The numbers are there for metered ones, `config` for static ones."""

    has_access: bool
    balance: Annotated[float | UnsetType, Meta(description="What grants still hold.")] = UNSET
    usage: Annotated[float | UnsetType, Meta(description="In the current usage period.")] = UNSET
    overage: Annotated[float | UnsetType, Meta(description="Used, and paid by no grant.")] = UNSET
    total_available_grant_amount: Annotated[
        float | UnsetType, Meta(description="What grants gave in the period, and still hold.")
    ] = UNSET
    config: str | UnsetType = UNSET


class EntitlementValueV2(EntitlementValue, kw_only=True, rename="camel"):
    """With what each grant holds that is active."""

    grant_balances: dict[str, float] | UnsetType = UNSET


class CustomerAccess(Struct, kw_only=True):
    """By feature key."""

    entitlements: dict[str, EntitlementValueV2]


class BalanceHistoryWindow(Struct, kw_only=True, rename="camel"):
    """One window."""

    period: Period
    usage: float
    balance_at_start: float


class GrantUsage(Struct, kw_only=True, rename="camel"):
    """What one grant paid."""

    grant_id: _Id
    usage: float


class BurnDownSegment(Struct, kw_only=True, rename="camel"):
    """From one cut point to the next, or the rollover at a reset, which takes no time."""

    period: Period
    usage: float
    overage: float
    balance_at_start: float
    grant_balances_at_start: dict[str, float]
    balance_at_end: float
    grant_balances_at_end: dict[str, float]
    grant_usages: Annotated[list[GrantUsage], Meta(description="In the order of paying.")]


class WindowedBalanceHistory(Struct, kw_only=True, rename="camel"):
    """Windows without gaps, and the segments of the same time."""

    windowed_history: list[BalanceHistoryWindow]
    burndown_history: list[BurnDownSegment]


# -- explained


class ExplainedEntitlement(Struct, kw_only=True, rename="camel"):
    """Whose balance for what."""

    id: _Id
    customer_id: _Id
    feature_id: _Id
    feature_key: str
    is_soft_limit: bool
    measure_usage_from: datetime
    active_from: datetime
    active_to: datetime | UnsetType = UNSET


class ExplainedMeter(Struct, kw_only=True, rename="camel"):
    """How events become usage."""

    id: _Id
    slug: str
    aggregation: str
    event_type: str
    group_by: dict[str, str]
    value_property: str | UnsetType = UNSET


class UsageOf(Struct, kw_only=True):
    """Whose events count, and which of them."""

    subjects: list[str]
    meter: ExplainedMeter
    filters: dict[str, Any]


class RunningBalance(EntitlementValueV2, kw_only=True, rename="camel"):
    """What a worker says; `held`: what holds have reserved of it."""

    source: Literal["owner", "standby"]
    as_of: datetime | UnsetType = UNSET
    held: float | UnsetType = UNSET


class ExplainedRecurrence(Struct, kw_only=True):
    """When a grant is full again."""

    interval: str
    anchor: datetime


class ExplainedGrant(Struct, kw_only=True, rename="camel"):
    """A grant; `balance` of one that is active."""

    id: str
    amount: float
    priority: int
    effective_at: datetime
    min_rollover_amount: float
    max_rollover_amount: float
    expires_at: datetime | UnsetType = UNSET
    voided_at: datetime | UnsetType = UNSET
    deleted_at: datetime | UnsetType = UNSET
    recurrence: ExplainedRecurrence | UnsetType = UNSET
    balance: float | UnsetType = UNSET


class ExplainedReset(Struct, kw_only=True, rename="camel"):
    """The end of a usage period."""

    at: datetime
    by_hand: bool
    preserve_overage: bool


class ExplainedCause(Struct, kw_only=True, rename="camel"):
    """What made a segment begin."""

    why: Why
    grant_id: str | UnsetType = UNSET


class UsageRow(Struct, kw_only=True, rename="camel"):
    """One minute of a subject and its groups; `usage`: of LATEST the value, of UNIQUE_COUNT how many values."""

    minute: datetime
    subject: str
    events: int
    usage: float
    partition: int
    first_offset: int
    last_offset: int
    group_by: dict[str, str] | UnsetType = UNSET


class ExplainedSegment(BurnDownSegment, kw_only=True, rename="camel"):
    """With what began it, and the first rows of usage in it."""

    overage_at_start: float
    causes: list[ExplainedCause]
    row_count: _Count
    event_count: _Count
    rows: list[UsageRow]
    ended_by: EndedBy | UnsetType = UNSET


class ExplainedEvent(Struct, kw_only=True, rename="camel"):
    """One event; `segment` is the place in the list of the segment that it is in."""

    id: str
    source: str
    subject: str
    time: datetime
    arrived_at: datetime
    partition: int
    offset: int
    index: int
    verdict: Literal["accepted", "duplicate"]
    counts: Annotated[bool, Meta(description="Accepted, and a number where one is needed.")]
    value: Annotated[str | UnsetType, Meta(description="JSON text.")] = UNSET
    group_by: dict[str, str] | UnsetType = UNSET
    segment: int | UnsetType = UNSET


class ExplainedEvents(Struct, kw_only=True, rename="camel"):
    """Some of the events, by time."""

    items: list[ExplainedEvent]
    next_cursor: str | UnsetType = UNSET


class ExplanationAnswer(Struct, kw_only=True, rename="camel"):
    """Everything that a balance follows from."""

    entitlement: ExplainedEntitlement
    usage_of: UsageOf
    at: datetime
    usage_before: datetime
    value: EntitlementValueV2
    current_usage_period: Period
    from_: datetime = field(name="from")
    grants: list[ExplainedGrant]
    resets: list[ExplainedReset]
    segments: list[ExplainedSegment]
    events: ExplainedEvents
    running: RunningBalance | UnsetType = UNSET


# -- v3


class InvalidParameter(Struct, kw_only=True):
    """What is wrong where."""

    field: str
    reason: str
    source: str
    rule: str | UnsetType = UNSET


class TypedProblem(Struct, kw_only=True):
    """In v3 the type says that a request does not have the contract's form; other problems are `about:blank`."""

    type: Literal[
        "about:blank",
        "https://kongapi.info/konnect/bad-request",
        "https://kongapi.info/konnect/not-found",
    ]
    title: str
    status: int
    detail: str
    instance: str
    invalid_parameters: list[InvalidParameter] | UnsetType = UNSET
    extensions: ProblemExtensions | UnsetType = UNSET


class AccessReason(Struct, kw_only=True):
    """Why there is no access."""

    code: Literal["usage_limit_reached", "feature_unavailable", "feature_not_found"]
    message: str


class FeatureAccess(Struct, kw_only=True):
    """To one feature."""

    has_access: bool
    reason: AccessReason | UnsetType = UNSET


class UsageAttributionV3(Struct, kw_only=True):
    """Whose events are the customer's, beside its own key."""

    subject_keys: list[str]


class CustomerV3(Struct, kw_only=True):
    """A customer in v3's form."""

    id: _Id
    key: str
    name: str
    labels: dict[str, str]
    usage_attribution: UsageAttributionV3
    created_at: datetime
    updated_at: datetime
    description: str | UnsetType = UNSET
    primary_email: str | UnsetType = UNSET
    currency: str | UnsetType = UNSET
    billing_address: dict[str, Any] | UnsetType = UNSET


class AccessResult(Struct, kw_only=True):
    """One customer."""

    matched: Annotated[list[str], Meta(description="The names of the request that found it.")]
    customer: CustomerV3
    features: dict[str, FeatureAccess]
    updated_at: datetime


class AccessError(Struct, kw_only=True):
    """A name that finds nobody."""

    code: Literal["customer_not_found"]
    message: str
    customer: str


class CursorPage(Struct, kw_only=True):
    """Where the other pages are."""

    size: _Count
    next: _Cursor | None
    previous: _Cursor | None
    first: _Cursor | UnsetType = UNSET
    last: _Cursor | UnsetType = UNSET


class CursorMeta(Struct, kw_only=True):
    """About the answer."""

    page: CursorPage


class AccessQueryAnswer(Struct, kw_only=True):
    """The customers of a page, and the names that find nobody."""

    data: list[AccessResult]
    errors: list[AccessError]
    meta: CursorMeta


class EntitlementAccessV3(Struct, kw_only=True):
    """One entitlement that is active."""

    type: Literal["metered", "static", "boolean"]
    feature_key: str
    has_access: bool
    config: str | UnsetType = UNSET


class CustomerAccessV3(Struct, kw_only=True):
    """By feature key."""

    data: list[EntitlementAccessV3]
