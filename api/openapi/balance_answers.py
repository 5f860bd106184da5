"""What values, histories and access look like in answers, as types."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from api.openapi.answers import ProblemExtensions
from api.openapi.entitlement_answers import Period

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
