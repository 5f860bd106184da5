"""The events of a Kafka record, whichever way it came: JSON (one object or an array), binary mode, or Avro."""

from __future__ import annotations

from domain.errors import Refused
from schemas.avro_records import decode_avro, is_avro
from schemas.avro_schemas import Schemas
from schemas.binary_mode import Headers, decode_binary, is_binary
from schemas.cloudevents import Envelope, decode_record


def decode_events(value: bytes | None, headers: Headers, schemas: Schemas) -> list[Envelope]:
    """The events, each still to be judged. Refused for what is no CloudEvent."""
    if headers and is_binary(headers):
        return [decode_binary(headers, value)]
    if not value:
        raise Refused("empty_record", "a record without a value")
    if is_avro(value):
        return decode_avro(value, schemas)
    return decode_record(value)
