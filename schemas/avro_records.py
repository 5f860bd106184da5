"""Events in Avro: the two framings that name the schema inside the record, and the way from a datum to an event.

Source: Avro 1.12, "Single-object encoding"; Confluent's wire format. JSON text begins with neither mark, so a record's
first byte tells. The writer's schema alone decides how the bytes are read; attributes are found by their names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from io import BytesIO
from typing import Any
from uuid import UUID

import fastavro
import msgspec

from domain.errors import Refused
from schemas.avro_schemas import EventSchema, Schemas
from schemas.cloudevents import Envelope, envelope_of
from schemas.position import EVENTS_PER_RECORD_MAX

SINGLE_OBJECT = b"\xc3\x01"
CONFLUENT = b"\x00"
_FINGERPRINT_END = 10
_ID_END = 5
_encode_data = msgspec.json.Encoder(decimal_format="number").encode


class SchemaNotKnown(Refused):
    """No schema has the number `id`, as far as is known here."""

    def __init__(self, id: int) -> None:
        super().__init__("avro_schema_unknown", f"no schema with the id {id} is known")
        self.id = id


def is_avro(value: bytes) -> bool:
    """Whether a record's value is in one of the framings."""
    return value[:1] == CONFLUENT or value[:2] == SINGLE_OBJECT


def schema_id(value: bytes | None) -> int | None:
    """The schema's number in Confluent's framing; None when the value is in another form or cut short."""
    if not value or value[:1] != CONFLUENT or len(value) < _ID_END:
        return None
    return int.from_bytes(value[1:_ID_END], "big")


def decode_avro(value: bytes, schemas: Schemas) -> list[Envelope]:
    """The events of a record for which `is_avro` holds. Refused; SchemaNotKnown for a number that `schemas` lacks."""
    schema, start = _schema_of(value, schemas)
    read = BytesIO(value)
    read.seek(start)
    try:
        datum: Any = fastavro.schemaless_reader(read, schema.parsed, None)
    except Exception as error:  # noqa: BLE001 - a library reads what anybody wrote: the bytes are no good
        raise _malformed(f"{type(error).__name__}: {error}"[:500]) from None
    if read.tell() != len(value):
        raise _malformed(f"{len(value) - read.tell()} bytes follow the last event")
    if not schema.many:
        return [_event(datum, "$")]
    if not datum:
        raise Refused("no_events", "an array without events")
    if len(datum) > EVENTS_PER_RECORD_MAX:
        raise Refused("too_many_events", f"a record holds at most {EVENTS_PER_RECORD_MAX} events")
    return [_event(one, f"$[{i}]") for i, one in enumerate(datum)]


def _schema_of(value: bytes, schemas: Schemas) -> tuple[EventSchema, int]:
    """The schema and where the datum begins."""
    if value[:2] == SINGLE_OBJECT:
        if len(value) < _FINGERPRINT_END:
            raise _malformed("the fingerprint is cut short")
        found = value[2:_FINGERPRINT_END]
        schema = schemas.by_fingerprint(found)
        if schema is None:
            raise Refused(
                "avro_schema_unknown",
                f"no schema with the fingerprint {found.hex()} is known: schemas/avro/ has those that are",
            )
        return schema, _FINGERPRINT_END
    id = schema_id(value)
    if id is None:
        raise _malformed("the schema's id is cut short")
    schema = schemas.by_id(id)
    if schema is None:
        raise SchemaNotKnown(id)
    return schema, _ID_END


def _malformed(why: str) -> Refused:
    return Refused("avro_malformed", f"not what its schema says: {why}")


def _event(datum: Mapping[str, Any], where: str) -> Envelope:
    attributes = dict(_attributes(datum))
    try:
        return envelope_of(attributes, _data(datum.get("data")))
    except Refused as refused:
        field = None if refused.field is None else where + refused.field[1:]
        raise Refused(refused.code, str(refused), field) from None


def _attributes(datum: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name in ("id", "source", "type", "subject"):
        value = datum[name]
        yield name, str(value) if isinstance(value, UUID) else value
    yield "specversion", datum.get("specversion") or "1.0"
    yield "time", datum.get("time")


def _data(found: Any) -> msgspec.Raw:
    """The data as JSON: text and bytes are JSON already, everything else becomes it."""
    if found is None:
        return msgspec.Raw(b"")
    if isinstance(found, str):
        return msgspec.Raw(found.encode())
    if isinstance(found, bytes):
        return msgspec.Raw(found)
    try:
        return msgspec.Raw(_encode_data(found))
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise Refused("data_not_object", f"data is not JSON: {error}", "$.data") from None
