import pytest

from domain.errors import Refused
from schemas.avro_schemas import STORED
from schemas.cloudevents import decode_record
from schemas.event_records import decode_events

ATTRIBUTES = {
    "ce_specversion": b"1.0",
    "ce_id": b"e1",
    "ce_source": b"/gateway",
    "ce_type": b"prompt",
    "ce_subject": "kundin ü".encode(),
    "ce_time": b"2026-03-05T12:00:00.25+01:00",
    "content-type": b"application/json",
}
DATA = b'{"tokens": 0.10}'


def headers(**changes):
    """ATTRIBUTES with changes; None leaves one out. `content_type` is the header content-type."""
    if "content_type" in changes:
        changes["content-type"] = changes.pop("content_type")
    return [(name, value) for name, value in (ATTRIBUTES | changes).items() if value is not None]


def decode(found, value=DATA):
    return decode_events(value, found, STORED)


def test_an_event_in_binary_mode_is_the_same_as_in_structured_mode():
    structured = decode_record(
        '{"specversion":"1.0","id":"e1","source":"/gateway","type":"prompt","subject":"kundin ü",'
        '"time":"2026-03-05T12:00:00.25+01:00","data":{"tokens": 0.10}}'.encode()
    )

    assert decode(headers()) == structured


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        b"application/json; charset=utf-8",
        b"Application/JSON",
        b"application/vnd.acme.usage+json",
    ],
)
def test_json_is_taken_under_all_its_names_and_without_one(content_type):
    (event,) = decode(headers(content_type=content_type))

    assert bytes(event.data) == DATA


def test_extensions_and_other_headers_are_left_aside():
    (event,) = decode([*headers(), ("ce_traceparent", b"\xff"), ("baggage", None), ("id", b"no")])

    assert event.id == "e1"


@pytest.mark.parametrize("value", [None, b""])
def test_no_value_is_an_event_without_data(value):
    (event,) = decode(headers(), value)

    assert bytes(event.data) == b""


def test_data_that_looks_like_an_event_is_data():
    inner = b'{"specversion":"1.0","id":"x","source":"s","type":"t","subject":"u"}'

    (event,) = decode(headers(), inner)

    assert (event.id, bytes(event.data)) == ("e1", inner)


def test_structured_mode_wins_over_attributes_that_are_repeated_as_headers():
    inner = b'{"specversion":"1.0","id":"x","source":"s","type":"t","subject":"u"}'

    (event,) = decode(headers(content_type=b"application/cloudevents+json"), inner)

    assert event.id == "x"


@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        ({"ce_subject": None}, "not_a_cloudevent", None),
        ({"ce_subject": b""}, "not_a_cloudevent", "$.subject"),
        ({"ce_specversion": b"2.0"}, "not_a_cloudevent", "$.specversion"),
        ({"ce_specversion": None}, "not_a_cloudevent", None),
        ({"ce_time": b"yesterday"}, "not_a_cloudevent", "$.time"),
        ({"ce_time": b"2026-03-05T12:00:00"}, "not_a_cloudevent", "$.time"),
        ({"ce_id": b"\xff"}, "header_not_text", "ce_id"),
        ({"ce_source": b"s" * 70_000}, "not_a_cloudevent", "$.source"),
        ({"content_type": b"application/avro"}, "datacontenttype_unknown", "content-type"),
        (
            {"content_type": b"application/json; charset=utf-16"},
            "datacontenttype_unknown",
            "content-type",
        ),
    ],
)
def test_what_is_wrong_is_named(changes, code, field):
    with pytest.raises(Refused) as refused:
        decode(headers(**changes))

    assert (refused.value.code, refused.value.field) == (code, field)


def test_an_attribute_that_stands_twice_is_refused():
    with pytest.raises(Refused) as refused:
        decode([*headers(), ("ce_id", b"e2")])

    assert (refused.value.code, refused.value.field) == ("header_repeated", "ce_id")
