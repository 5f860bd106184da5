"""Entities of the catalog with defaults, and records of its topic."""

from dataclasses import dataclass

from schemas.catalog import (
    CatalogRecord,
    CustomerRecord,
    EntitlementRecord,
    FeatureRecord,
    catalog_key,
    catalog_record,
    encode_catalog_record,
)
from tests.builders import NOON


def a_customer_record(id="c1", *, key=None, subjects=(), deleted=False):
    return CustomerRecord(
        id=id,
        namespace="default",
        name=id,
        key=key,
        subject_keys=tuple(subjects),
        created_at=NOON,
        updated_at=NOON,
        deleted_at=NOON if deleted else None,
    )


def a_feature_record(id="f1", *, meter=None, **more):
    return FeatureRecord(
        id=id,
        namespace="default",
        key=id,
        name=id,
        meter_id=meter,
        created_at=NOON,
        updated_at=NOON,
        **more,
    )


def an_entitlement_record(id="e1", *, customer="c1", feature="f1", type="metered", **more):
    return EntitlementRecord(
        id=id,
        namespace="default",
        customer_id=customer,
        feature_id=feature,
        feature_key=feature,
        type=type,
        active_from=NOON,
        created_at=NOON,
        updated_at=NOON,
        **{"measured_from": NOON, "anchor": NOON, "interval": "P1M", **more},
    )


@dataclass(frozen=True)
class Fetched:
    """A record of the catalog topic as a consumer gives it."""

    offset: int
    value: bytes | None
    key: bytes | None = None


def fetched(*entities, first_version=1, at=0):
    """Records of these entities, with versions and offsets that grow by one."""
    found = []
    for i, entity in enumerate(entities):
        record = (
            entity
            if isinstance(entity, CatalogRecord)
            else catalog_record(entity, first_version + i)
        )
        found.append(Fetched(at + i, encode_catalog_record(record), catalog_key(record)))
    return found
