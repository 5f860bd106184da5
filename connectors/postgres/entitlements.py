"""Entitlements in Postgres: the port `Entitlements` of api/ports.py."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from connectors.postgres.changes import append_change, catalog_change, committed_version
from connectors.postgres.customer_rows import customer_record
from connectors.postgres.entitlement_lists import (
    Conditions,
    entitlement_conditions,
    entitlement_part,
    grant_part,
)
from connectors.postgres.entitlement_owners import (
    customers_wanted,
    find_live_feature,
    find_owner,
    live_customers,
    of_one_customer,
    opening_for,
)
from connectors.postgres.entitlement_rows import (
    SELECT,
    aggregates,
    entitlement_of,
    grant_of,
    holder_of,
    insert,
    update,
)
from connectors.postgres.pool import Pool, PooledConnection, connection
from domain.customers.customer import Customer
from domain.entitlements.finding import (
    ByCustomer,
    ById,
    BySubject,
    EntitlementFilter,
    FeatureName,
    GrantFilter,
    OfOwner,
    Owner,
    Place,
    Slice,
)
from domain.entitlements.managed import Aggregate, Holder, ManagedEntitlement, ManagedGrant
from domain.entitlements.managing import Opening
from domain.errors import NotFound
from domain.metering.meter import SLUG
from domain.metering.ulid import is_ulid
from schemas.catalog import CustomerRecord, EntitlementRecord
from schemas.entitlement_records import entitlement_record, refuse_too_large

OF_CUSTOMER_MAX = 2_000
"""Entitlements that `of_customer` gives: the active ones first, then the newest."""

Found = tuple[ManagedEntitlement, Holder]


class PostgresEntitlements:
    """The entitlements of one namespace. Every call raises Unavailable when Postgres is down."""

    def __init__(self, pool: Pool, namespace: str, now: Callable[[], datetime]) -> None:
        self._pool = pool
        self._namespace = namespace
        self._now = now

    @property
    def catalog_version(self) -> int:
        """The newest version of the catalog that this process has committed, whatever changed; 0 = none."""
        return committed_version(self._namespace)

    # -- for reading balances

    async def of_customer(
        self, customer_id_or_key: str
    ) -> tuple[CustomerRecord, Sequence[EntitlementRecord]]:
        """A customer and its entitlements that are not deleted, at most `OF_CUSTOMER_MAX`. NotFound, PreconditionFailed."""
        return await self._of_owner(ByCustomer(customer_id_or_key))

    async def of_subject(
        self, subject_id_or_key: str
    ) -> tuple[CustomerRecord, Sequence[EntitlementRecord]]:
        """The same of the customer whose usage the subject's events are. NotFound, PreconditionFailed."""
        return await self._of_owner(BySubject(subject_id_or_key))

    async def record(self, entitlement_id: str) -> EntitlementRecord:
        """By id; NotFound, also when it is deleted."""
        async with connection(self._pool) as reading:
            found, _ = await self._by_id(reading, entitlement_id)
            [whole] = await aggregates(reading, [found])
        return entitlement_record(whole)

    async def _of_owner(self, owner: Owner) -> tuple[CustomerRecord, Sequence[EntitlementRecord]]:
        async with connection(self._pool) as reading:
            customer = await find_owner(reading, self._namespace, owner)
            rows = await reading.fetch(
                f"{SELECT} WHERE e.namespace = $1 AND e.customer_id = $2 AND e.deleted_at IS NULL"
                f" ORDER BY e.active_to IS NOT NULL, e.created_at DESC, e.id DESC LIMIT {OF_CUSTOMER_MAX}",
                self._namespace,
                customer.id,
            )
            found = await aggregates(reading, [entitlement_of(row) for row in rows])
        return customer_record(customer), [entitlement_record(one) for one in found]

    # -- changes

    async def create(
        self, owner: Owner, feature: FeatureName, make: Callable[[Opening], Aggregate]
    ) -> Found:
        """Store what `make` makes for owner and feature; NotFound, PreconditionFailed, what `make` raises."""
        async with catalog_change(self._pool, self._namespace) as change:
            now = self._now()
            customer = await find_owner(change, self._namespace, owner)
            wanted = await find_live_feature(change, self._namespace, feature)
            made = make(await opening_for(change, customer, wanted, now))
            await self._insert(change, made)
        return made.entitlement, _holder(customer)

    async def override(
        self,
        place: OfOwner,
        feature: FeatureName,
        make: Callable[[Aggregate, Opening], tuple[Aggregate, Aggregate]],
    ) -> Found:
        """Store what `make` makes of the entitlement and of its successor; the successor.

        NotFound, also for another customer's entitlement; PreconditionFailed, what `make` raises.
        """
        async with catalog_change(self._pool, self._namespace) as change:
            now = self._now()
            customer = await find_owner(change, self._namespace, place.owner)
            found, _ = await self._of(change, customer, place.id_or_feature_key, now)
            [before] = await aggregates(change, [of_one_customer(found, customer)])
            wanted = await find_live_feature(change, self._namespace, feature)
            ended, made = make(before, await opening_for(change, customer, wanted, now))
            await self._update(change, before, ended)
            await self._insert(change, made)
        return made.entitlement, _holder(customer)

    async def change(
        self, place: Place, change: Callable[[Aggregate, datetime], Aggregate]
    ) -> Aggregate:
        """Store what `change` makes of the entitlement as it is now; NotFound, PreconditionFailed, what `change` raises."""
        async with catalog_change(self._pool, self._namespace) as changing:
            now = self._now()
            found, _ = await self._find(changing, place, now)
            return await self._changed(changing, found, change, now)

    async def change_grant(
        self, grant_id: str, change: Callable[[Aggregate, datetime], Aggregate]
    ) -> None:
        """Store what `change` makes of the entitlement that has this grant; NotFound, what `change` raises."""
        async with catalog_change(self._pool, self._namespace) as changing:
            now = self._now()
            owner = None
            if is_ulid(grant_id):
                owner = await changing.fetchval(
                    "SELECT entitlement_id FROM grants WHERE namespace = $1 AND id = $2 AND deleted_at IS NULL",
                    self._namespace,
                    grant_id.upper(),
                )
            if owner is None:
                raise NotFound(f"no grant has the id {grant_id[:80]!r}")
            found, _ = await self._by_id(changing, owner)
            await self._changed(changing, found, change, now)

    async def _changed(
        self,
        changing: PooledConnection,
        found: ManagedEntitlement,
        change: Callable[[Aggregate, datetime], Aggregate],
        now: datetime,
    ) -> Aggregate:
        [before] = await aggregates(changing, [found])
        after = change(before, now)
        await self._update(changing, before, after)
        return after

    async def _insert(self, change: PooledConnection, made: Aggregate) -> None:
        record = entitlement_record(made)
        refuse_too_large(record)
        await insert(change, made)
        await append_change(change, self._namespace, record)

    async def _update(self, change: PooledConnection, before: Aggregate, after: Aggregate) -> None:
        record = entitlement_record(after)
        if len(after.grants) > len(before.grants) or len(after.resets) > len(before.resets):
            refuse_too_large(record)
        await update(change, before, after)
        await append_change(change, self._namespace, record)

    # -- looking

    async def find(self, place: Place) -> Found:
        """NotFound, PreconditionFailed."""
        async with connection(self._pool) as reading:
            return await self._find(reading, place, self._now())

    async def list_entitlements(
        self, wanted: EntitlementFilter, part: Slice
    ) -> tuple[Sequence[Found], int]:
        """A part, and how many there are in all; NotFound and PreconditionFailed for its owner."""
        async with connection(self._pool) as reading:
            owner = None
            if wanted.owner is not None:
                owner = (await find_owner(reading, self._namespace, wanted.owner)).id
            customers = await customers_wanted(
                reading, self._namespace, wanted.customer_ids, wanted.customer_keys
            )
            where = entitlement_conditions(self._namespace, wanted, owner, customers, self._now())
            rows, total = await entitlement_part(reading, where, part)
        return [(entitlement_of(row), holder_of(row)) for row in rows], total

    async def list_grants(
        self, wanted: GrantFilter, part: Slice
    ) -> tuple[Sequence[ManagedGrant], int]:
        """A part, and how many there are in all; NotFound and PreconditionFailed for its place or customers."""
        async with connection(self._pool) as reading:
            where = Conditions(self._namespace, "g")
            if wanted.place is not None:
                found, _ = await self._find(reading, wanted.place, self._now())
                where.add("g.entitlement_id = {}", found.id)
            where.of_features(wanted.features)
            where.of_subjects(wanted.subjects)
            if wanted.customers is not None:
                ids = await live_customers(reading, self._namespace, wanted.customers)
                where.of_customers(ids)
            rows, total = await grant_part(reading, where, part)
        return [grant_of(row) for row in rows], total

    async def _find(self, reading: PooledConnection, place: Place, now: datetime) -> Found:
        match place:
            case ById(id=id):
                return await self._by_id(reading, id)
            case OfOwner(owner=owner, id_or_feature_key=name):
                customer = await find_owner(reading, self._namespace, owner)
                return await self._of(reading, customer, name, now)

    async def _of(
        self, reading: PooledConnection, customer: Customer, name: str, now: datetime
    ) -> Found:
        """By id, whoever has it, or by the key of a feature; no key looks like an id."""
        if is_ulid(name):
            return await self._by_id(reading, name)
        row = None
        if SLUG.match(name):
            row = await reading.fetchrow(
                f"{SELECT} WHERE e.namespace = $1 AND e.customer_id = $2 AND e.feature_key = $3"
                " AND e.deleted_at IS NULL AND e.active_from <= $4 AND (e.active_to IS NULL OR e.active_to > $4)",
                self._namespace,
                customer.id,
                name,
                now,
            )
        if row is None:
            raise NotFound(f"customer {customer.id} has no active entitlement for {name[:80]!r}")
        return entitlement_of(row), holder_of(row)

    async def _by_id(self, reading: PooledConnection, id: str) -> Found:
        row = None
        if is_ulid(id):
            row = await reading.fetchrow(
                f"{SELECT} WHERE e.namespace = $1 AND e.id = $2 AND e.deleted_at IS NULL",
                self._namespace,
                id.upper(),
            )
        if row is None:
            raise NotFound(f"no entitlement has the id {id[:80]!r}")
        return entitlement_of(row), holder_of(row)


def _holder(customer: Customer) -> Holder:
    return Holder(
        customer_id=customer.id,
        customer_key=customer.key,
        subject_key=customer.subject_keys[0] if customer.subject_keys else "",
    )
