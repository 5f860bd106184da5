"""A managed entitlement as the workers learn of it: one record with all grants and resets."""

from __future__ import annotations

import msgspec

from domain.entitlements.managed import Aggregate, ManagedGrant, ManualReset
from domain.errors import Refused
from domain.time.duration import format_duration
from schemas.catalog import EntitlementRecord, GrantRecord, ResetRecord

RECORD_BYTES_MAX = 1_000_000
"""Of an entitlement as JSON: a broker takes a batch of 1 MiB, with the record's key and the batch's own bytes in it."""


_VOIDED_BYTES = len(',"voided_at":"2026-11-25T08:55:00Z"')
_DELETED_BYTES = len(',"deleted_at":"2026-11-25T08:55:00.000000Z"')
"""What voiding and deleting add to a grant: neither may ever fail for want of room."""


def entitlement_record(aggregate: Aggregate) -> EntitlementRecord:
    """The record; a period is in it for metered ones only, whose value depends on it."""
    one = aggregate.entitlement
    period = None if one.measured_from is None else one.usage_period
    return EntitlementRecord(
        id=one.id,
        namespace=one.namespace,
        customer_id=one.customer_id,
        feature_id=one.feature_id,
        feature_key=one.feature_key,
        type=one.kind.value,
        active_from=one.active_from,
        created_at=one.created_at,
        updated_at=one.updated_at,
        active_to=one.active_to,
        deleted_at=one.deleted_at,
        config=one.config,
        is_soft_limit=one.is_soft_limit,
        measured_from=one.measured_from,
        interval=None if period is None else format_duration(period.interval),
        anchor=None if period is None else period.anchor,
        preserve_overage=one.preserve_overage,
        resets=tuple(map(_reset, aggregate.resets)),
        grants=tuple(map(_grant, aggregate.grants)),
    )


def refuse_too_large(record: EntitlementRecord) -> None:
    """Refused with `entitlement_too_large` when it could not be published, now or once all its grants are void and deleted."""
    size = len(msgspec.json.encode(record)) + sum(
        (grant.voided_at is None) * _VOIDED_BYTES + (grant.deleted_at is None) * _DELETED_BYTES
        for grant in record.grants
    )
    if size > RECORD_BYTES_MAX:
        raise Refused(
            "entitlement_too_large",
            f"the entitlement would have {size} bytes with its grants and resets, {RECORD_BYTES_MAX} are allowed",
        )


def _grant(one: ManagedGrant) -> GrantRecord:
    grant = one.grant
    recurrence = grant.recurrence
    return GrantRecord(
        id=grant.id,
        amount=grant.amount,
        effective_at=grant.effective_at,
        created_at=grant.created_at,
        priority=grant.priority,
        expires_at=grant.expires_at,
        voided_at=grant.voided_at,
        deleted_at=grant.deleted_at,
        recurrence_interval=None if recurrence is None else format_duration(recurrence.interval),
        recurrence_anchor=None if recurrence is None else recurrence.anchor,
        min_rollover=grant.min_rollover,
        max_rollover=grant.max_rollover,
    )


def _reset(reset: ManualReset) -> ResetRecord:
    return ResetRecord(at=reset.at, anchor=reset.anchor, preserve_overage=reset.preserve_overage)
