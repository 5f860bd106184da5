"""Meters in Postgres: the port `Meters` of api/ports.py."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from datetime import UTC, datetime
from typing import Any

import msgspec
from asyncpg import Record, UniqueViolationError

from connectors.postgres.changes import append_change, catalog_change
from connectors.postgres.features import refuse_for_features
from connectors.postgres.pool import Pool, PooledConnection, connection
from domain.errors import Conflict, NotFound
from domain.metering.meter import SLUG, Aggregation, Meter
from domain.metering.ulid import is_ulid
from schemas.catalog import record_of

_COLUMNS = tuple(field.name for field in fields(Meter))
SELECT = f"SELECT {', '.join(_COLUMNS)} FROM meters"
_INSERT = (
    f"INSERT INTO meters ({', '.join(_COLUMNS)})"
    f" VALUES ({', '.join(f'${n}' for n in range(1, len(_COLUMNS) + 1))})"
)
_UPDATE = (
    f"UPDATE meters SET {', '.join(f'{name} = ${n}' for n, name in enumerate(_COLUMNS, 1))}"
    f" WHERE namespace = ${_COLUMNS.index('namespace') + 1} AND id = ${_COLUMNS.index('id') + 1}"
)
# An id also finds a deleted meter, a slug only the live one; text that is both is first taken as an id.
_FIND = (
    f"{SELECT} WHERE namespace = $1 AND (id = $2 OR (slug = $3 AND deleted_at IS NULL))"
    " ORDER BY id = $2 DESC LIMIT 1"
)
_ORDERS = {
    "key": "slug",
    "name": "name",
    "aggregation": "aggregation",
    "createdAt": "created_at",
    "updatedAt": "updated_at",
}


class PostgresMeters:
    """The meters of one namespace. Every call raises Unavailable when Postgres is down."""

    def __init__(self, pool: Pool, namespace: str, now: Callable[[], datetime]) -> None:
        self._pool = pool
        self._namespace = namespace
        self._now = now

    async def create(self, meter: Meter) -> Meter:
        """Store a new meter; Conflict when a live one has its slug."""
        stored = replace(meter, id=meter.id.upper())
        async with catalog_change(self._pool, self._namespace) as change:
            try:
                await change.execute(_INSERT, *_values(stored))
            except UniqueViolationError as error:
                raise Conflict(f"a live meter has the slug {meter.slug!r}") from error
            await append_change(change, stored.namespace, record_of(stored))
        return stored

    async def find(self, id_or_slug: str) -> Meter:
        """By id (deleted ones too) or by slug of a live one; NotFound."""
        async with connection(self._pool) as reading:
            return await self._find(reading, id_or_slug, _FIND)

    async def update(self, id_or_slug: str, change: Callable[[Meter], Meter]) -> Meter:
        """Store what `change` makes of the meter as it is now. NotFound, Conflict with features, what `change` raises."""
        async with catalog_change(self._pool, self._namespace) as changing:
            before = await self._find(changing, id_or_slug, f"{_FIND} FOR UPDATE")
            after = change(before)
            if after != before:
                await refuse_for_features(changing, before, after)
                await changing.execute(_UPDATE, *_values(after))
                await append_change(changing, after.namespace, record_of(after))
            return after

    async def delete(self, id_or_slug: str) -> None:
        """Soft; deleting a deleted one by id changes nothing. NotFound, Conflict with features and entitlements."""
        at = self._now()

        def deleted(meter: Meter) -> Meter:
            return meter if meter.deleted_at is not None else replace(meter, deleted_at=at)

        await self.update(id_or_slug, deleted)

    async def list_meters(
        self, *, order_by: str, descending: bool, include_deleted: bool, limit: int
    ) -> list[Meter]:
        """Up to `limit` meters; `order_by` is key, name, aggregation, createdAt or updatedAt, then the id."""
        direction = "DESC" if descending else "ASC"
        async with connection(self._pool) as reading:
            rows = await reading.fetch(
                f"{SELECT} WHERE namespace = $1 AND ($2 OR deleted_at IS NULL)"
                f" ORDER BY {_ORDERS[order_by]} {direction}, id {direction} LIMIT $3",
                self._namespace,
                include_deleted,
                limit,
            )
        return [meter_of(row) for row in rows]

    async def of_types(self, event_types: Sequence[str]) -> list[Meter]:
        """Live meters whose event type is one of these, by slug."""
        async with connection(self._pool) as reading:
            rows = await reading.fetch(
                f"{SELECT} WHERE namespace = $1 AND event_type = ANY($2::text[]) AND deleted_at IS NULL"
                " ORDER BY slug",
                self._namespace,
                # Text that Postgres cannot hold is no meter's event type.
                [each for each in event_types if _storable(each)],
            )
        return [meter_of(row) for row in rows]

    async def _find(self, reading: PooledConnection, id_or_slug: str, query: str) -> Meter:
        if is_ulid(id_or_slug) or SLUG.match(id_or_slug):
            row = await reading.fetchrow(query, self._namespace, id_or_slug.upper(), id_or_slug)
            if row is not None:
                return meter_of(row)
        raise NotFound(f"no meter has the id or slug {id_or_slug[:80]!r}")


def _values(meter: Meter) -> list[Any]:
    """The column values of a meter, in the order of `_COLUMNS`."""
    return [_stored(getattr(meter, name)) for name in _COLUMNS]


def _stored(value: Any) -> Any:
    if isinstance(value, Mapping):
        return msgspec.json.encode(dict(value)).decode()
    return value.value if isinstance(value, Aggregation) else value


def meter_of(row: Record) -> Meter:
    """The meter of a row of `SELECT`."""
    values = {name: row[name] for name in _COLUMNS}
    values["aggregation"] = Aggregation(values["aggregation"])
    values["group_by"] = msgspec.json.decode(values["group_by"])
    if values["metadata"] is not None:
        values["metadata"] = msgspec.json.decode(values["metadata"])
    if values["event_from"] is not None:
        # asyncpg keeps the first and the last instant there is as infinities, and reads those without a zone.
        values["event_from"] = values["event_from"].replace(tzinfo=UTC)
    return Meter(**values)


def _storable(text: str) -> bool:
    try:
        return b"\0" not in text.encode()
    except UnicodeEncodeError:
        return False
