import json
import uuid
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from domain.errors import Refused
from schemas.avro_records import SchemaNotKnown, decode_avro, schema_id
from schemas.avro_schemas import STORED, EventSchema, event_schema, fingerprint_of
from schemas.event_records import decode_events
from tests.avro_events import VERSION_1, VERSION_2, confluent, datum, single_object

AT = datetime(2026, 3, 5, 12, 0, 0, 250_000, tzinfo=UTC)
EVENT = {"id": "e1", "source": "/gateway", "type": "prompt", "subject": "ü", "time": AT}
STRINGS = [{"name": name, "type": "string"} for name in ("id", "source", "type", "subject")]


class OneSchema:
    """Knows `text` under the number 7."""

    def __init__(self, schema: dict):
        self._schema = event_schema(json.dumps(schema), name="7")

    def by_id(self, id: int) -> EventSchema | None:
        return self._schema if id == 7 else None

    def by_fingerprint(self, found: bytes) -> EventSchema | None:
        return None


def a_record(*fields: dict, name="com.acme.Used") -> dict:
    return {"type": "record", "name": name, "fields": [*STRINGS, *fields]}


@pytest.mark.parametrize("framed", [single_object, confluent])
@pytest.mark.parametrize(
    ("schema", "data", "text"),
    [
        (VERSION_1, '{"tokens": 0.10}', '{"tokens": 0.10}'),
        (VERSION_1, None, ""),
        (VERSION_2, '{"tokens": 0.10}', '{"tokens": 0.10}'),
        (
            VERSION_2,
            {"tokens": 3, "cost": 0.1, "model": "m", "cached": True, "n": None},
            '{"tokens":3,"cost":0.1,"model":"m","cached":true,"n":null}',
        ),
    ],
)
def test_both_framings_and_every_stored_version_are_read(framed, schema, data, text):
    (event,) = decode_events(framed(schema, {**EVENT, "data": data}), (), STORED)

    assert (event.id, event.source, event.type, event.subject) == (
        "e1",
        "/gateway",
        "prompt",
        "ü",
    )
    assert (event.specversion, event.time) == ("1.0", AT)
    assert bytes(event.data).decode() == text


def test_fingerprints_are_those_of_the_standard():
    """Source: Avro's own test vectors (share/test/data/schema-tests.txt), the fingerprint of "int"."""
    assert int.from_bytes(fingerprint_of(b'"int"'), "little") == 0x7275D51A3F395C8F


def test_data_of_any_record_becomes_json_without_losing_digits():
    schema = a_record(
        {
            "name": "data",
            "type": {
                "type": "record",
                "name": "Data",
                "fields": [
                    {
                        "name": "cost",
                        "type": {
                            "type": "bytes",
                            "logicalType": "decimal",
                            "precision": 30,
                            "scale": 20,
                        },
                    },
                    {"name": "day", "type": {"type": "int", "logicalType": "date"}},
                    {"name": "tags", "type": {"type": "array", "items": "string"}},
                    {"name": "kind", "type": {"type": "enum", "name": "K", "symbols": ["A", "B"]}},
                ],
            },
        },
        {"name": "specversion", "type": "string"},
        {"name": "ours", "type": "long"},
    )
    data = {
        "cost": Decimal("1234567890.12345678901234567890"),
        "day": date(2026, 3, 5),
        "tags": ["a", "b"],
        "kind": "B",
    }
    value = confluent(schema, {**EVENT, "data": data, "specversion": "1.0", "ours": 1}, 7)

    (event,) = decode_avro(value, OneSchema(schema))

    assert (
        bytes(event.data)
        == b'{"cost":1234567890.12345678901234567890,"day":"2026-03-05","tags":["a","b"],"kind":"B"}'
    )


def test_several_events_come_as_an_array():
    schema = {"type": "array", "items": a_record()}
    value = confluent(schema, [{**EVENT, "id": "a"}, {**EVENT, "id": "b"}], 7)

    assert [event.id for event in decode_avro(value, OneSchema(schema))] == ["a", "b"]


def test_an_id_may_be_a_uuid():
    schema = a_record()
    schema["fields"][0] = {"name": "id", "type": {"type": "string", "logicalType": "uuid"}}
    id = uuid.uuid4()

    (event,) = decode_avro(confluent(schema, {**EVENT, "id": id}, 7), OneSchema(schema))

    assert event.id == str(id)


GOOD = confluent(VERSION_2, {**EVENT, "data": {"tokens": 1}})


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (b"\x00", "avro_malformed"),
        (b"\x00\x00\x00\x00", "avro_malformed"),
        (b"\xc3\x01\x00", "avro_malformed"),
        (b"\x00\x00\x00\x00\x63" + GOOD[5:], "avro_schema_unknown"),
        (b"\xc3\x01" + b"\x07" * 8 + GOOD[5:], "avro_schema_unknown"),
        (GOOD[:-1], "avro_malformed"),
        (GOOD + b"\x00", "avro_malformed"),
        (GOOD[:5], "avro_malformed"),
        (GOOD[:5] + b"\xff" * 9 + b"\x7f", "avro_malformed"),
        (GOOD[:5] + b"\x02\xff" + GOOD[7:], "avro_malformed"),
        (confluent(VERSION_2, {**EVENT, "subject": ""}), "not_a_cloudevent"),
        (confluent(VERSION_1, {**EVENT, "subject": "s" * 70_000}), "not_a_cloudevent"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_code(value, code):
    with pytest.raises(Refused) as refused:
        decode_avro(value, STORED)

    assert refused.value.code == code


def test_every_byte_changed_is_an_event_or_a_refusal():
    for at in range(5, len(GOOD)):
        for byte in (0, 1, 2, 0x7F, 0x80, 0xFF):
            try:
                decode_avro(GOOD[:at] + bytes([byte]) + GOOD[at + 1 :], STORED)
            except Refused as refused:
                assert refused.code in ("avro_malformed", "not_a_cloudevent")  # noqa: PT017


def test_an_unknown_id_is_told_with_its_number():
    with pytest.raises(SchemaNotKnown) as refused:
        decode_avro(b"\x00\x00\x00\x01\x00", STORED)

    assert refused.value.id == 256 == schema_id(b"\x00\x00\x00\x01\x00")


@pytest.mark.parametrize("value", [None, b"", b"{}", b"\x00\x01", b"\xc3\x01\x00\x00\x00\x00"])
def test_only_confluents_framing_names_an_id(value):
    assert schema_id(value) is None


RECURSIVE = {
    "type": "record",
    "name": "Node",
    "fields": [{"name": "next", "type": ["null", "Node"]}],
}
EMPTY = {"type": "record", "name": "Empty", "fields": [{"name": "n", "type": "null"}]}


@pytest.mark.parametrize(
    "schema",
    [
        "string",
        ["null", a_record()],
        {"type": "record", "name": "R", "fields": STRINGS[:3]},
        a_record({"name": "data", "type": RECURSIVE}),
        a_record({"name": "data", "type": {"type": "array", "items": "null"}}),
        a_record({"name": "data", "type": {"type": "array", "items": EMPTY}}),
        a_record(
            {"name": "a", "type": EMPTY}, {"name": "b", "type": {"type": "array", "items": "Empty"}}
        ),
        a_record(
            {
                "name": "data",
                "type": {"type": "array", "items": {"type": "fixed", "name": "F", "size": 0}},
            }
        ),
        a_record({"name": "data", "type": "com.acme.Unknown"}),
        {"type": "array"},
        {},
        None,
        5,
    ],
)
def test_a_schema_under_which_bytes_could_do_harm_or_say_nothing_is_refused(schema):
    with pytest.raises(Refused) as refused:
        event_schema(json.dumps(schema), name="s")

    assert refused.value.code == "avro_schema_unsuitable"


def test_a_schema_nested_without_end_is_refused():
    deep = '{"type":"array","items":' * 5_000 + '"int"' + "}" * 5_000

    with pytest.raises(Refused):
        event_schema(deep, name="s")


def test_numbers_that_json_has_not_are_null():
    value = confluent(VERSION_2, {**EVENT, "data": {"tokens": float("nan")}})

    (event,) = decode_avro(value, STORED)

    assert bytes(event.data) == b'{"tokens":null}'


def test_an_attribute_of_another_type_is_refused():
    schema = a_record()
    schema["fields"][3] = {"name": "subject", "type": "long"}

    with pytest.raises(Refused) as refused:
        decode_avro(
            b"\x00\x00\x00\x00\x07" + datum(schema, {**EVENT, "subject": 5}), OneSchema(schema)
        )

    assert (refused.value.code, refused.value.field) == ("not_a_cloudevent", "$.subject")
