"""Decoding many records at once gives what decoding them one by one gives."""

from typing import NamedTuple

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from schemas.position import record_start
from streams.decoding import decode
from tests.avro_events import VERSION_1, VERSION_2, confluent, single_object
from tests.builders import an_event

PARTITION = 0


class Record(NamedTuple):
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...] = ()


def owner_of(subject: str) -> int:
    return 1 if subject.startswith("foreign") else PARTITION


plain = st.builds(
    an_event,
    st.text(min_size=1, max_size=5),
    subject=st.sampled_from(["s1", "s2", "é"]),
    time=st.sampled_from(["2026-03-05T12:00:00Z", "2026-03-05T12:00:00.999+02:00"]),
    tokens=st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.none()),
)
odd = st.one_of(
    st.builds(an_event, subject=st.just("foreign")),
    st.builds(an_event, time=st.sampled_from(["1969-12-31T23:59:59Z", "2500-01-01T00:00:00Z"])),
    st.builds(lambda: an_event() | {"data": [1]}),
    st.builds(lambda: an_event() | {"data": None}),
    st.builds(lambda: {k: v for k, v in an_event().items() if k not in ("time", "data")}),
    st.builds(lambda: an_event() | {"specversion": "2.0"}),
    st.builds(lambda: an_event(subject="")),
    st.lists(plain, max_size=3),
)
raw = st.sampled_from([b"", b"{", b"\xff", b"null", b'{"data":1e999999999999999999999}'])
values = st.one_of(plain.map(msgspec.json.encode), odd.map(msgspec.json.encode), raw)
BINARY = (
    ("ce_specversion", b"1.0"),
    ("ce_id", b"binary"),
    ("ce_source", b"s"),
    ("ce_type", b"request"),
    ("ce_subject", b"s1"),
)
HEADERS = st.sampled_from(
    [
        (),
        (),
        (("traceparent", b"00-1"), ("none", None)),
        (("content-type", b"application/cloudevents+json"), *BINARY),
        BINARY,
        BINARY[:2],
    ]
)
AVRO_EVENT = {"id": "avro", "source": "s", "type": "request", "subject": "s2", "data": "{}"}
avro = st.sampled_from(
    [
        single_object(VERSION_1, AVRO_EVENT),
        confluent(VERSION_2, AVRO_EVENT),
        confluent(VERSION_2, AVRO_EVENT, 7),
        b"\x00",
        b"\xc3\x01",
    ]
)
anything = st.tuples(values | avro, HEADERS)
logs = st.lists(st.tuples(st.integers(1, 3), anything), min_size=1, max_size=30)


def records_of(log):
    offset, records = 0, []
    for gap, (value, headers) in log:
        offset += gap
        records.append(Record(offset, 1_772_712_000_000 + offset, b"k", value, headers))
    return records


def decoded_as_one(records, not_before):
    return decode(
        records,
        namespace="n",
        partition=PARTITION,
        owner_of=owner_of,
        not_before=not_before,
        hand_over=True,
    )


@given(logs, st.integers(0, 20))
def test_records_decoded_together_are_as_records_decoded_alone(log, skipped):
    records = records_of(log)
    not_before = record_start(skipped)

    together = decoded_as_one(records, not_before)

    alone = [decoded_as_one([record], not_before) for record in records]
    for name in (
        "positions",
        "ids",
        "sources",
        "types",
        "subjects",
        "seconds",
        "texts",
        "hashes",
        "appended_ms",
        "rejected",
    ):
        assert getattr(together, name) == [x for one in alone for x in getattr(one, name)], name
    assert together.forwarded == [x for one in alone for x in one.forwarded]
    assert together.handed_over == [x for one in alone for x in one.handed_over]
    assert together.newest_ms == max(one.newest_ms for one in alone)


@given(
    st.lists(
        st.tuples(st.just(1), st.tuples(plain.map(msgspec.json.encode), st.just(()))),
        min_size=1,
        max_size=20,
    )
)
def test_a_log_of_plain_events_is_decoded_whole(log):
    decoded = decoded_as_one(records_of(log), 0)

    assert decoded.count == len(log)
    assert not decoded.rejected
    assert not decoded.forwarded
