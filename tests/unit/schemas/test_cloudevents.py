"""CloudEvents at the door: what is taken, and for what is refused the code and the field that say why."""

import json
from datetime import UTC, datetime

import msgspec
import pytest

from domain.errors import Refused
from schemas.cloudevents import (
    ATTRIBUTE_LENGTH_MAX,
    BATCH,
    JSON,
    SINGLE,
    decode_data,
    decode_record,
    decode_request,
    encode_event,
    encode_records,
)
from tests.builders import NOON, an_event


def request(event, content_type=SINGLE):
    body = event if isinstance(event, bytes) else json.dumps(event).encode()
    return decode_request(content_type, body, NOON)


def changed(**changes):
    """An event with other attributes; None takes one away."""
    event = {**an_event(n=1), **changes}
    return {name: value for name, value in event.items() if value is not ...}


def refusal(call, *arguments):
    with pytest.raises(Refused) as refused:
        call(*arguments)
    return refused.value.code, refused.value.field


@pytest.mark.parametrize(
    ("event", "code", "field"),
    [
        (changed(id=...), "missing_field", "$.id"),
        (changed(source=...), "missing_field", "$.source"),
        (changed(type=...), "missing_field", "$.type"),
        (changed(subject=...), "missing_field", "$.subject"),
        (changed(specversion=...), "missing_field", "$.specversion"),
        (changed(id=""), "empty_field", "$.id"),
        (changed(id=5), "wrong_type", "$.id"),
        (changed(subject=None), "wrong_type", "$.subject"),
        (changed(subject="x" * (ATTRIBUTE_LENGTH_MAX + 1)), "field_too_long", "$.subject"),
        (changed(source="é" * 20_000), "field_too_long", "$.source"),
        (changed(source="a%zz"), "source_invalid", "$.source"),
        (changed(specversion="2.0"), "specversion_unknown", "$.specversion"),
        (changed(time="yesterday"), "time_invalid", "$.time"),
        (changed(time="2026-03-05T12:00:00"), "time_invalid", "$.time"),
        (changed(time="2026-03-05 12:00:00Z"), "time_invalid", "$.time"),
        (changed(time="2026-02-30T12:00:00Z"), "time_invalid", "$.time"),
        (changed(time=1), "time_invalid", "$.time"),
        (changed(data=[1]), "data_not_object", "$.data"),
        (changed(data="x"), "data_not_object", "$.data"),
        (changed(data={"a": None}), "data_null_property", "$.data.a"),
        (changed(datacontenttype="text/plain"), "datacontenttype_unknown", "$.datacontenttype"),
        (changed(datacontenttype=1), "datacontenttype_unknown", "$.datacontenttype"),
        (changed(dataschema=1), "wrong_type", "$.dataschema"),
        (changed(extension={"a": 1}), "extension_invalid", "$.extension"),
    ],
)
def test_a_wrong_event_is_refused_with_code_and_field(event, code, field):
    assert refusal(request, event) == (code, field)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "invalid_json"),
        (b"{", "invalid_json"),
        (b"\xff", "invalid_json"),
        (b"\xef\xbb\xbf{}", "invalid_json"),
        (b"[1]", "not_a_cloudevent"),
        (b"1", "not_a_cloudevent"),
        (b"[]", "no_events"),
        (b"[" * 5000 + b"]" * 5000, "not_a_cloudevent"),
        (b'{"a":' * 5000 + b"1" + b"}" * 5000, "invalid_json"),
    ],
)
def test_a_body_that_is_no_event_is_refused(body, code):
    assert refusal(request, body, JSON)[0] == code


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/cloudevents+xml", ""])
def test_an_unknown_content_type_is_refused(content_type):
    assert refusal(request, an_event(), content_type)[0] == "invalid_content_type"


@pytest.mark.parametrize("name", ["id", "subject", "datacontenttype", "dataschema", "time"])
def test_bytes_that_are_not_utf8_are_refused_wherever_they_stand(name):
    body = json.dumps(changed(**{name: "@"})).encode().replace(b'"@"', b'"\xff"')

    assert refusal(request, body)[1] == f"$.{name}"


def test_in_a_batch_the_field_names_the_event():
    assert refusal(request, [an_event(), changed(subject="")], BATCH) == ("empty_field", "$[1].subject")  # fmt: skip


def test_a_missing_time_is_the_time_of_arrival():
    assert request(changed(time=...))[0].time == NOON
    assert request(changed(time=None))[0].time == NOON


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-03-05T12:00:00Z", NOON),
        ("2026-03-05T13:00:00+01:00", NOON),
        ("2026-03-05T12:00:00.9999999Z", datetime(2026, 3, 5, 12, 0, 0, 999_999, UTC)),
    ],
)
def test_times_are_instants_and_their_fraction_is_cut(text, expected):
    assert request(changed(time=text))[0].time == expected


def test_attributes_may_hold_any_text():
    (event,) = request(changed(id="\0", subject="é\n\u2028"))

    assert (event.id, event.subject) == ("\0", "é\n\u2028")


def test_a_source_is_escaped_as_a_uri():
    assert request(changed(source="a b/é"))[0].source == "a%20b/%C3%A9"


@pytest.mark.parametrize(
    ("value", "code", "field"),
    [
        (b"", "empty_record", None),
        (b"{", "invalid_json", None),
        (b"[1]", "not_a_cloudevent", "$[0]"),
        (b'{"id": 1}', "not_a_cloudevent", "$.id"),
        (b'{"id": ""}', "not_a_cloudevent", "$.id"),
        (b"\x00", "invalid_json", None),
    ],
)
def test_a_record_that_is_no_event_is_refused(value, code, field):
    assert refusal(decode_record, value) == (code, field)


def test_a_record_holds_one_event_or_an_array():
    one = json.dumps(an_event("1")).encode()
    many = json.dumps([an_event("1"), an_event("2")]).encode()

    assert [event.id for event in decode_record(one)] == ["1"]
    assert [event.id for event in decode_record(b"  " + many)] == ["1", "2"]


@pytest.mark.parametrize(
    ("data", "code"),
    [(b"3", "data_not_object"), (b'{"a": "\xff"}', "data_not_object"), (b"{", "data_not_object")],
)
def test_data_that_is_no_object_is_refused(data, code):
    assert refusal(decode_data, msgspec.Raw(data)) == (code, "$.data")


def test_numbers_past_any_exponent_are_what_a_double_makes_of_them():
    found = decode_data(msgspec.Raw(b'{"a": 1e-99999999999999999999, "b": 1e99999999999999999999}'))

    assert found["a"] == 0
    assert found["b"].is_infinite()


def test_records_go_by_partition_in_order_and_are_cut_at_the_bound():
    (event,) = request(an_event())
    size = len(encode_event(event))

    sent = [(0, event), (1, event), (0, event), (0, event)]
    records = encode_records(sent, record_bytes_max=2 * size + 4)

    found = sorted((at, key, len(decode_record(value))) for at, key, value in records)
    assert found == [(0, b"s1", 1), (0, b"s1", 2), (1, b"s1", 1)]
    assert max(len(value) for _, _, value in records) == 2 * size + 3


def test_an_event_that_no_record_can_hold_is_refused():
    (event,) = request(an_event(text="x" * 1000))

    assert refusal(lambda: encode_records([(0, event)], record_bytes_max=1000))[0] == "event_too_large"  # fmt: skip


def test_the_wire_of_an_event():
    (event,) = request(an_event(n=1))

    assert json.loads(encode_event(event)) == an_event(n=1)
