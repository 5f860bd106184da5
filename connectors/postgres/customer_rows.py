"""A customer and its rows, and finding one: shared by all that look a customer up in its own transaction."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from asyncpg import Record

from connectors.postgres.pool import PooledConnection
from connectors.postgres.texts import from_json, json_text, storable
from domain.customers.customer import Address, Customer
from domain.errors import NotFound
from domain.metering.ulid import is_ulid
from domain.texts import folded
from schemas.catalog import CustomerRecord

COLUMNS = (
    "namespace", "id", "key", "key_folded", "name", "name_folded", "description", "metadata", "primary_email",
    "primary_email_folded", "currency", "billing_address", "created_at", "updated_at", "deleted_at",
)  # fmt: skip
SELECT = (
    "SELECT c.*, ARRAY(SELECT s.subject_key FROM customer_subjects s WHERE s.namespace = c.namespace"
    " AND s.customer_id = c.id AND s.deleted_at IS NULL ORDER BY s.subject_key) AS subject_keys FROM customers c"
)
_PLAIN = (
    "namespace", "id", "key", "name", "description", "primary_email", "currency", "created_at", "updated_at",
    "deleted_at",
)  # fmt: skip
_ADDRESS = tuple(field.name for field in fields(Address))


async def find_customer(reading: PooledConnection, namespace: str, id_or_key: str) -> Customer:
    """By id (deleted ones too) or by the key of a live one; a text that is both is taken as an id first. NotFound."""
    row = None
    if is_ulid(id_or_key):
        row = await reading.fetchrow(
            f"{SELECT} WHERE c.namespace = $1 AND c.id = $2", namespace, id_or_key.upper()
        )
    if row is None and storable(id_or_key):
        row = await reading.fetchrow(
            f"{SELECT} WHERE c.namespace = $1 AND c.key = $2 AND c.deleted_at IS NULL",
            namespace,
            id_or_key,
        )
    if row is None:
        raise NotFound(f"no customer has the id or key {id_or_key[:80]!r}")
    return customer_of(row)


def customer_of(row: Record) -> Customer:
    """The customer of a row of `SELECT`."""
    values = {name: row[name] for name in _PLAIN}
    address = from_json(row["billing_address"])
    return Customer(
        **values,
        subject_keys=tuple(row["subject_keys"]),
        metadata=from_json(row["metadata"]),
        billing_address=None if address is None else Address(**address),
    )


def values_of(customer: Customer) -> list[Any]:
    """The column values of a customer, in the order of `COLUMNS`."""
    address = customer.billing_address
    made = {
        "key_folded": customer.key and folded(customer.key),
        "name_folded": folded(customer.name),
        "primary_email_folded": customer.primary_email and folded(customer.primary_email),
        "metadata": json_text(customer.metadata),
        "billing_address": json_text(
            None if address is None else {name: getattr(address, name) for name in _ADDRESS}
        ),
    }
    return [made[name] if name in made else getattr(customer, name) for name in COLUMNS]


def customer_record(customer: Customer) -> CustomerRecord:
    """The customer as the workers learn of it."""
    return CustomerRecord(
        id=customer.id,
        namespace=customer.namespace,
        name=customer.name,
        created_at=customer.created_at,
        updated_at=customer.updated_at,
        key=customer.key,
        subject_keys=customer.subject_keys,
        deleted_at=customer.deleted_at,
    )
