"""What balances are recomputed from, besides usage: the port `BalanceRecords` of api/balances/ports.py."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from connectors.postgres.customer_rows import SELECT as SELECT_CUSTOMERS
from connectors.postgres.customer_rows import customer_of
from connectors.postgres.customers import owners_of
from connectors.postgres.entitlement_rows import SELECT as SELECT_ENTITLEMENTS
from connectors.postgres.entitlement_rows import aggregates, entitlement_of
from connectors.postgres.feature_rows import SELECT as SELECT_FEATURES
from connectors.postgres.feature_rows import feature_of, feature_record
from connectors.postgres.meters import SELECT as SELECT_METERS
from connectors.postgres.meters import meter_of
from connectors.postgres.pool import Pool, PooledConnection, connection
from connectors.postgres.texts import storable
from domain.customers.customer import Customer
from domain.errors import PreconditionFailed
from domain.metering.meter import Meter
from domain.metering.ulid import is_ulid
from schemas.catalog import EntitlementRecord, FeatureRecord
from schemas.entitlement_records import entitlement_record

_OF_IDS = "WHERE namespace = $1 AND id = ANY($2::text[])"


class PostgresBalanceRecords:
    """Of one namespace. Every call raises Unavailable when Postgres is down."""

    def __init__(self, pool: Pool, namespace: str) -> None:
        self._pool = pool
        self._namespace = namespace

    async def customers(
        self, names: Sequence[str], *, by_subject: bool = False
    ) -> Mapping[str, Customer]:
        """By name as asked: an id (deleted ones, too) or a live one's key; `by_subject`: a subject's id or key.

        A subject's key is anybody's usage, whether the subject was made or not. PreconditionFailed for a deleted subject's id.
        """
        asked = [name for name in names if storable(name)]
        async with connection(self._pool) as reading:
            if not by_subject:
                return await self._customers(reading, asked)
            keys = await self._subject_keys(reading, asked)
            owners = await owners_of(reading, self._namespace, list(set(keys.values())))
            found = await self._customers(reading, sorted(set(owners.values())))
        return {name: found[owners[key]] for name, key in keys.items() if key in owners}

    async def subjects_of(self, customers: Sequence[Customer]) -> Mapping[str, tuple[str, ...]]:
        """By customer id, the subjects whose events are theirs; a deleted one has none."""
        wanted = {
            customer.id: sorted({*customer.subject_keys, *filter(None, (customer.key,))})
            for customer in customers
            if customer.deleted_at is None
        }
        async with connection(self._pool) as reading:
            owners = await owners_of(
                reading, self._namespace, sorted({s for keys in wanted.values() for s in keys})
            )
        return {
            id_: tuple(key for key in keys if owners.get(key) == id_)
            for id_, keys in wanted.items()
        }

    async def entitlements(self, customer_ids: Sequence[str]) -> Sequence[EntitlementRecord]:
        """All of theirs that are not deleted."""
        return await self._entitlements(
            "e.customer_id = ANY($2::text[]) AND e.deleted_at IS NULL", customer_ids
        )

    async def entitlements_by_id(self, ids: Sequence[str]) -> Mapping[str, EntitlementRecord]:
        """By id, deleted ones too, whoever's they are."""
        found = await self._entitlements("e.id = ANY($2::text[])", ids)
        return {record.id: record for record in found}

    async def features(self, ids: Sequence[str]) -> Mapping[str, FeatureRecord]:
        """By id, archived ones too."""
        async with connection(self._pool) as reading:
            rows = await reading.fetch(f"{SELECT_FEATURES} {_OF_IDS}", self._namespace, ids)
        return {row["id"]: feature_record(feature_of(row)) for row in rows}

    async def known_features(self, keys: Sequence[str]) -> Collection[str]:
        """Those of the keys that a feature has which is not archived."""
        async with connection(self._pool) as reading:
            rows = await reading.fetch(
                "SELECT key FROM features WHERE namespace = $1 AND key = ANY($2::text[]) AND archived_at IS NULL",
                self._namespace,
                [key for key in keys if storable(key)],
            )
        return {row["key"] for row in rows}

    async def meters_by_id(self, ids: Sequence[str]) -> Mapping[str, Meter]:
        """By id, deleted ones too."""
        async with connection(self._pool) as reading:
            rows = await reading.fetch(f"{SELECT_METERS} {_OF_IDS}", self._namespace, ids)
        return {row["id"]: meter_of(row) for row in rows}

    # -- by pieces

    async def _customers(
        self, reading: PooledConnection, names: Sequence[str]
    ) -> dict[str, Customer]:
        ids = [name.upper() for name in names if is_ulid(name)]
        rows = await reading.fetch(
            f"{SELECT_CUSTOMERS} WHERE c.namespace = $1"
            " AND (c.id = ANY($2::text[]) OR (c.key = ANY($3::text[]) AND c.deleted_at IS NULL))",
            self._namespace,
            ids,
            names,
        )
        found = [customer_of(row) for row in rows]
        by_id = {customer.id: customer for customer in found}
        by_key = {c.key: c for c in found if c.key is not None and c.deleted_at is None}
        named = {
            name: (by_id.get(name.upper()) if is_ulid(name) else None) or by_key.get(name)
            for name in names
        }
        return {name: customer for name, customer in named.items() if customer is not None}

    async def _subject_keys(
        self, reading: PooledConnection, names: Sequence[str]
    ) -> dict[str, str]:
        """The subject's key by name: names are keys, unless one is a subject's id."""
        ids = [name.upper() for name in names if is_ulid(name)]
        rows = []
        if ids:
            rows = await reading.fetch(
                f"SELECT id, key, deleted_at FROM subjects {_OF_IDS}", self._namespace, ids
            )
        for row in rows:
            if row["deleted_at"] is not None:
                raise PreconditionFailed(f"subject is deleted: {row['id']}")
        by_id = {row["id"]: row["key"] for row in rows}
        return {name: by_id.get(name.upper(), name) for name in names}

    async def _entitlements(self, where: str, names: Sequence[str]) -> list[EntitlementRecord]:
        async with connection(self._pool) as reading:
            rows = await reading.fetch(
                f"{SELECT_ENTITLEMENTS} WHERE e.namespace = $1 AND {where} ORDER BY e.created_at, e.id",
                self._namespace,
                names,
            )
            found = await aggregates(reading, [entitlement_of(row) for row in rows])
        return [entitlement_record(one) for one in found]
