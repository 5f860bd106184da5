"""What may be done to an entitlement, and what it is afterwards.

Source: metering §5.2-5.5, §5.9, §5.10, §6.1, §6.2, §11.12.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from domain.credits.grant import Grant, GrantId
from domain.entitlements.configuration import DEPTH_MAX, normalised
from domain.entitlements.entitlement import Boolean, Entitlement, check_alone
from domain.entitlements.grants import check_begins, expires_at, issued_grant, voided
from domain.entitlements.managed import (
    Aggregate,
    Expiry,
    Issue,
    Kind,
    ManagedEntitlement,
    ManagedGrant,
    ManualReset,
    timeline_of,
    with_resets,
)
from domain.entitlements.usage_period import MeasureFrom, after_reset, measured_from, new_timeline
from domain.errors import Forbidden, Refused
from domain.texts import METADATA_BYTES_MAX, check_metadata
from domain.time.duration import Duration
from domain.time.interval import truncate_minute
from domain.time.recurrence import Recurrence, about_how_many

PERIODS_BACK_MAX = 50_000
"""Usage periods between the start of measuring and now: each is computed when a balance is computed anew."""

RECURRENCES_MAX = 200_000
"""Times that a grant may recur within one usage period, for the same reason."""

ISSUE_MARK = "issueAfterReset"
"""The annotation of the grant that came with its entitlement."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How many grants (void ones too) and resets one entitlement may have: it is one record of the catalog topic."""

    grants_max: int = 1_500
    resets_max: int = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class PeriodWanted:
    """Without an anchor it is now, or where a grant takes effect."""

    interval: Duration
    anchor: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantWanted:
    """A grant as it was asked for. Without `max_rollover` everything is carried over."""

    amount: Decimal
    effective_at: datetime
    priority: int = 0
    expiry: Expiry | None = None
    max_rollover: Decimal | None = None
    min_rollover: Decimal = Decimal(0)
    recurrence: PeriodWanted | None = None
    metadata: Mapping[str, str] | None = None
    annotations: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EntitlementWanted:
    """An entitlement as it was asked for; members that its kind does not have are left alone."""

    kind: Kind
    metadata: Mapping[str, str] | None = None
    annotations: Mapping[str, Any] | None = None
    usage_period: PeriodWanted | None = None
    config: str | None = None
    measure_from: datetime | MeasureFrom | None = None
    is_soft_limit: bool = False
    preserve_overage: bool = False
    issue: Issue | None = None
    grants: Sequence[GrantWanted] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ResetWanted:
    """A reset as it was asked for; `at` None: now, `preserve_overage` None: as at the ends of periods."""

    at: datetime | None = None
    retain_anchor: bool = False
    preserve_overage: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """Where a new entitlement goes: its customer and feature, and the customer's others for the feature's key."""

    namespace: str
    customer_id: str
    feature_id: str
    feature_key: str
    has_meter: bool
    others: Sequence[ManagedEntitlement]
    now: datetime


def opened(
    opening: Opening, wanted: EntitlementWanted, *, new_id: Callable[[], str], bounds: Bounds
) -> Aggregate:
    """The new entitlement, with the grants that come with it. Overlap, Refused.

    Refused: `feature_has_no_meter`, `usage_period_missing`, `measure_from_too_early`, `issue_and_grants`, and what
    periods, configurations and grants refuse.
    """
    check_metadata(wanted.metadata)
    _check_annotations(wanted.annotations)
    entitlement = _by_kind(opening, wanted, new_id())
    check_alone(_activity(entitlement), map(_activity, opening.others))
    aggregate = Aggregate(entitlement=entitlement)
    for grant in _grants_that_come_with(aggregate, wanted, new_id, opening.now):
        aggregate = _with_grant(aggregate, grant, bounds)
    return aggregate


def overridden(
    old: Aggregate,
    opening: Opening,
    wanted: EntitlementWanted,
    *,
    new_id: Callable[[], str],
    bounds: Bounds,
) -> tuple[Aggregate, Aggregate]:
    """The old entitlement, which ends now, and the new one, which begins now.

    Forbidden; Refused: `entitlement_inactive`, `feature_differs` (the key counts), and as `opened`.
    """
    before = old.entitlement
    _check_changeable(before, opening.now)
    if opening.feature_key != before.feature_key:
        raise Refused(
            "feature_differs",
            f"the entitlement is for {before.feature_key!r}, not for {opening.feature_key!r}",
            "$.featureKey",
        )
    ended = replace(before, active_to=opening.now, updated_at=opening.now)
    others = [ended if other.id == ended.id else other for other in opening.others]
    new = opened(replace(opening, others=others), wanted, new_id=new_id, bounds=bounds)
    return replace(old, entitlement=ended), new


def deleted(aggregate: Aggregate, now: datetime) -> Aggregate:
    """Gone, and its grants with it. Forbidden."""
    _check_not_of_subscription(aggregate.entitlement)
    return replace(
        aggregate,
        entitlement=replace(aggregate.entitlement, deleted_at=now, updated_at=now),
        grants=tuple(
            replace(grant, grant=replace(grant.grant, deleted_at=now), updated_at=now)
            for grant in aggregate.grants
        ),
    )


def granted(
    aggregate: Aggregate, wanted: GrantWanted, now: datetime, *, id: str, bounds: Bounds
) -> Aggregate:
    """With one more grant, the last one.

    Forbidden; Refused: `not_metered`, `entitlement_inactive`, `too_many_grants`, and what grants refuse.
    """
    _check_metered(aggregate.entitlement)
    _check_changeable(aggregate.entitlement, now)
    return _with_grant(aggregate, _new_grant(aggregate, wanted, id, now), bounds)


def grant_voided(
    aggregate: Aggregate, grant_id: str, now: datetime, *, at: datetime | None
) -> Aggregate:
    """With this grant void from `at` on, or from now. Forbidden; Refused as `grants.voided` says."""
    _check_not_of_subscription(aggregate.entitlement)
    timeline = timeline_of(aggregate)

    def after(one: ManagedGrant) -> ManagedGrant:
        if one.grant.id != grant_id:
            return one
        return replace(
            one, grant=voided(one.grant, timeline, now if at is None else at, now), updated_at=now
        )

    return replace(aggregate, grants=tuple(map(after, aggregate.grants)))


def was_reset(
    aggregate: Aggregate, wanted: ResetWanted, now: datetime, *, bounds: Bounds
) -> Aggregate:
    """After a reset by hand.

    Forbidden; Refused: `not_metered`, `entitlement_inactive`, `too_many_resets`, and as `after_reset` says.
    """
    _check_metered(aggregate.entitlement)
    _check_changeable(aggregate.entitlement, now)
    if len(aggregate.resets) >= bounds.resets_max:
        raise Refused(
            "too_many_resets", f"an entitlement is reset at most {bounds.resets_max} times by hand"
        )
    timeline = after_reset(
        timeline_of(aggregate),
        now if wanted.at is None else wanted.at,
        now=now,
        retain_anchor=wanted.retain_anchor,
        preserve_overage=wanted.preserve_overage,
    )
    entry = timeline.entries[-1]
    reset = ManualReset(
        at=entry.since,
        anchor=entry.recurrence.anchor,
        preserve_overage=timeline.by_hand[entry.since],
    )
    return with_resets(aggregate, (*aggregate.resets, reset))


# -- the new entitlement


def _by_kind(opening: Opening, wanted: EntitlementWanted, id: str) -> ManagedEntitlement:
    now = opening.now
    base = ManagedEntitlement(
        id=id,
        namespace=opening.namespace,
        customer_id=opening.customer_id,
        feature_id=opening.feature_id,
        feature_key=opening.feature_key,
        kind=wanted.kind,
        active_from=now,
        created_at=now,
        updated_at=now,
        metadata=wanted.metadata,
        annotations=wanted.annotations,
        usage_period=_usage_period(wanted.usage_period, now),
    )
    match wanted.kind:
        case Kind.METERED:
            return _metered(base, opening, wanted)
        case Kind.STATIC:
            return replace(base, config=normalised(wanted.config or ""))
        case Kind.BOOLEAN:
            return base


def _metered(
    base: ManagedEntitlement, opening: Opening, wanted: EntitlementWanted
) -> ManagedEntitlement:
    if not opening.has_meter:
        raise Refused(
            "feature_has_no_meter",
            f"a metered entitlement needs a meter, and feature {opening.feature_key!r} has none",
            "$.featureKey",
        )
    if base.usage_period is None:
        raise Refused(
            "usage_period_missing", "a metered entitlement has a usage period", "$.usagePeriod"
        )
    interval, anchor = base.usage_period.interval, base.usage_period.anchor
    since = measured_from(wanted.measure_from, interval=interval, anchor=anchor, now=opening.now)
    if about_how_many(base.usage_period, since, opening.now) > PERIODS_BACK_MAX:
        raise Refused(
            "measure_from_too_early",
            f"measuring begins at most {PERIODS_BACK_MAX} usage periods ago",
            "$.measureUsageFrom",
        )
    new_timeline(interval=interval, anchor=anchor, measured_from=since).period_at(opening.now)
    return replace(
        base,
        measured_from=since,
        is_soft_limit=wanted.is_soft_limit,
        preserve_overage=wanted.preserve_overage,
        issue=wanted.issue,
    )


def _usage_period(wanted: PeriodWanted | None, now: datetime) -> Recurrence | None:
    """Refused: `usage_period_too_short`, `time_out_of_range`."""
    if wanted is None:
        return None
    anchor = now if wanted.anchor is None else wanted.anchor
    period = Recurrence(interval=wanted.interval, anchor=truncate_minute(anchor))
    new_timeline(interval=period.interval, anchor=period.anchor, measured_from=now).period_at(now)
    return period


def _grants_that_come_with(
    aggregate: Aggregate, wanted: EntitlementWanted, new_id: Callable[[], str], now: datetime
) -> Iterator[ManagedGrant]:
    if wanted.kind is not Kind.METERED:
        return
    issue = wanted.issue
    if issue is not None and wanted.grants:
        raise Refused("issue_and_grants", "either issue or grants, not both", "$.grants")
    if issue is not None and issue.amount > 0:
        grant = issued_grant(
            timeline_of(aggregate),
            id=GrantId(new_id()),
            amount=issue.amount,
            now=now,
            priority=1 if issue.priority is None else issue.priority,
        )
        yield ManagedGrant(
            grant=grant,
            entitlement_id=aggregate.entitlement.id,
            updated_at=now,
            annotations={ISSUE_MARK: True},
        )
    for one in wanted.grants:
        yield _new_grant(aggregate, one, new_id(), now)


# -- grants


def _new_grant(aggregate: Aggregate, wanted: GrantWanted, id: str, now: datetime) -> ManagedGrant:
    check_metadata(wanted.metadata)
    _check_annotations(wanted.annotations)
    timeline = timeline_of(aggregate)
    effective_at = check_begins(timeline, wanted.effective_at, now)
    recurrence = _recurrence(wanted.recurrence, effective_at)
    if recurrence is not None:
        period = timeline.period_at(now)
        assert period.end is not None
        if about_how_many(recurrence, period.start, period.end) > RECURRENCES_MAX:
            raise Refused(
                "recurrence_too_short",
                f"a grant recurs at most {RECURRENCES_MAX} times in a usage period",
                "$.recurrence.interval",
            )
    expiry = wanted.expiry
    grant = Grant(
        id=GrantId(id),
        amount=wanted.amount,
        effective_at=effective_at,
        created_at=now,
        priority=wanted.priority,
        expires_at=None if expiry is None else expires_at(effective_at, expiry.unit, expiry.count),
        recurrence=recurrence,
        min_rollover=wanted.min_rollover,
        max_rollover=wanted.amount if wanted.max_rollover is None else wanted.max_rollover,
    )
    return ManagedGrant(
        grant=grant,
        entitlement_id=aggregate.entitlement.id,
        updated_at=now,
        expiry=expiry,
        metadata=wanted.metadata,
        annotations=wanted.annotations,
    )


def _recurrence(wanted: PeriodWanted | None, effective_at: datetime) -> Recurrence | None:
    if wanted is None:
        return None
    anchor = effective_at if wanted.anchor is None else truncate_minute(wanted.anchor)
    return Recurrence(interval=wanted.interval, anchor=anchor)


def _with_grant(aggregate: Aggregate, grant: ManagedGrant, bounds: Bounds) -> Aggregate:
    if len(aggregate.grants) >= bounds.grants_max:
        raise Refused(
            "too_many_grants",
            f"an entitlement has at most {bounds.grants_max} grants, void ones counted",
        )
    return replace(aggregate, grants=(*aggregate.grants, grant))


# -- what must hold


def _check_changeable(entitlement: ManagedEntitlement, now: datetime) -> None:
    _check_not_of_subscription(entitlement)
    if not entitlement.active.contains(now):
        raise Refused("entitlement_inactive", f"entitlement {entitlement.id} is not active")


def _check_not_of_subscription(entitlement: ManagedEntitlement) -> None:
    if entitlement.is_of_subscription:
        raise Forbidden(f"entitlement {entitlement.id} is managed by a subscription")


def _check_metered(entitlement: ManagedEntitlement) -> None:
    if entitlement.kind is not Kind.METERED:
        raise Refused("not_metered", f"the entitlement is {entitlement.kind}, not metered")


def _check_annotations(annotations: Mapping[str, Any] | None) -> None:
    """Refused: `annotations_too_deep`, `annotations_too_large`, `text_invalid`."""
    if annotations is None:
        return
    if not _is_flatter_than(annotations, DEPTH_MAX):
        raise Refused(
            "annotations_too_deep",
            f"annotations have more than {DEPTH_MAX} levels",
            "$.annotations",
        )
    try:
        size = len(json.dumps(annotations, ensure_ascii=False).encode())
    except UnicodeEncodeError:
        raise Refused(
            "text_invalid", "annotations have a lone surrogate", "$.annotations"
        ) from None
    if size > METADATA_BYTES_MAX:
        raise Refused(
            "annotations_too_large",
            f"annotations have {size} bytes, {METADATA_BYTES_MAX} are allowed",
            "$.annotations",
        )


def _is_flatter_than(value: Any, depth: int) -> bool:
    """Whether nothing stands in more than `depth` lists and objects; walked a level at a time, however deep."""
    level = [value]
    for _ in range(depth):
        inner = (each.values() if isinstance(each, dict) else each for each in level)
        level = [one for each in inner for one in each if isinstance(one, dict | list)]
        if not level:
            return True
    return False


def _activity(entitlement: ManagedEntitlement) -> Entitlement:
    """As the rule of one at a time sees it: the terms do not matter."""
    return Entitlement(
        id=entitlement.id,
        customer_id=entitlement.customer_id,
        feature_key=entitlement.feature_key,
        active=entitlement.active,
        terms=Boolean(),
    )
