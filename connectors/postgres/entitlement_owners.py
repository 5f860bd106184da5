"""Whose an entitlement is, or is to be: owners and features as requests name them, looked up in the change's own transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from connectors.postgres.customer_rows import find_customer
from connectors.postgres.customers import owners_of
from connectors.postgres.entitlement_rows import SELECT, entitlement_of
from connectors.postgres.feature_rows import find_feature
from connectors.postgres.pool import PooledConnection
from connectors.postgres.subjects import find_subject
from connectors.postgres.texts import storable
from domain.customers.customer import Customer
from domain.entitlements.finding import ByCustomer, BySubject, FeatureName, Owner
from domain.entitlements.managed import ManagedEntitlement
from domain.entitlements.managing import Opening
from domain.errors import NotFound, PreconditionFailed
from domain.features.feature import Feature
from domain.metering.ulid import is_ulid


async def find_owner(reading: PooledConnection, namespace: str, owner: Owner) -> Customer:
    """NotFound; PreconditionFailed for a deleted customer or subject."""
    match owner:
        case ByCustomer(id_or_key=name):
            customer = await find_customer(reading, namespace, name)
            customer.refuse_deleted()
            return customer
        case BySubject(id_or_key=name):
            return await _owner_of_subject(reading, namespace, name)


async def _owner_of_subject(reading: PooledConnection, namespace: str, name: str) -> Customer:
    subject = await find_subject(reading, namespace, name)
    if subject.deleted_at is not None:
        raise PreconditionFailed(f"subject is deleted: {subject.id}")
    owners = await owners_of(reading, namespace, [subject.key])
    if subject.key not in owners:
        raise NotFound(f"subject {subject.key[:80]!r} belongs to no customer")
    return await find_customer(reading, namespace, owners[subject.key])


async def find_live_feature(
    reading: PooledConnection, namespace: str, name: FeatureName
) -> Feature:
    """NotFound, also for an archived one."""
    asked = name.id or name.key or ""
    feature = await find_feature(reading, namespace, asked)
    if feature.archived_at is not None:
        raise NotFound(f"feature is archived: {feature.id}")
    return feature


async def opening_for(
    change: PooledConnection, customer: Customer, feature: Feature, now: datetime
) -> Opening:
    """Where a new entitlement of the customer for the feature goes."""
    rows = await change.fetch(
        f"{SELECT} WHERE e.namespace = $1 AND e.customer_id = $2 AND e.feature_key = $3 AND e.deleted_at IS NULL"
        " AND (e.active_to IS NULL OR e.active_to > $4) ORDER BY e.created_at, e.id",
        customer.namespace,
        customer.id,
        feature.key,
        now,
    )
    return Opening(
        namespace=customer.namespace,
        customer_id=customer.id,
        feature_id=feature.id,
        feature_key=feature.key,
        has_meter=feature.meter_id is not None,
        others=[entitlement_of(row) for row in rows],
        now=now,
    )


async def customers_wanted(
    reading: PooledConnection,
    namespace: str,
    ids: Sequence[str] | None,
    keys: Sequence[str] | None,
) -> Sequence[str] | None:
    """The ids, and those of live customers with one of the keys; None when neither was asked for."""
    if ids is None and keys is None:
        return None
    rows = await reading.fetch(
        "SELECT id FROM customers WHERE namespace = $1 AND key = ANY($2::text[]) AND deleted_at IS NULL",
        namespace,
        [key for key in keys or () if storable(key)],
    )
    return [*(id.upper() for id in ids or () if storable(id)), *(row["id"] for row in rows)]


async def live_customers(
    reading: PooledConnection, namespace: str, names: Sequence[str]
) -> Sequence[str]:
    """The ids of customers that are named by id or key, without the deleted ones; NotFound for an unknown one."""
    asked = [name for name in names if storable(name)]
    rows = await reading.fetch(
        "SELECT id, key, deleted_at FROM customers WHERE namespace = $1"
        " AND (id = ANY($2::text[]) OR (key = ANY($3::text[]) AND deleted_at IS NULL))",
        namespace,
        [name.upper() for name in asked if is_ulid(name)],
        asked,
    )
    by_id = {row["id"]: row for row in rows}
    by_key = {row["key"]: row for row in rows if row["deleted_at"] is None}
    found = []
    for name in names:
        row = by_id.get(name.upper()) if is_ulid(name) else None
        row = row or by_key.get(name)
        if row is None:
            raise NotFound(f"no customer has the id or key {name[:80]!r}")
        if row["deleted_at"] is None:
            found.append(row["id"])
    return found


def of_one_customer(found: ManagedEntitlement, customer: Customer) -> ManagedEntitlement:
    """NotFound when the entitlement is another customer's."""
    if found.customer_id != customer.id:
        raise NotFound(f"customer {customer.id} has no entitlement {found.id}")
    return found
