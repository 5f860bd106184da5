"""What requests say of entitlements, grants and resets, and what is meant by it. Source: metering §5.2, §5.9, §6.1.

The two versions differ: a grant of v1 expires and carries nothing over unless it says so, one of v2 carries everything over.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, TypeVar, cast

import msgspec
from msgspec import UNSET, UnsetType

from api.times import Time, in_utc, parse_time
from domain.entitlements.finding import FeatureName
from domain.entitlements.grants import ExpiryUnit
from domain.entitlements.managed import Expiry, Issue, Kind
from domain.entitlements.managing import (
    EntitlementWanted,
    GrantWanted,
    PeriodWanted,
    ResetWanted,
)
from domain.entitlements.usage_period import MeasureFrom
from domain.errors import Refused
from domain.time.duration import Duration, parse_duration

T = TypeVar("T")

Slug = Annotated[
    str, msgspec.Meta(min_length=1, max_length=64, pattern=r"^[a-z0-9]+(?:_[a-z0-9]+)*\Z")
]
Ulid = Annotated[str, msgspec.Meta(pattern=r"^[0-7][0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{25}\Z")]
_Amount = Annotated[float, msgspec.Meta(ge=0)]
_Priority = Annotated[int, msgspec.Meta(ge=1, le=255)]
_Metadata = dict[str, str] | UnsetType | None
_Annotations = dict[str, Any] | UnsetType | None
_EXACT_MAX = 2**53
_GRANTS_MAX = 5_000
"""In one request; the configuration may allow an entitlement fewer."""

_INTERVALS = {
    "DAY": Duration(days=1),
    "WEEK": Duration(weeks=1),
    "MONTH": Duration(months=1),
    "YEAR": Duration(years=1),
}


# -- as they are written


class PeriodBody(msgspec.Struct, kw_only=True):
    """DAY, WEEK, MONTH, YEAR or an ISO 8601 duration, counted from the anchor."""

    interval: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    anchor: Time | UnsetType = UNSET


class ExpirationBody(msgspec.Struct, kw_only=True):
    """How long after it takes effect a grant expires."""

    duration: ExpiryUnit
    count: Annotated[int, msgspec.Meta(ge=1, le=1000)]


class _GrantFields(msgspec.Struct, kw_only=True, rename="camel"):
    amount: _Amount
    effective_at: Time
    priority: _Priority | UnsetType = UNSET
    max_rollover_amount: float | UnsetType = UNSET
    min_rollover_amount: float | UnsetType = UNSET
    recurrence: PeriodBody | UnsetType = UNSET
    metadata: _Metadata = UNSET


class GrantBody(_GrantFields, kw_only=True, rename="camel"):
    """A new grant of v1."""

    expiration: ExpirationBody


class GrantV2Body(_GrantFields, kw_only=True, rename="camel"):
    """A new grant of v2."""

    expiration: ExpirationBody | UnsetType = UNSET
    annotations: _Annotations = UNSET


class IssueBody(msgspec.Struct, kw_only=True):
    """The grant that comes with the entitlement."""

    amount: _Amount
    priority: _Priority | UnsetType = UNSET


class NewEntitlement(msgspec.Struct, kw_only=True, rename="camel", tag_field="type"):
    """What all kinds share; what the contract does not know is ignored."""

    feature_key: Slug | UnsetType = UNSET
    feature_id: Ulid | UnsetType = UNSET
    metadata: _Metadata = UNSET


class _MeteredFields(NewEntitlement, kw_only=True, rename="camel"):
    usage_period: PeriodBody
    measure_usage_from: str | UnsetType = UNSET
    is_soft_limit: bool | UnsetType = UNSET
    issue_after_reset: _Amount | UnsetType = UNSET
    issue_after_reset_priority: _Priority | UnsetType = UNSET
    preserve_overage_at_reset: bool | UnsetType = UNSET


class MeteredBody(_MeteredFields, kw_only=True, rename="camel", tag="metered"):
    """A new metered entitlement of v1; `is_unlimited` is taken and means nothing."""

    is_unlimited: bool | UnsetType = UNSET


class MeteredV2Body(_MeteredFields, kw_only=True, rename="camel", tag="metered"):
    """A new metered entitlement of v2; `issue` goes before its two older spellings."""

    issue: IssueBody | UnsetType = UNSET
    grants: Annotated[list[GrantV2Body], msgspec.Meta(max_length=_GRANTS_MAX)] | UnsetType = UNSET


class StaticBody(NewEntitlement, kw_only=True, rename="camel", tag="static"):
    """A new static entitlement."""

    config: str
    usage_period: PeriodBody | UnsetType = UNSET


class BooleanBody(NewEntitlement, kw_only=True, rename="camel", tag="boolean"):
    """A new flag."""

    usage_period: PeriodBody | UnsetType = UNSET


ENTITLEMENT_V1 = cast("type[NewEntitlement]", MeteredBody | StaticBody | BooleanBody)
ENTITLEMENT_V2 = cast("type[NewEntitlement]", MeteredV2Body | StaticBody | BooleanBody)


class ResetBody(msgspec.Struct, kw_only=True, rename="camel"):
    """A reset by hand."""

    effective_at: Time | UnsetType = UNSET
    retain_anchor: bool | UnsetType = UNSET
    preserve_overage: bool | UnsetType = UNSET


# -- as they are meant


def feature_of(body: NewEntitlement) -> FeatureName:
    """Refused with `feature_missing` when it names none."""
    if body.feature_id is UNSET and body.feature_key is UNSET:
        raise Refused("feature_missing", "featureKey or featureId is needed", "$.featureKey")
    return FeatureName(id=_or_none(body.feature_id), key=_or_none(body.feature_key))


def entitlement_v1(body: NewEntitlement) -> EntitlementWanted:
    """Refused: `issue_priority_without_amount`, `measure_from_invalid`, `invalid_duration`."""
    match body:
        case MeteredBody():
            if body.issue_after_reset is UNSET and body.issue_after_reset_priority is not UNSET:
                raise Refused(
                    "issue_priority_without_amount",
                    "issueAfterResetPriority needs issueAfterReset",
                    "$.issueAfterResetPriority",
                )
            return _metered(body, _older_issue(body), ())
        case _:
            return _unmetered(body, _or_none(body.metadata))


def entitlement_v2(body: NewEntitlement) -> EntitlementWanted:
    """A flag loses its metadata, as in the reference. Refused: `measure_from_invalid`, `invalid_duration`."""
    match body:
        case MeteredV2Body():
            grants = () if body.grants is UNSET else tuple(map(grant_v2, body.grants))
            issue = _older_issue(body)
            if not isinstance(body.issue, UnsetType):
                issue = Issue(
                    amount=_decimal(body.issue.amount), priority=_or_none(body.issue.priority)
                )
            return _metered(body, issue, grants)
        case BooleanBody():
            return _unmetered(body, None)
        case _:
            return _unmetered(body, _or_none(body.metadata))


def grant_v1(body: GrantBody) -> GrantWanted:
    """Nothing is carried over unless it says so. Refused: `invalid_duration`."""
    carried = 0.0 if isinstance(body.max_rollover_amount, UnsetType) else body.max_rollover_amount
    return _grant(body, _expiry(body.expiration), _decimal(carried), None)


def grant_v2(body: GrantV2Body) -> GrantWanted:
    """Everything is carried over unless it says otherwise. Refused: `invalid_duration`."""
    carried = body.max_rollover_amount
    return _grant(
        body,
        None if isinstance(body.expiration, UnsetType) else _expiry(body.expiration),
        None if isinstance(carried, UnsetType) else _decimal(carried),
        _or_none(body.annotations),
    )


def reset_of(body: ResetBody) -> ResetWanted:
    """The reset that is meant."""
    return ResetWanted(
        at=_time(body.effective_at),
        retain_anchor=body.retain_anchor is True,
        preserve_overage=_or_none(body.preserve_overage),
    )


def _metered(
    body: _MeteredFields, issue: Issue | None, grants: tuple[GrantWanted, ...]
) -> EntitlementWanted:
    return EntitlementWanted(
        kind=Kind.METERED,
        metadata=_or_none(body.metadata),
        usage_period=_period(body.usage_period, "$.usagePeriod.interval"),
        measure_from=_measure_from(body.measure_usage_from),
        is_soft_limit=body.is_soft_limit is True,
        preserve_overage=body.preserve_overage_at_reset is True,
        issue=issue,
        grants=grants,
    )


def _unmetered(body: NewEntitlement, metadata: dict[str, str] | None) -> EntitlementWanted:
    assert isinstance(body, StaticBody | BooleanBody)
    return EntitlementWanted(
        kind=Kind.STATIC if isinstance(body, StaticBody) else Kind.BOOLEAN,
        metadata=metadata,
        usage_period=_period(body.usage_period, "$.usagePeriod.interval"),
        config=body.config if isinstance(body, StaticBody) else None,
    )


def _older_issue(body: _MeteredFields) -> Issue | None:
    if isinstance(body.issue_after_reset, UnsetType):
        return None
    return Issue(
        amount=_decimal(body.issue_after_reset),
        priority=_or_none(body.issue_after_reset_priority),
    )


def _grant(
    body: GrantBody | GrantV2Body,
    expiry: Expiry | None,
    max_rollover: Decimal | None,
    annotations: dict[str, Any] | None,
) -> GrantWanted:
    least = body.min_rollover_amount
    return GrantWanted(
        amount=_decimal(body.amount),
        effective_at=in_utc(body.effective_at),
        priority=_or_none(body.priority) or 0,
        expiry=expiry,
        max_rollover=max_rollover,
        min_rollover=_decimal(0.0 if isinstance(least, UnsetType) else least),
        recurrence=_period(body.recurrence, "$.recurrence.interval"),
        metadata=_or_none(body.metadata),
        annotations=annotations,
    )


def _expiry(body: ExpirationBody) -> Expiry:
    return Expiry(unit=body.duration, count=body.count)


def _period(body: PeriodBody | UnsetType, field: str) -> PeriodWanted | None:
    if isinstance(body, UnsetType):
        return None
    interval = _INTERVALS.get(body.interval)
    if interval is None:
        try:
            interval = parse_duration(body.interval)
        except Refused as error:
            raise Refused(error.code, str(error), field) from None
        if not interval.is_positive:
            raise Refused("interval_not_positive", "an interval is above zero", field)
    return PeriodWanted(interval=interval, anchor=_time(body.anchor))


def _measure_from(text: str | UnsetType) -> datetime | MeasureFrom | None:
    if isinstance(text, UnsetType):
        return None
    if text in MeasureFrom.__members__:
        return MeasureFrom(text)
    try:
        return in_utc(parse_time(text))
    except ValueError:
        raise Refused(
            "measure_from_invalid",
            f"CURRENT_PERIOD_START, NOW or an RFC 3339 date-time with a zone, not {text[:80]!r}",
            "$.measureUsageFrom",
        ) from None


def _decimal(double: float) -> Decimal:
    """A JSON number, which is a double: as it is written in its shortest form."""
    if double.is_integer() and abs(double) <= _EXACT_MAX:
        return Decimal(int(double))
    return Decimal(repr(double))


def _time(given: Time | UnsetType) -> datetime | None:
    return None if isinstance(given, UnsetType) else in_utc(given)


def _or_none(given: T | UnsetType) -> T | None:
    return None if isinstance(given, UnsetType) else given
