"""Customers in Postgres: the port `Customers` of api/ports.py."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from connectors.postgres.changes import append_change, catalog_change
from connectors.postgres.customer_rows import (
    COLUMNS,
    SELECT,
    customer_of,
    customer_record,
    find_customer,
    values_of,
)
from connectors.postgres.pool import Pool, PooledConnection, connection
from connectors.postgres.subjects import provision, refuse_subject_ids
from connectors.postgres.texts import contains_pattern, storable
from domain.customers.customer import Customer, deleted
from domain.customers.listing import CustomerListing, CustomerPage
from domain.errors import Conflict, NotFound
from domain.metering.ulid import is_ulid
from domain.texts import folded
from schemas.catalog import CustomerRecord

_INSERT = (
    f"INSERT INTO customers ({', '.join(COLUMNS)})"
    f" VALUES ({', '.join(f'${n}' for n in range(1, len(COLUMNS) + 1))})"
)
_UPDATE = (
    f"UPDATE customers SET {', '.join(f'{name} = ${n}' for n, name in enumerate(COLUMNS, 1))}"
    f" WHERE namespace = ${COLUMNS.index('namespace') + 1} AND id = ${COLUMNS.index('id') + 1}"
)
_ORDERS = {"id": "c.id", "name": "c.name", "createdAt": "c.created_at"}
_ENTITLED = (
    "SELECT EXISTS (SELECT FROM entitlements WHERE namespace = $1 AND customer_id = $2 AND deleted_at IS NULL"
    " AND active_from <= $3 AND (active_to IS NULL OR active_to > $3))"
)
_OWNERS = """
    SELECT key AS subject, id AS customer FROM customers
        WHERE namespace = $1 AND key = ANY($2::text[]) AND deleted_at IS NULL
    UNION ALL
    SELECT subject_key, customer_id FROM customer_subjects
        WHERE namespace = $1 AND subject_key = ANY($2::text[]) AND deleted_at IS NULL
"""
"""The keys first: a key goes before another's subject key."""


class PostgresCustomers:
    """The customers of one namespace. Every call raises Unavailable when Postgres is down."""

    def __init__(
        self,
        pool: Pool,
        namespace: str,
        now: Callable[[], datetime],
        new_id: Callable[[], str],
    ) -> None:
        self._pool = pool
        self._namespace = namespace
        self._now = now
        self._new_id = new_id

    async def create(self, customer: Customer) -> Customer:
        """Store a new customer, and the subjects that it names and that are not managed yet. Conflict, Refused."""
        async with catalog_change(self._pool, self._namespace) as change:
            await _refuse_key(change, customer)
            await self._attach(change, customer, ())
            await change.execute(_INSERT, *values_of(customer))
            await self._insert_subjects(change, customer, customer.subject_keys)
            await append_change(change, customer.namespace, customer_record(customer))
        return customer

    async def find(self, id_or_key: str) -> Customer:
        """By id (deleted ones too) or by the key of a live one; NotFound."""
        async with connection(self._pool) as reading:
            return await find_customer(reading, self._namespace, id_or_key)

    async def record(self, id_or_key: str) -> CustomerRecord:
        """As `find`, in the form that the workers have."""
        return customer_record(await self.find(id_or_key))

    async def update(self, id_or_key: str, change: Callable[[Customer], Customer]) -> Customer:
        """Store what `change` makes of the customer as it is now. NotFound, Conflict, Refused, what `change` raises."""
        async with catalog_change(self._pool, self._namespace) as changing:
            before = await find_customer(changing, self._namespace, id_or_key)
            after = change(before)
            if after.key != before.key:
                await _refuse_key(changing, after)
            await self._attach(changing, after, before.subject_keys)
            await self._store(changing, before, after)
            return after

    async def delete(self, id_or_key: str) -> None:
        """Soft: its key and its subjects are free. NotFound, PreconditionFailed for a deleted one, Conflict with entitlements."""
        async with catalog_change(self._pool, self._namespace) as changing:
            at = self._now()
            before = await find_customer(changing, self._namespace, id_or_key)
            after = deleted(before, at=at)
            if await changing.fetchval(_ENTITLED, before.namespace, before.id, at):
                raise Conflict(f"customer {before.id} still has active entitlements")
            await self._store(changing, before, after)

    async def list_customers(self, listing: CustomerListing) -> CustomerPage:
        """A page."""
        where, arguments = _conditions(self._namespace, listing)
        direction = "DESC" if listing.descending else "ASC"
        order = f"ORDER BY {_ORDERS[listing.order_by]} {direction}, c.id {direction}"
        async with connection(self._pool) as reading:
            total: int = await reading.fetchval(
                f"SELECT count(*) FROM customers c WHERE {where}", *arguments
            )
            if listing.offset >= total:
                return CustomerPage(total=total, customers=())
            # The page's ids first: what is passed over is read from the order's index alone.
            ids = f"SELECT c.id FROM customers c WHERE {where} {order} LIMIT {listing.page_size} OFFSET {listing.offset}"
            rows = await reading.fetch(
                f"{SELECT} WHERE c.namespace = $1 AND c.id IN ({ids}) {order}", *arguments
            )
        return CustomerPage(total=total, customers=[customer_of(row) for row in rows])

    async def of_subjects(self, subjects: Sequence[str]) -> Mapping[str, str]:
        """The customer's id by subject; subjects that belong to nobody are left out."""
        async with connection(self._pool) as reading:
            return await owners_of(reading, self._namespace, subjects)

    async def subjects_of(self, customer_id: str) -> Sequence[str]:
        """The subjects of a live customer: its key and its subject keys, except those that are another's key. NotFound."""
        async with connection(self._pool) as reading:
            if not is_ulid(customer_id):
                raise NotFound(f"customer not found: {customer_id[:80]!r}")
            customer = await find_customer(reading, self._namespace, customer_id)
            if customer.id != customer_id.upper() or customer.deleted_at is not None:
                raise NotFound(f"customer not found: {customer_id}")
            named = dict.fromkeys(
                (*([customer.key] if customer.key else ()), *customer.subject_keys)
            )
            owners = await owners_of(reading, self._namespace, list(named))
        return [subject for subject in named if owners.get(subject) == customer.id]

    async def _attach(
        self, change: PooledConnection, customer: Customer, before: Sequence[str]
    ) -> None:
        """Refuse subject keys that cannot be the customer's, and make the subjects that are not managed yet."""
        added = [key for key in customer.subject_keys if key not in set(before)]
        taken = await change.fetchval(
            "SELECT subject_key FROM customer_subjects WHERE namespace = $1 AND subject_key = ANY($2::text[])"
            " AND deleted_at IS NULL AND customer_id <> $3 ORDER BY subject_key LIMIT 1",
            customer.namespace,
            added,
            customer.id,
        )
        if taken is not None:
            raise Conflict(f"subject key {taken[:80]!r} belongs to another customer")
        await refuse_subject_ids(change, customer.namespace, added)
        await provision(change, customer, self._new_id)

    async def _store(self, change: PooledConnection, before: Customer, after: Customer) -> None:
        await change.execute(_UPDATE, *values_of(after))
        kept = set(after.subject_keys)
        removed = [key for key in before.subject_keys if key not in kept]
        await change.execute(
            "UPDATE customer_subjects SET deleted_at = $4 WHERE namespace = $1 AND customer_id = $2"
            " AND subject_key = ANY($3::text[]) AND deleted_at IS NULL",
            after.namespace,
            after.id,
            removed,
            after.updated_at,
        )
        known = set(before.subject_keys)
        added = [key for key in after.subject_keys if key not in known]
        await self._insert_subjects(change, after, added)
        await append_change(change, after.namespace, customer_record(after))

    async def _insert_subjects(
        self, change: PooledConnection, customer: Customer, keys: Sequence[str]
    ) -> None:
        await change.execute(
            "INSERT INTO customer_subjects (namespace, customer_id, subject_key, subject_key_folded, created_at)"
            " SELECT $1, $2, key, folded, $5 FROM unnest($3::text[], $4::text[]) AS given (key, folded)",
            customer.namespace,
            customer.id,
            keys,
            [folded(key) for key in keys],
            customer.updated_at,
        )


async def owners_of(
    reading: PooledConnection, namespace: str, subjects: Sequence[str]
) -> Mapping[str, str]:
    """The id of the live customer by subject; a key goes before another's subject key. Nobody's are left out."""
    asked = [subject for subject in subjects if storable(subject)]
    found: dict[str, str] = {}
    for row in await reading.fetch(_OWNERS, namespace, asked):
        found.setdefault(row["subject"], row["customer"])
    return found


async def _refuse_key(change: PooledConnection, customer: Customer) -> None:
    """Conflict when the key is a live customer's, another's id or another live one's subject key."""
    if customer.key is None:
        return
    taken = await change.fetchval(
        "SELECT coalesce("
        "(SELECT 'key' FROM customers WHERE namespace = $1 AND key = $2 AND deleted_at IS NULL AND id <> $4),"
        "(SELECT 'id' FROM customers WHERE namespace = $1 AND id = $3 AND id <> $4),"
        "(SELECT 'subject key' FROM customer_subjects WHERE namespace = $1 AND subject_key = $2"
        " AND deleted_at IS NULL AND customer_id <> $4))",
        customer.namespace,
        customer.key,
        customer.key.upper() if is_ulid(customer.key) else customer.key,
        customer.id,
    )
    if taken is not None:
        raise Conflict(f"{customer.key[:80]!r} is the {taken} of another customer")


def _conditions(namespace: str, listing: CustomerListing) -> tuple[str, list[Any]]:
    """What the listing asks for as SQL on `customers c`, with its arguments."""
    arguments: list[Any] = [namespace]
    where = ["c.namespace = $1"]
    if not listing.include_deleted:
        where.append("c.deleted_at IS NULL")
    for column, text in (
        ("c.key_folded", listing.key),
        ("c.name_folded", listing.name),
        ("c.primary_email_folded", listing.primary_email),
    ):
        if text is not None:
            arguments.append(contains_pattern(text))
            where.append(f"{column} LIKE ${len(arguments)}")
    if listing.subject is not None:
        arguments.append(contains_pattern(listing.subject))
        where.append(
            "c.id IN (SELECT s.customer_id FROM customer_subjects s WHERE s.namespace = $1"
            f" AND s.deleted_at IS NULL AND s.subject_key_folded LIKE ${len(arguments)})"
        )
    asked = (listing.key, listing.name, listing.primary_email, listing.subject)
    if not all(text is None or storable(text) for text in asked):
        return "false AND $1::text IS NOT NULL", [namespace]  # nothing stored has such a text
    return " AND ".join(where), arguments
