"""Events in Avro as producers write them."""

import io
import json

import fastavro

from schemas.avro_schemas import DIRECTORY, fingerprint_of

IDS = {entry["schema"]: entry["id"] for entry in json.loads((DIRECTORY / "ids.json").read_bytes())}
VERSION_1, VERSION_2 = "usage_event-1.avsc", "usage_event-2.avsc"


def datum(schema: str | dict, event: dict) -> bytes:
    if isinstance(schema, str):
        schema = json.loads((DIRECTORY / schema).read_bytes())
    written = io.BytesIO()
    fastavro.schemaless_writer(written, fastavro.parse_schema(schema, _force=True), event)
    return written.getvalue()


def single_object(schema: str, event: dict) -> bytes:
    return b"\xc3\x01" + fingerprint_of((DIRECTORY / schema).read_bytes()) + datum(schema, event)


def confluent(schema: str | dict, event: dict, id: int | None = None) -> bytes:
    number = IDS[schema] if id is None else id
    return b"\x00" + number.to_bytes(4, "big") + datum(schema, event)
