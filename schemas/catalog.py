"""Catalog records: what management changed, as the workers learn it."""

from __future__ import annotations

from datetime import datetime

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


class CatalogRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One change: `version` is the catalog's, growing with every change in the namespace."""

    kind: str
    version: int
    meter: MeterRecord


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
    return f"{record.kind}/{record.meter.id}".encode()


def meter_of(record: MeterRecord) -> Meter:
    """The rule's meter of a record."""
    return Meter(**{name: getattr(record, name) for name in _FIELDS})


def record_of(meter: Meter) -> MeterRecord:
    """The record of a meter."""
    values = {name: getattr(meter, name) for name in _FIELDS}
    values["group_by"] = dict(meter.group_by)
    values["metadata"] = None if meter.metadata is None else dict(meter.metadata)
    return MeterRecord(**values)
