"""Customers, features and entitlements of the balance benchmarks, told to the workers as the relay would tell them.

Making thousands over HTTP would take longer than measuring; what is read is the same. Customers and features are in Postgres, too,
where questions that name many of them look them up.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from decimal import Decimal

import asyncpg
from confluent_kafka import Producer

from connectors.postgres.pool import SCHEMA
from domain.metering.ulid import new_ulid
from schemas.catalog import (
    CustomerRecord,
    EntitlementRecord,
    Entity,
    FeatureRecord,
    GrantRecord,
    catalog_key,
    catalog_record,
    encode_catalog_record,
)
from tests.benchmarks.stack import NAMES, NAMESPACE, SUM_METER

YEAR = datetime(2026, 1, 1, tzinfo=UTC)
AMOUNT = Decimal(10**12)
_TIMES = ("created_at", "updated_at")
_CUSTOMER, _FEATURE, _ENTITLEMENT, _GRANT = range(4)


def customers(keys: Iterable[str]) -> Iterator[CustomerRecord]:
    """One for each key; the events of subject `key` are its usage."""
    for number, key in enumerate(keys):
        yield CustomerRecord(
            id=_id(_CUSTOMER, number),
            namespace=NAMESPACE,
            name=key,
            key=key,
            created_at=YEAR,
            updated_at=YEAR,
        )


def features(count: int) -> Iterator[FeatureRecord]:
    """Over the SUM meter, keys `feature_000` on."""
    for number in range(count):
        yield FeatureRecord(
            id=_id(_FEATURE, number),
            namespace=NAMESPACE,
            key=f"feature_{number:03d}",
            name=f"feature_{number:03d}",
            meter_id=SUM_METER,
            created_at=YEAR,
            updated_at=YEAR,
        )


def entitlements(customers: int, features: int) -> Iterator[EntitlementRecord]:
    """Every feature for every customer: measured since the year began, monthly, with one grant that lasts."""
    for customer in range(customers):
        for feature in range(features):
            number = customer * features + feature
            grant = GrantRecord(
                id=_id(_GRANT, number),
                amount=AMOUNT,
                effective_at=YEAR,
                created_at=YEAR,
                max_rollover=AMOUNT,
            )
            yield EntitlementRecord(
                id=_id(_ENTITLEMENT, number),
                namespace=NAMESPACE,
                customer_id=_id(_CUSTOMER, customer),
                feature_id=_id(_FEATURE, feature),
                feature_key=f"feature_{feature:03d}",
                type="metered",
                active_from=YEAR,
                created_at=YEAR,
                updated_at=YEAR,
                measured_from=YEAR,
                interval="P1Y",
                anchor=YEAR,
                grants=(grant,),
            )


async def store(
    dsn: str, customers: Iterable[CustomerRecord], features: Iterable[FeatureRecord]
) -> None:
    """Into Postgres, whose tables are there."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.copy_records_to_table(
            "customers",
            schema_name=SCHEMA,
            columns=["namespace", "id", "key", "key_folded", "name", "name_folded", *_TIMES],
            records=[
                (NAMESPACE, one.id, one.key, one.key, one.name, one.name, YEAR, YEAR)
                for one in customers
            ],
        )
        await connection.copy_records_to_table(
            "features",
            schema_name=SCHEMA,
            columns=[
                "namespace",
                "id",
                "key",
                "name",
                "meter_id",
                "meter_slug",
                "filters",
                *_TIMES,
            ],
            records=[
                (NAMESPACE, one.id, one.key, one.name, one.meter_id, "tokens", "{}", YEAR, YEAR)
                for one in features
            ],
        )
    finally:
        await connection.close()


def publish(kafka: str, entities: Iterable[Entity], version: int) -> int:
    """Write them to the catalog topic with versions from `version` on; the next version."""
    producer = Producer(
        {"bootstrap.servers": kafka, "linger.ms": 20, "queue.buffering.max.messages": 2_000_000}
    )
    for entity in entities:
        record = catalog_record(entity, version)
        producer.produce(
            NAMES.catalog, encode_catalog_record(record), catalog_key(record), partition=0
        )
        producer.poll(0)
        version += 1
    assert producer.flush(60) == 0
    return version


def _id(kind: int, number: int) -> str:
    return new_ulid(1_767_225_600_000 + kind, number.to_bytes(10, "big"))
