import msgspec
import pytest

from schemas.position import position
from streams.decoded import FORWARDED_BYTES_MAX, decode
from tests.builders import an_event
from tests.unit.streams.fakes import ARecord


def decoded(*values, owner=0, not_before=0, offset=0):
    records = [
        ARecord(offset + i, v if isinstance(v, bytes | None) else msgspec.json.encode(v))
        for i, v in enumerate(values)
    ]
    return decode(
        records, namespace="default", partition=0, owner_of=lambda s: owner, not_before=not_before
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

    assert [event.id for event in found.events] == ["c"]
    assert [(r.position, r.field and r.field[:4]) for r in found.rejected] == [(0, "$[1]")]
    assert found.rejected[0].value == msgspec.json.encode([an_event("a"), bad])


def test_reading_goes_on_inside_a_record():
    found = decoded([an_event(f"e{i}") for i in range(5)], not_before=position(0, 3))

    assert [event.id for event in found.events] == ["e3", "e4"]
    assert found.first == position(0, 3)
    assert found.next == position(1, 0)


def test_an_event_of_another_partition_gets_the_time_of_its_arrival_when_it_has_none():
    event = an_event("a")
    del event["time"]

    found = decoded(event, owner=2)

    (forwarded,) = found.forwarded
    assert found.events == []
    assert msgspec.json.decode(forwarded.value)["time"] == "2026-09-21T14:13:20Z"


def test_an_event_too_long_to_be_moved_is_rejected():
    found = decoded(an_event("a", pad="x" * FORWARDED_BYTES_MAX), owner=2)

    assert found.forwarded == []
    assert [r.code for r in found.rejected] == ["event_too_large"]


def test_parts_of_a_chunk_cover_it_without_a_hole():
    found = decoded([an_event(f"e{i}") for i in range(10)], b"", an_event("z"))

    parts = list(found.cut(4))

    assert [len(part.events) for part in parts] == [4, 4, 3]
    assert [part.next for part in parts[:-1]] == [part.first for part in parts[1:]]
    assert parts[-1].next == found.next
    assert sum(len(part.rejected) for part in parts) == 1
