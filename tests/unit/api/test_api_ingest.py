"""Taking events in: nothing is appended unless all of a request is right."""

import asyncio
import json

import pytest

from schemas.cloudevents import decode_record
from schemas.partitioner import partition_of
from tests.api_app import AnApp, MemoryEventLog, problem_of
from tests.builders import NOON, an_event

SINGLE = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
JSON = "application/json"
EVENT = {"id": "1", "source": "s", "type": "t", "subject": "x", "specversion": "1.0"}


def text(value) -> bytes:
    return json.dumps(value).encode()


@pytest.mark.parametrize(
    ("content_type", "body", "count"),
    [
        (SINGLE, EVENT, 1),
        (BATCH, [EVENT, {**EVENT, "id": "2"}], 2),
        (BATCH, [], 0),
        (JSON, EVENT, 1),
        (JSON, [EVENT], 1),
    ],
)
async def test_each_form_of_a_request_is_taken(content_type, body, count):
    app = AnApp()

    answer = await app.ingest(text(body), content_type)

    assert (answer.status_code, answer.content) == (204, b"")
    assert len(app.log.events) == count


@pytest.mark.parametrize(
    ("content_type", "body", "code"),
    [
        ("text/plain", text(EVENT), "invalid_content_type"),
        (None, text(EVENT), "invalid_content_type"),
        (f"{JSON}; charset=utf-8", text(EVENT), "invalid_content_type"),
        (SINGLE, text([EVENT]), "not_a_cloudevent"),
        (BATCH, text(EVENT), "not_a_cloudevent"),
        (JSON, text([]), "no_events"),
        (JSON, text({}), "missing_field"),
        (JSON, b"null", "not_a_cloudevent"),
        (JSON, b'"call"', "not_a_cloudevent"),
        (JSON, b"", "invalid_json"),
        (JSON, b'{"id": "1", ', "invalid_json"),
        (JSON, b"\xff\xfe", "invalid_json"),
        (BATCH, b"[" * 5000, "not_a_cloudevent"),
        (JSON, text(EVENT) + b" {}", "invalid_json"),
    ],
)
async def test_a_body_that_holds_no_events_is_refused(content_type, body, code):
    app = AnApp()

    answer = await app.ingest(body, content_type)

    assert problem_of(answer)[:2] == (400, code)
    assert app.log.records == []


@pytest.mark.parametrize(
    ("change", "code", "field"),
    [
        *(({name: None}, "wrong_type", f"$.{name}") for name in EVENT),
        *(({name: ""}, "empty_field", f"$.{name}") for name in EVENT),
        *(({name: 5}, "wrong_type", f"$.{name}") for name in EVENT),
        *(({name: ...}, "missing_field", f"$.{name}") for name in EVENT),
        ({"specversion": "2.0"}, "specversion_unknown", "$.specversion"),
        ({"source": "%%"}, "source_invalid", "$.source"),
        ({"id": "i" * 70_000}, "field_too_long", "$.id"),
        ({"data": "n=1"}, "data_not_object", "$.data"),
        ({"data": [1]}, "data_not_object", "$.data"),
        ({"data": 1}, "data_not_object", "$.data"),
        ({"data": {"n": None}}, "data_null_property", "$.data.n"),
        ({"datacontenttype": "text/csv"}, "datacontenttype_unknown", "$.datacontenttype"),
        ({"dataschema": ""}, "wrong_type", "$.dataschema"),
        ({"dataschema": 5}, "wrong_type", "$.dataschema"),
        ({"device": {"os": "x"}}, "extension_invalid", "$.device"),
        ({"time": "2024-03-01"}, "time_invalid", "$.time"),
        ({"time": "2024-03-01 10:00:00Z"}, "time_invalid", "$.time"),
        ({"time": "2024-03-01T10:00:00"}, "time_invalid", "$.time"),
        ({"time": "2024-03-01t10:00:00z"}, "time_invalid", "$.time"),
        ({"time": "2024-03-01T10:00:00+0100"}, "time_invalid", "$.time"),
        ({"time": "2024-02-30T10:00:00Z"}, "time_invalid", "$.time"),
        ({"time": "2024-03-01T24:00:00Z"}, "time_invalid", "$.time"),
        ({"time": 1709251200}, "time_invalid", "$.time"),
        ({"time": ""}, "time_invalid", "$.time"),
    ],
)
async def test_one_wrong_member_refuses_the_whole_request(change, code, field):
    app = AnApp()
    wrong = {name: value for name, value in {**EVENT, **change}.items() if value is not ...}

    alone = await app.ingest(text(wrong))
    in_a_batch = await app.ingest(text([EVENT, wrong]))

    assert problem_of(alone) == (400, code, field)
    assert problem_of(in_a_batch) == (400, code, field.replace("$", "$[1]", 1))
    assert app.log.records == []


@pytest.mark.parametrize(
    "change",
    [
        {"time": None},
        {"time": "2024-03-01T10:00:00.123456789+05:30"},
        {"data": None},
        {"data": {}},
        {"data": {"deep": {"null": None}}},
        {"datacontenttype": None, "dataschema": None},
        {"specversion": "0.3"},
        {"partition": "eu", "attempt": 2, "flag": True, "nothing": None},
        {"id": "a\0b", "subject": "\0"},
        {"id": 'it\'s "ü" 🛰'},
    ],
)
async def test_what_the_contract_allows_is_taken(change):
    answer = await AnApp().ingest(text({**EVENT, **change}))

    assert answer.status_code == 204


async def test_a_missing_time_is_that_of_the_receipt():
    app = AnApp()

    await app.ingest(text(EVENT))

    assert app.log.events[0].time == NOON


async def test_a_fraction_is_cut_and_never_rounded_into_the_next_second():
    app = AnApp()

    await app.ingest(text({**EVENT, "time": "2024-02-29T23:59:59.9999999Z"}))

    assert app.log.events[0].time.isoformat() == "2024-02-29T23:59:59.999999+00:00"


async def test_events_go_to_the_partition_of_their_subject_in_their_order():
    app = AnApp()
    events = [an_event(f"e{i}", subject=f"s{i % 9}", n=i) for i in range(90)]

    await app.ingest(text(events), BATCH)

    for partition, key, _ in app.log.records:
        assert partition_of(key, 4) == partition
    for subject in {event["subject"] for event in events}:
        ids = [event.id for event in app.log.events if event.subject == subject]
        assert ids == [event["id"] for event in events if event["subject"] == subject]
    assert len(app.log.records) <= 4


async def test_events_that_workers_will_reject_take_no_others_with_them():
    app = AnApp(log=MemoryEventLog(partitions=1))
    times = ["2024-03-01T10:00:00Z", "1970-01-01T00:00:00Z", "0001-01-01T00:00:00+10:00"]
    times += ["1970-01-01T00:00:01Z", "2299-12-31T23:59:59Z", "2300-01-01T00:00:00Z"]
    events = [an_event(f"e{i}", time=time) for i, time in enumerate(times)]

    answer = await app.ingest(text(events), BATCH)

    assert answer.status_code == 204
    assert [[event.id for event in decode_record(value)] for _, _, value in app.log.records] == [
        ["e0", "e3", "e4"],
        ["e1"],
        ["e2"],
        ["e5"],
    ]


async def test_an_event_too_large_for_a_record_is_refused_with_the_whole_request():
    app = AnApp()

    answer = await app.ingest(text([EVENT, {**EVENT, "data": {"x": "y" * (1 << 20)}}]), BATCH)

    assert problem_of(answer)[:2] == (413, "event_too_large")
    assert app.log.records == []


async def test_a_large_batch_is_cut_into_records_within_the_bound():
    app = AnApp()
    events = [an_event(f"e{i}", subject="s", text="x" * 100_000) for i in range(50)]

    answer = await app.ingest(text(events), BATCH)

    assert answer.status_code == 204
    assert len(app.log.events) == 50
    assert max(len(value) for _, _, value in app.log.records) <= 1 << 20


async def test_a_body_over_the_bound_is_refused_by_its_announced_length():
    answer = await AnApp(bytes_max=1000).ingest(b" " * 1001)

    assert problem_of(answer)[:2] == (413, "body_too_large")


async def test_a_body_without_a_length_is_refused_as_soon_as_it_is_over_the_bound():
    sent = 0

    async def chunks():
        nonlocal sent
        for _ in range(100):
            sent += 1
            yield b" " * 500

    app = AnApp(bytes_max=1000)
    answer = await app.client.post(
        "/api/v1/events", content=chunks(), headers={"content-type": JSON}
    )

    assert problem_of(answer)[:2] == (413, "body_too_large")
    assert app.log.records == []


async def test_bodies_of_all_requests_together_are_bounded_and_given_back():
    app = AnApp(in_flight_bytes_max=1000)

    too_much = await app.ingest(b" " * 1001)
    afterwards = [await app.ingest(text(EVENT) + b" " * 800) for _ in range(3)]

    assert problem_of(too_much)[0] == 503
    assert [answer.status_code for answer in afterwards] == [204, 204, 204]


async def test_a_body_that_does_not_arrive_is_given_up():
    async def chunks():
        yield b"["
        await asyncio.sleep(30)
        yield b"]"

    app = AnApp(read_s_max=0.05, in_flight_bytes_max=100)
    answers = [
        await app.client.post(
            "/api/v1/events", content=chunks(), headers={"content-type": "application/json"}
        )
        for _ in range(2)
    ]

    assert [problem_of(answer)[:2] for answer in answers] == [(408, "body_too_slow")] * 2
