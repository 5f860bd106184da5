"""Catalog records: what management changed, as the workers learn it."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec

from domain.metering.meter import Aggregation, Meter


class MeterRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A meter on the wire; `version` grows when `group_by` changes."""

    id: str
    namespace: str
    slug: str
    name: str
    aggregation: Aggregation
    event_type: str
    created_at: datetime
    updated_at: datetime
    description: str | None = None
    metadata: dict[str, str] | None = None
    value_property: str | None = None
    group_by: dict[str, str] = {}
    event_from: datetime | None = None
    deleted_at: datetime | None = None
    version: int = 1


class CustomerRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A customer: the events of its key and of its subject keys are its usage. A key goes before another's subject key."""

    id: str
    namespace: str
    name: str
    created_at: datetime
    updated_at: datetime
    key: str | None = None
    subject_keys: tuple[str, ...] = ()
    deleted_at: datetime | None = None


class FeatureRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A feature. `filters`: group-by key of the meter -> filter in the form of the API (`{"$eq": "gpt-4"}`)."""

    id: str
    namespace: str
    key: str
    name: str
    created_at: datetime
    updated_at: datetime
    meter_id: str | None = None
    filters: dict[str, Any] = {}
    archived_at: datetime | None = None


class GrantRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A grant as the balance needs it (`domain.credits.grant.Grant`). Intervals are ISO 8601 durations."""

    id: str
    amount: Decimal
    effective_at: datetime
    created_at: datetime
    priority: int = 0
    expires_at: datetime | None = None
    voided_at: datetime | None = None
    deleted_at: datetime | None = None
    recurrence_interval: str | None = None
    recurrence_anchor: datetime | None = None
    min_rollover: Decimal = Decimal(0)
    max_rollover: Decimal = Decimal(0)


class ResetRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A reset by hand: where it lies, the anchor of the periods from then on, and whether overage went over."""

    at: datetime
    anchor: datetime
    preserve_overage: bool


class EntitlementRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An entitlement with everything that its value depends on besides usage: one record, written anew with every change.

    `type` is metered, static or boolean; `measured_from`, `interval` (ISO 8601) and `anchor` are there for metered ones.
    """

    id: str
    namespace: str
    customer_id: str
    feature_id: str
    feature_key: str
    type: str
    active_from: datetime
    created_at: datetime
    updated_at: datetime
    active_to: datetime | None = None
    deleted_at: datetime | None = None
    config: str | None = None
    is_soft_limit: bool = False
    measured_from: datetime | None = None
    interval: str | None = None
    anchor: datetime | None = None
    preserve_overage: bool = False
    resets: tuple[ResetRecord, ...] = ()
    grants: tuple[GrantRecord, ...] = ()


class ClockRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The time that all processes go by while `testing.clock` is on; None = the real one.

    It was `at` when the real time was `since`, and goes on from there unless it is `frozen`.
    """

    id: str = "clock"
    at: datetime | None = None
    since: datetime | None = None
    frozen: bool = False


Entity = MeterRecord | CustomerRecord | FeatureRecord | EntitlementRecord | ClockRecord


class CatalogRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One change: `version` is the catalog's, growing with every change in the namespace. `kind` names the one entity it has."""

    kind: str
    version: int
    meter: MeterRecord | None = None
    customer: CustomerRecord | None = None
    feature: FeatureRecord | None = None
    entitlement: EntitlementRecord | None = None
    clock: ClockRecord | None = None

    @property
    def entity(self) -> Entity:
        """What was changed, as it is now. ValueError for a kind that this program does not know."""
        found: Entity | None = getattr(self, self.kind) if self.kind in _KIND_NAMES else None
        if found is None:
            raise ValueError(f"catalog record of kind {self.kind[:40]!r} without its entity")
        return found


_KINDS = {
    MeterRecord: "meter",
    CustomerRecord: "customer",
    FeatureRecord: "feature",
    EntitlementRecord: "entitlement",
    ClockRecord: "clock",
}
_KIND_NAMES = frozenset(_KINDS.values())


def catalog_record(entity: Entity, version: int) -> CatalogRecord:
    """The record that tells of an entity."""
    kind = _KINDS[type(entity)]
    named: dict[str, Any] = {kind: entity}
    return CatalogRecord(kind=kind, version=version, **named)


_decode = msgspec.json.Decoder(CatalogRecord).decode
_FIELDS = MeterRecord.__struct_fields__


def decode_catalog_record(value: bytes) -> CatalogRecord:
    """A value of the catalog topic."""
    return _decode(value)


def encode_catalog_record(record: CatalogRecord) -> bytes:
    """The inverse of `decode_catalog_record`."""
    return msgspec.json.encode(record)


def catalog_key(record: CatalogRecord) -> bytes:
    """The key that compaction keeps the newest of."""
    return f"{record.kind}/{record.entity.id}".encode()


def meter_of(record: MeterRecord) -> Meter:
    """The rule's meter of a record."""
    return Meter(**{name: getattr(record, name) for name in _FIELDS})


def record_of(meter: Meter) -> MeterRecord:
    """The record of a meter."""
    values = {name: getattr(meter, name) for name in _FIELDS}
    values["group_by"] = dict(meter.group_by)
    values["metadata"] = None if meter.metadata is None else dict(meter.metadata)
    return MeterRecord(**values)
