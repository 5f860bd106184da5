import msgspec
import pytest

from schemas.position import position
from streams.decoded import HandedOver
from streams.decoding import FORWARDED_BYTES_MAX, HANDED_OVER_BESIDE_BYTES_MAX, decode
from tests.builders import an_event
from tests.unit.streams.fakes import ARecord


def decoded(*values, owner=0, not_before=0, offset=0, headers=(), **more):
    records = [
        ARecord(
            offset + i,
            v if isinstance(v, bytes | None) else msgspec.json.encode(v),
            headers=headers,
        )
        for i, v in enumerate(values)
    ]
    return decode(
        records,
        namespace="default",
        partition=0,
        owner_of=lambda s: owner,
        not_before=not_before,
        **more,
    )


@pytest.mark.parametrize(
    "bad",
    [
        an_event("b", time="1960-01-01T00:00:00Z"),
        {**an_event("b"), "data": [1]},
        {"id": "b"},
    ],
)
def test_one_bad_event_refuses_its_whole_array_and_nothing_else(bad):
    found = decoded([an_event("a"), bad], an_event("c"))

    assert found.ids == ["c"]
    assert [(r.position, r.field and r.field[:4]) for r in found.rejected] == [(0, "$[1]")]
    assert found.rejected[0].value == msgspec.json.encode([an_event("a"), bad])


def test_reading_goes_on_inside_a_record():
    found = decoded([an_event(f"e{i}") for i in range(5)], not_before=position(0, 3))

    assert found.ids == ["e3", "e4"]
    assert found.first == position(0, 3)
    assert found.next == position(1, 0)


def test_an_event_of_another_partition_gets_the_time_of_its_arrival_when_it_has_none():
    event = an_event("a")
    del event["time"]

    found = decoded(event, owner=2)

    (forwarded,) = found.forwarded
    assert found.ids == []
    assert msgspec.json.decode(forwarded.value)["time"] == "2026-09-21T14:13:20Z"


def test_an_event_too_long_to_be_moved_is_rejected():
    found = decoded(an_event("a", pad="x" * FORWARDED_BYTES_MAX), owner=2)

    assert found.forwarded == []
    assert [r.code for r in found.rejected] == ["event_too_large"]


def test_parts_of_a_chunk_cover_it_without_a_hole():
    found = decoded([an_event(f"e{i}") for i in range(10)], b"", an_event("z"))

    parts = list(found.cut(4))

    assert [part.count for part in parts] == [4, 4, 3]
    assert [part.next for part in parts[:-1]] == [part.first for part in parts[1:]]
    assert parts[-1].next == found.next
    assert sum(len(part.rejected) for part in parts) == 1


UNKNOWN_SCHEMA = b"\x00\x00\x00\x00\x07rest"


def test_a_record_whose_schema_only_a_registry_may_know_is_handed_over_as_it_is():
    headers = (("trace", b"1"),)

    found = decoded(UNKNOWN_SCHEMA, an_event("a"), hand_over=True, headers=headers)

    assert found.handed_over == [HandedOver(0, None, UNKNOWN_SCHEMA, headers, 7)]
    assert found.ids == ["a"]
    assert found.rejected == []
    assert [len(part.handed_over) for part in found.cut(1)] == [1]


@pytest.mark.parametrize(
    ("value", "headers", "more"),
    [
        (UNKNOWN_SCHEMA, (), {}),
        (UNKNOWN_SCHEMA + b"x" * FORWARDED_BYTES_MAX, (), {"hand_over": True}),
        (UNKNOWN_SCHEMA, (("big", b"x" * HANDED_OVER_BESIDE_BYTES_MAX),), {"hand_over": True}),
    ],
)
def test_a_record_that_cannot_be_handed_over_is_rejected(value, headers, more):
    found = decoded(value, headers=headers, **more)

    assert [(r.code, r.value, r.headers) for r in found.rejected] == [
        ("avro_schema_unknown", value, headers)
    ]
    assert found.handed_over == []


def test_what_was_handed_over_before_is_not_handed_over_again():
    found = decoded(UNKNOWN_SCHEMA, not_before=position(1, 0), hand_over=True)

    assert (found.handed_over, found.rejected) == ([], [])


def test_an_event_without_data_can_be_moved_whichever_way_it_came():
    binary = tuple(
        (f"ce_{name}", text)
        for name, text in (
            ("specversion", b"1.0"),
            ("id", b"e"),
            ("source", b"s"),
            ("type", b"t"),
            ("subject", b"u"),
        )
    )

    found = decoded(None, owner=2, headers=binary)

    (forwarded,) = found.forwarded
    assert msgspec.json.decode(forwarded.value).keys() == {
        "id",
        "source",
        "type",
        "subject",
        "specversion",
        "time",
    }
