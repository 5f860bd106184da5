"""Features in Postgres: the port `Features` of api/ports.py, and what live features forbid their meters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from connectors.postgres.changes import append_change, catalog_change
from connectors.postgres.feature_rows import (
    COLUMNS,
    SELECT,
    feature_of,
    feature_record,
    find_feature,
    values_of,
)
from connectors.postgres.pool import Pool, PooledConnection, connection
from connectors.postgres.texts import storable
from domain.errors import Conflict, NotFound
from domain.features.feature import Feature
from domain.features.listing import FeatureListing, FeaturePage
from domain.metering.meter import Meter
from schemas.catalog import FeatureRecord

_INSERT = (
    f"INSERT INTO features ({', '.join(COLUMNS)})"
    f" VALUES ({', '.join(f'${n}' for n in range(1, len(COLUMNS) + 1))})"
)
_ENTITLED = (
    "SELECT EXISTS (SELECT FROM entitlements e JOIN features f ON f.namespace = e.namespace AND f.id = e.feature_id"
    " WHERE e.namespace = $1 AND f.meter_id = $2 AND e.deleted_at IS NULL AND e.active_from <= $3"
    " AND (e.active_to IS NULL OR e.active_to > $3))"
)
"""Archived features keep their entitlements, and those their meter."""

_ORDERS = {"key": "key", "name": "name", "createdAt": "created_at", "updatedAt": "updated_at"}


class PostgresFeatures:
    """The features of one namespace. Every call raises Unavailable when Postgres is down."""

    def __init__(self, pool: Pool, namespace: str, now: Callable[[], datetime]) -> None:
        self._pool = pool
        self._namespace = namespace
        self._now = now

    async def create(self, feature: Feature) -> Feature:
        """Store a new feature; Conflict when a live one has its key, NotFound when its meter is gone."""
        async with catalog_change(self._pool, self._namespace) as change:
            if await change.fetchval(
                "SELECT EXISTS (SELECT FROM features WHERE namespace = $1 AND key = $2 AND archived_at IS NULL)",
                feature.namespace,
                feature.key,
            ):
                raise Conflict(f"a live feature has the key {feature.key!r}")
            await _refuse_dead_meter(change, feature)
            await change.execute(_INSERT, *values_of(feature))
            await append_change(change, feature.namespace, feature_record(feature))
        return feature

    async def find(self, id_or_key: str) -> Feature:
        """A live one by id or key; NotFound."""
        found = await self._find(id_or_key)
        if found.archived_at is not None:
            raise NotFound(f"feature is archived: {found.id}")
        return found

    async def record(self, id_or_key: str) -> FeatureRecord:
        """By id (archived ones too) or by the key of a live one, in the form that the workers have; NotFound."""
        return feature_record(await self._find(id_or_key))

    async def archive(self, id_or_key: str) -> None:
        """Its key is free; its entitlements live on. NotFound, also for an archived one."""
        async with catalog_change(self._pool, self._namespace) as change:
            found = await find_feature(change, self._namespace, id_or_key)
            if found.archived_at is not None:
                raise NotFound(f"feature is archived: {found.id}")
            at = self._now()
            after = replace(found, updated_at=at, archived_at=at)
            await change.execute(
                "UPDATE features SET updated_at = $3, archived_at = $3 WHERE namespace = $1 AND id = $2",
                after.namespace,
                after.id,
                at,
            )
            await append_change(change, after.namespace, feature_record(after))

    async def list_features(self, listing: FeatureListing) -> FeaturePage:
        """A part of those that fit."""
        asked = listing.meters
        meters = None if asked is None else [text for text in asked if storable(text)]
        where = (
            "namespace = $1 AND ($2 OR archived_at IS NULL)"
            " AND ($3::text[] IS NULL OR meter_slug = ANY($3::text[]) OR meter_id = ANY($3::text[]))"
        )
        arguments = (self._namespace, listing.include_archived, meters)
        direction = "DESC" if listing.descending else "ASC"
        order = f"ORDER BY {_ORDERS[listing.order_by]} {direction}, id {direction}"
        async with connection(self._pool) as reading:
            total: int = await reading.fetchval(
                f"SELECT count(*) FROM features WHERE {where}", *arguments
            )
            if listing.offset >= total:
                return FeaturePage(total=total, features=())
            rows = await reading.fetch(
                f"{SELECT} WHERE {where} {order} LIMIT {listing.limit} OFFSET {listing.offset}",
                *arguments,
            )
        return FeaturePage(total=total, features=[feature_of(row) for row in rows])

    async def _find(self, id_or_key: str) -> Feature:
        async with connection(self._pool) as reading:
            return await find_feature(reading, self._namespace, id_or_key)


async def refuse_for_features(change: PooledConnection, before: Meter, after: Meter) -> None:
    """Conflict when live features use the meter and it would be deleted, or lose a group that they filter on."""
    deleted = after.deleted_at is not None and before.deleted_at is None
    lost = before.group_by.keys() - after.group_by.keys()
    if not deleted and not lost:
        return
    key = await change.fetchval(
        "SELECT key FROM features WHERE namespace = $1 AND meter_id = $2 AND archived_at IS NULL"
        " AND ($3 OR filters ?| $4::text[]) ORDER BY key LIMIT 1",
        before.namespace,
        before.id,
        deleted,
        sorted(lost),
    )
    if key is not None and deleted:
        raise Conflict(f"meter has active features and cannot be deleted: {key}")
    if key is not None:
        raise Conflict(f"feature {key} filters on a group that the meter would lose")
    if deleted and await change.fetchval(_ENTITLED, before.namespace, before.id, after.deleted_at):
        raise Conflict("meter has active entitlements and cannot be deleted")


async def _refuse_dead_meter(change: PooledConnection, feature: Feature) -> None:
    """The meter was found before this transaction: it may be gone, or have lost a group."""
    if feature.meter_id is None:
        return
    live = await change.fetchval(
        "SELECT EXISTS (SELECT FROM meters WHERE namespace = $1 AND id = $2 AND deleted_at IS NULL"
        " AND group_by ?& $3::text[])",
        feature.namespace,
        feature.meter_id,
        list(feature.filters),
    )
    if not live:
        raise NotFound(f"the meter {feature.meter_slug} is no longer as it was")
