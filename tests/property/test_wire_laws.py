"""Laws of the wire: nothing but a refusal comes out of any bytes, and what the door lets in is read as the same."""

import json

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.errors import Refused
from domain.metering.numbers import json_text, read_number
from schemas import state
from schemas.cloudevents import (
    BATCH,
    JSON,
    SINGLE,
    decode_data,
    decode_record,
    decode_request,
    encode_records,
)
from streams.decoding import decode
from tests.builders import NOON
from tests.rivals import a_record

ATTRIBUTES = ["id", "source", "type", "subject", "specversion", "time", "data", "datacontenttype", "dataschema", "x"]  # fmt: skip
fragments = st.sampled_from(
    [b'"1.0"', b'"a"', b'""', b'"\\ud800"', b'"\\ud800\\u0041"', b'"\\u0000"', b'"\xff"', b'"\xed\xa0\x80"', b"null",
     b"1e400", b"-1e-999999999999999999999", b"9" * 400, b"9" * 5000, b"[" * 900 + b"]" * 900, b"{}", b'{"n": 1}',
     b'{"n": "\xff"}', b'{"n": NaN}', b'{"n": 1e99999999999999999999}', b'{"n": 1.50, "g": [{}]}', b'{"n": null}',
     b'"2026-03-05T12:00:00Z"', b'"0001-01-01T00:00:00+14:00"', b'"9999-12-31T23:59:59.999999-14:00"',
     b'"2026-03-05T24:00:00Z"', b"true", b'"application/json"', b'"\x01"', "\"é\"".encode(), b'"a%"', b'" \\n"']
)  # fmt: skip
plain = {b"specversion": b'"1.0"', b"id": b'"i"', b"source": b'"s"', b"type": b'"t"', b"subject": b'"x"'}  # fmt: skip


@st.composite
def nearly_events(draw):
    """An event with a few of its attributes replaced by anything."""
    odd = draw(st.dictionaries(st.sampled_from(ATTRIBUTES).map(str.encode), fragments, max_size=3))
    return b"{%s}" % b",".join(b'"%s":%s' % item for item in {**plain, **odd}.items())


bodies = st.one_of(
    nearly_events(),
    st.lists(nearly_events(), max_size=3).map(lambda events: b"[%s]" % b",".join(events)),
    st.binary(max_size=40),
)


def taken(call, *arguments):
    """What `call` gives, None when it refuses."""
    try:
        return call(*arguments)
    except Refused as refused:
        said = f"{refused.code} {refused.field} {refused}"
    said.encode()
    return None


@settings(max_examples=150, deadline=None)
@given(bodies, st.sampled_from([SINGLE, BATCH, JSON]))
def test_what_the_door_takes_is_read_from_the_record_as_the_same(body, content_type):
    events = taken(decode_request, content_type, body, NOON)
    if events is None:
        return

    records = encode_records([(0, event) for event in events], record_bytes_max=1 << 20)
    read = [event for _, _, value in records for event in decode_record(value)]

    assert [fields(event) for event in read] == [fields(event) for event in events]
    for event in read:
        decode_data(event.data) if event.data else None
        assert len(state.identity("default", event.source, event.id, event.subject)) == 16


def fields(event):
    time = event.time.replace(microsecond=event.time.microsecond)
    return event.id, event.source, event.type, event.subject, event.specversion, time, bytes(event.data)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.lists(bodies, min_size=1, max_size=4), st.integers(0, 3))
def test_any_records_are_events_or_refused_one_by_one(values, not_before):
    records = [a_record(i, 1_772_000_000_000, value) for i, value in enumerate(values)]

    decoded = decode(
        records,
        namespace="default",
        partition=0,
        owner_of=lambda subject: len(subject) == 0,
        not_before=not_before << 20,
    )

    refused = [rejected.position >> 20 for rejected in decoded.rejected]
    read = {at >> 20 for at in decoded.positions}
    assert len(refused) == len(set(refused))
    assert not read & set(refused)
    assert all(at >= not_before for at in [*read, *refused])
    together = {i: taken(decode_record, value) for i, value in enumerate(values) if i >= not_before}
    assert read | set(refused) == {i for i, events in together.items() if events != []}
    for subject, text in zip(decoded.subjects, decoded.texts, strict=True):
        data = (decode_data(msgspec.Raw(text)) if text else None) or {}
        state.row_key_body(subject, 1, [json_text(value) for value in data.values()])
        for value in data.values():
            read_number(value)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=5,
)  # fmt: skip


@given(st.dictionaries(st.text(max_size=3), json_values, max_size=3))
def test_data_is_an_object_or_refused(data):
    event = {"specversion": "1.0", "id": "i", "source": "s", "type": "t", "subject": "x", "data": data}  # fmt: skip
    text = json.dumps(event, ensure_ascii=False).encode("utf-8", "surrogatepass")

    events = taken(decode_record, text)

    found = None if events is None else taken(decode_data, events[0].data)
    assert found is None or isinstance(found, dict)
