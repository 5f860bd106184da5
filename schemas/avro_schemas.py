"""Avro schemas that events may be written with: those stored in schemas/avro/, and what a schema must be like to be read.

Bytes come from anybody, and fastavro reads them in C without a bound on depth or on items that take no bytes: a schema
under which bytes could do harm is refused, not the bytes. Source: Avro 1.12, "Schema Declaration", "Fingerprints".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import fastavro
from fastavro.schema import fingerprint, to_parsing_canonical_form

from domain.errors import Refused

DIRECTORY = Path(__file__).parent / "avro"
SCHEMA_BYTES_MAX = 256 << 10
DEPTH_MAX = 32
"""Types inside types."""

REQUIRED = ("id", "source", "type", "subject")
_NAMED = ("record", "error", "enum", "fixed")


@dataclass(frozen=True, slots=True, kw_only=True)
class EventSchema:
    """A writer's schema, ready to read with. `many`: a record holds an array of events."""

    name: str
    parsed: Any
    many: bool


class Schemas(Protocol):
    """Where a record's schema is found; None when it is not known."""

    def by_fingerprint(self, found: bytes) -> EventSchema | None:
        """By the CRC-64-AVRO of its canonical form, 8 bytes as in a record (little endian)."""
        ...

    def by_id(self, id: int) -> EventSchema | None:
        """By the number that a record in Confluent's framing names."""
        ...


class StoredSchemas:
    """The ones in a directory: `ids.json` lists each with its number and its fingerprint. Never changes while it lives."""

    def __init__(self, directory: Path = DIRECTORY) -> None:
        self._by_id: dict[int, EventSchema] = {}
        self._by_fingerprint: dict[bytes, EventSchema] = {}
        for entry in json.loads((directory / "ids.json").read_bytes()):
            text = (directory / entry["schema"]).read_bytes()
            schema = event_schema(text, name=entry["schema"])
            found = fingerprint_of(text)
            if found.hex() != entry["fingerprint"]:
                raise ValueError(
                    f"{entry['schema']} has the fingerprint {found.hex()}, ids.json says {entry['fingerprint']}: "
                    "a stored schema never changes, make a new version"
                )
            self._by_id[entry["id"]] = self._by_fingerprint[found] = schema

    def by_fingerprint(self, found: bytes) -> EventSchema | None:
        """By the CRC-64-AVRO of its canonical form, 8 bytes as in a record (little endian)."""
        return self._by_fingerprint.get(found)

    def by_id(self, id: int) -> EventSchema | None:
        """By the number that a record in Confluent's framing names."""
        return self._by_id.get(id)


def fingerprint_of(text: bytes) -> bytes:
    """The 8 bytes that name a schema in a single-object record."""
    return bytes.fromhex(fingerprint(to_parsing_canonical_form(json.loads(text)), "CRC-64-AVRO"))


def event_schema(text: bytes | str, *, name: str) -> EventSchema:
    """The schema of `text` (JSON). Refused (`avro_schema_unsuitable`) when events cannot be read with it."""
    if len(text) > SCHEMA_BYTES_MAX:
        raise _unsuitable(name, f"more than {SCHEMA_BYTES_MAX} bytes")
    try:
        schema = json.loads(text)
        _check(schema, name, _Seen({}, ()), 0)
        parsed = fastavro.parse_schema(schema, _force=True)
    except Refused:
        raise
    except Exception as error:  # noqa: BLE001 - a library reads what somebody wrote: the schema is no good
        raise _unsuitable(name, f"{type(error).__name__}: {error}") from None
    many = isinstance(schema, dict) and schema.get("type") == "array"
    event = schema["items"] if many else schema
    if not isinstance(event, dict) or event.get("type") != "record":
        raise _unsuitable(name, "an event is a record, several are an array of records")
    missing = set(REQUIRED) - {field["name"] for field in event["fields"]}
    if missing:
        raise _unsuitable(name, f"no field {', '.join(sorted(missing))}")
    return EventSchema(name=name, parsed=parsed, many=many)


def _unsuitable(name: str, why: str) -> Refused:
    return Refused("avro_schema_unsuitable", f"schema {name} is not one for events: {why}"[:1000])


@dataclass(frozen=True, slots=True)
class _Seen:
    """Named types met so far (True: one of its values may take no bytes), and those that we are inside of.

    By their short names: that two of different namespaces are taken for one can only refuse more.
    """

    types: dict[str, bool]
    open: tuple[str, ...]


def _check(schema: Any, name: str, seen: _Seen, depth: int) -> bool:
    """Whether a value of `schema` may take no bytes. Refused for what lets few bytes mean much: recursion, items of nothing."""
    if depth > DEPTH_MAX:
        raise _unsuitable(name, f"types more than {DEPTH_MAX} deep")
    if isinstance(schema, str):
        short = schema.rpartition(".")[2]
        if short in seen.open:
            raise _unsuitable(name, f"type {schema} contains itself")
        return schema == "null" or seen.types.get(short, False)
    if isinstance(schema, list):
        for branch in schema:
            _check(branch, name, seen, depth + 1)
        return False
    kind = schema["type"]
    if not isinstance(kind, str):
        return _check(kind, name, seen, depth + 1)
    if kind == "array":
        if _check(schema["items"], name, seen, depth + 1):
            raise _unsuitable(name, "an array whose items may take no bytes")
        return False
    if kind == "map":
        _check(schema["values"], name, seen, depth + 1)
        return False
    if kind in _NAMED:
        return _check_named(kind, schema, name, seen, depth)
    return _check(kind, name, seen, depth + 1)


def _check_named(kind: str, schema: Mapping[str, Any], name: str, seen: _Seen, depth: int) -> bool:
    short = str(schema["name"]).rpartition(".")[2]
    inside = _Seen(seen.types, (*seen.open, short))
    if kind in ("record", "error"):
        fields = [_check(one["type"], name, inside, depth + 1) for one in schema["fields"]]
        empty = all(fields)
    else:
        empty = kind == "fixed" and schema["size"] == 0
    seen.types[short] = empty or seen.types.get(short, False)
    return empty


STORED = StoredSchemas()
