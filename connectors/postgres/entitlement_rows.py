"""An entitlement and its rows: reading one with its grants and resets, and writing what a change made of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from asyncpg import Record

from connectors.postgres.pool import PooledConnection
from connectors.postgres.texts import from_json, json_text
from domain.credits.grant import Grant, GrantId
from domain.entitlements.grants import ExpiryUnit
from domain.entitlements.managed import (
    Aggregate,
    Expiry,
    Holder,
    Issue,
    Kind,
    ManagedEntitlement,
    ManagedGrant,
    ManualReset,
)
from domain.time.duration import format_duration, parse_duration
from domain.time.recurrence import Recurrence

_PLAIN = (
    "namespace", "id", "customer_id", "feature_id", "feature_key", "active_from", "active_to", "created_at",
    "updated_at", "deleted_at", "config", "is_soft_limit", "preserve_overage",
)  # fmt: skip
_COLUMNS = (
    *_PLAIN, "kind", "metadata", "annotations", "period_interval", "period_anchor", "measured_from", "issue_amount",
    "issue_priority",
)  # fmt: skip
_GRANT_PLAIN = (
    "amount", "priority", "effective_at", "expires_at", "voided_at", "min_rollover", "max_rollover", "created_at",
    "deleted_at",
)  # fmt: skip
_GRANT_COLUMNS = (
    *_GRANT_PLAIN, "namespace", "id", "entitlement_id", "expiry_unit", "expiry_count", "recurrence_interval",
    "recurrence_anchor", "updated_at", "metadata", "annotations",
)  # fmt: skip

SELECT = f"""
SELECT {", ".join(f"e.{name}" for name in _COLUMNS)}, c.key AS customer_key,
    coalesce((SELECT s.subject_key FROM customer_subjects s WHERE s.namespace = e.namespace
        AND s.customer_id = e.customer_id AND s.deleted_at IS NULL ORDER BY s.subject_key LIMIT 1), '') AS subject_key,
    r.at AS reset_at, r.anchor AS reset_anchor, r.preserve_overage AS reset_preserve_overage
FROM entitlements e
JOIN customers c ON c.namespace = e.namespace AND c.id = e.customer_id
LEFT JOIN LATERAL (SELECT * FROM resets r WHERE r.namespace = e.namespace AND r.entitlement_id = e.id
    ORDER BY r.at DESC LIMIT 1) r ON true
"""
SELECT_GRANTS = f"SELECT {', '.join(f'g.{name}' for name in _GRANT_COLUMNS)} FROM grants g"
_UPDATE = "UPDATE entitlements SET active_to = $3, updated_at = $4, deleted_at = $5 WHERE namespace = $1 AND id = $2"
_UPDATE_GRANT = "UPDATE grants SET voided_at = $3, updated_at = $4, deleted_at = $5 WHERE namespace = $1 AND id = $2"


def _insert(table: str, columns: Sequence[str]) -> str:
    values = ", ".join(f"${n}" for n in range(1, len(columns) + 1))
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({values})"


_INSERT = _insert("entitlements", _COLUMNS)
_INSERT_GRANT = _insert("grants", _GRANT_COLUMNS)
_INSERT_RESET = _insert(
    "resets", ("namespace", "entitlement_id", "at", "anchor", "preserve_overage")
)


# -- reading


def entitlement_of(row: Record) -> ManagedEntitlement:
    """The entitlement of a row of `SELECT`."""
    amount, interval = row["issue_amount"], row["period_interval"]
    return ManagedEntitlement(
        **{name: row[name] for name in _PLAIN},
        kind=Kind(row["kind"]),
        metadata=from_json(row["metadata"]),
        annotations=from_json(row["annotations"]),
        usage_period=_recurrence(interval, row["period_anchor"]),
        measured_from=_utc(row["measured_from"]),
        issue=None if amount is None else Issue(amount=amount, priority=row["issue_priority"]),
        last_reset=None
        if row["reset_at"] is None
        else ManualReset(
            at=_aware(row["reset_at"]),
            anchor=_aware(row["reset_anchor"]),
            preserve_overage=row["reset_preserve_overage"],
        ),
    )


def holder_of(row: Record) -> Holder:
    """Who has the entitlement of a row of `SELECT`."""
    return Holder(
        customer_id=row["customer_id"],
        customer_key=row["customer_key"],
        subject_key=row["subject_key"],
    )


def grant_of(row: Record) -> ManagedGrant:
    """The grant of a row of `SELECT_GRANTS`."""
    values = {name: row[name] for name in _GRANT_PLAIN}
    values["effective_at"] = _aware(values["effective_at"])
    unit = row["expiry_unit"]
    return ManagedGrant(
        grant=Grant(
            id=GrantId(row["id"]),
            recurrence=_recurrence(row["recurrence_interval"], row["recurrence_anchor"]),
            **values,
        ),
        entitlement_id=row["entitlement_id"],
        updated_at=row["updated_at"],
        expiry=None if unit is None else Expiry(unit=ExpiryUnit(unit), count=row["expiry_count"]),
        metadata=from_json(row["metadata"]),
        annotations=from_json(row["annotations"]),
    )


async def aggregates(
    reading: PooledConnection, found: Sequence[ManagedEntitlement]
) -> list[Aggregate]:
    """The entitlements, of one namespace, with all their grants and resets."""
    if not found:
        return []
    asked = (found[0].namespace, [one.id for one in found])
    grants: dict[str, list[ManagedGrant]] = {}
    for row in await reading.fetch(
        f"{SELECT_GRANTS} WHERE g.namespace = $1 AND g.entitlement_id = ANY($2::text[]) ORDER BY g.created_at, g.id",
        *asked,
    ):
        grants.setdefault(row["entitlement_id"], []).append(grant_of(row))
    resets: dict[str, list[ManualReset]] = {}
    for row in await reading.fetch(
        "SELECT * FROM resets WHERE namespace = $1 AND entitlement_id = ANY($2::text[]) ORDER BY at",
        *asked,
    ):
        resets.setdefault(row["entitlement_id"], []).append(
            ManualReset(
                at=_aware(row["at"]),
                anchor=_aware(row["anchor"]),
                preserve_overage=row["preserve_overage"],
            )
        )
    return [
        Aggregate(
            entitlement=one,
            grants=tuple(grants.get(one.id, ())),
            resets=tuple(resets.get(one.id, ())),
        )
        for one in found
    ]


# -- writing


async def insert(change: PooledConnection, made: Aggregate) -> None:
    """A new entitlement."""
    await change.execute(_INSERT, *_values(made.entitlement))
    await _insert_grants(change, made, made.grants)


async def update(change: PooledConnection, before: Aggregate, after: Aggregate) -> None:
    """What changes can change: the end, the deletion; grants added, voided and deleted; resets added."""
    one = after.entitlement
    if replace(one, last_reset=before.entitlement.last_reset) != before.entitlement:
        await change.execute(
            _UPDATE, one.namespace, one.id, one.active_to, one.updated_at, one.deleted_at
        )
    known = {grant.grant.id: grant for grant in before.grants}
    await _insert_grants(change, after, [g for g in after.grants if g.grant.id not in known])
    changed = [g for g in after.grants if known.get(g.grant.id, g) != g]
    await change.executemany(
        _UPDATE_GRANT,
        [
            (one.namespace, g.grant.id, g.grant.voided_at, g.updated_at, g.grant.deleted_at)
            for g in changed
        ],
    )
    await change.executemany(
        _INSERT_RESET,
        [
            (one.namespace, one.id, reset.at, reset.anchor, reset.preserve_overage)
            for reset in after.resets[len(before.resets) :]
        ],
    )


async def _insert_grants(
    change: PooledConnection, owner: Aggregate, grants: Iterable[ManagedGrant]
) -> None:
    namespace = owner.entitlement.namespace
    await change.executemany(_INSERT_GRANT, [_grant_values(namespace, one) for one in grants])


def _values(one: ManagedEntitlement) -> list[Any]:
    period, issue = one.usage_period, one.issue
    made = {
        "kind": one.kind.value,
        "metadata": json_text(one.metadata),
        "annotations": json_text(one.annotations),
        "period_interval": None if period is None else format_duration(period.interval),
        "period_anchor": None if period is None else period.anchor,
        "issue_amount": None if issue is None else issue.amount,
        "issue_priority": None if issue is None else issue.priority,
    }
    return [made[name] if name in made else getattr(one, name) for name in _COLUMNS]


def _grant_values(namespace: str, one: ManagedGrant) -> list[Any]:
    grant, expiry = one.grant, one.expiry
    recurrence = grant.recurrence
    made = {
        "namespace": namespace,
        "entitlement_id": one.entitlement_id,
        "expiry_unit": None if expiry is None else expiry.unit.value,
        "expiry_count": None if expiry is None else expiry.count,
        "recurrence_interval": None if recurrence is None else format_duration(recurrence.interval),
        "recurrence_anchor": None if recurrence is None else recurrence.anchor,
        "updated_at": one.updated_at,
        "metadata": json_text(one.metadata),
        "annotations": json_text(one.annotations),
    }
    return [made[name] if name in made else getattr(grant, name) for name in _GRANT_COLUMNS]


def _recurrence(interval: str | None, anchor: datetime | None) -> Recurrence | None:
    if interval is None or anchor is None:
        return None
    return Recurrence(interval=parse_duration(interval), anchor=_aware(anchor))


def _utc(at: datetime | None) -> datetime | None:
    return None if at is None else _aware(at)


def _aware(at: datetime) -> datetime:
    """asyncpg keeps the first and the last instant there is as infinities, and reads those without a zone."""
    return at.replace(tzinfo=UTC)
