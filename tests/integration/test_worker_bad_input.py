"""What must not be counted, sent straight to Kafka: each is in the rejected topic with its reason, and counting goes on."""

import msgspec
import pytest

from schemas import topics
from schemas.partitioner import partition_of
from tests.builders import ULIDS, a_meter_record, an_event
from tests.topics import read_all
from tests.workers import EventProducer, WorkerProcess
from tests.workload import connect, events_in_clickhouse

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

SUBJECT = "subject-1"
HOME = partition_of(SUBJECT.encode(), 4)


def event(id="x", **changes) -> dict:
    return {**an_event(id, subject=SUBJECT, tokens=1), **changes}


def text(data: str, id="x") -> bytes:
    """An event with `data` as JSON text."""
    head = msgspec.json.encode({**event(id), "data": None})
    return head.replace(b'"data":null', f'"data":{data}'.encode())


def without(name: str) -> dict:
    return {key: value for key, value in event().items() if key != name}


REJECTED = {
    "no CloudEvent": (b'{"hello": "world"}', "not_a_cloudevent", ""),
    "broken JSON": (b'{"id": "x", ', "invalid_json", ""),
    "text": (b"not json at all", "invalid_json", ""),
    "an empty value": (b"", "empty_record", ""),
    "a tombstone": (None, "empty_record", ""),
    "invalid UTF-8": (
        msgspec.json.encode(event()).replace(b'"x"', b'"\xff\xfe"'),
        "invalid_json",
        "",
    ),
    "a lone surrogate": (
        msgspec.json.encode(event()).replace(b'"x"', b'"\\ud800"'),
        "invalid_json",
        "",
    ),
    "a missing subject": (without("subject"), "not_a_cloudevent", ""),
    "an empty subject": (event(subject=""), "not_a_cloudevent", "$.subject"),
    "a subject that is a number": (event(subject=5), "not_a_cloudevent", "$.subject"),
    "a subject of 70,000 characters": (
        event(subject="s" * 70_000),
        "not_a_cloudevent",
        "$.subject",
    ),
    "an id that is null": (event(id=None), "not_a_cloudevent", "$.id"),
    "another specversion": (event(specversion="2.0"), "not_a_cloudevent", "$.specversion"),
    "1970": (event(time="1970-01-01T00:00:00Z"), "time_out_of_range", "$.time"),
    "1850": (event(time="1850-01-01T00:00:00Z"), "time_out_of_range", "$.time"),
    "2300": (event(time="2300-01-01T00:00:00Z"), "time_out_of_range", "$.time"),
    "no time": (event(time="yesterday"), "not_a_cloudevent", "$.time"),
    "a time without a zone": (event(time="2026-03-05T12:00:00"), "not_a_cloudevent", "$.time"),
    "data that is an array": (text("[1]"), "data_not_object", "$.data"),
    "data that is a text": (text('"abc"'), "data_not_object", "$.data"),
    "NaN": (text('{"tokens": NaN}'), "invalid_json", ""),
    "an infinity": (text('{"tokens": -Infinity}'), "invalid_json", ""),
    "data nested 20,000 deep": (
        text('{"a":' * 20_000 + "1" + "}" * 20_000),
        "invalid_json",
        "",
    ),
    "a lone surrogate in data": (text('{"tokens": "\\ud800"}'), "invalid_json", ""),
    "an array with a bad event": ([event("ok"), without("source")], "not_a_cloudevent", "$[1]"),
    "an array with a bad time": (
        [event("ok"), event(time="1960-01-01T00:00:00Z")],
        "time_out_of_range",
        "$[1].time",
    ),
    "an array of arrays": (b"[[]]", "not_a_cloudevent", "$[0]"),
}

COUNTED = {
    "1e400": (text('{"tokens": 1e400}', "n1"), 0),
    "1e300": (text('{"tokens": 1e300}', "n2"), None),
    "an integer of 400 digits": (text('{"tokens": %s}' % ("9" * 400), "n3"), 0),
    "a number as text": (text('{"tokens": "2.5"}', "n4"), "2.5"),
    "NaN as text": (text('{"tokens": "NaN"}', "n5"), 0),
    "a value that is null": (text('{"tokens": null}', "n6"), 0),
    "null data": (text("null", "n7"), 0),
    "NUL in id and source": (event("n8\x00", source="\x00"), 1),
    "no data": ({k: v for k, v in event("n9").items() if k != "data"}, 0),
    "1 MB of data": (text('{"tokens": 3, "pad": "%s"}' % ("x" * 1_000_000), "n10"), 3),
    "a key that is not its subject": (event("n11"), 1),
}


@pytest.fixture
def worker(kafka_address, clickhouse_url, unique, tmp_path):
    process = WorkerProcess(unique, tmp_path, kafka_address, clickhouse_url)
    yield process
    process.stop()


def test_bad_records_go_to_the_rejected_topic_and_the_next_event_is_counted(
    worker, kafka_address, clickhouse_url, unique
):
    worker.start().wait_ready()
    producer = EventProducer(kafka_address, unique)
    producer.publish_meter(a_meter_record(id=ULIDS[0]), 1)
    producer.publish_meter(
        a_meter_record("calls", id=ULIDS[1], aggregation="COUNT", groups={"g": "$.g"}), 2
    )
    worker.wait_until(lambda: worker.metric("meterstream_catalog_version") == 2, what="meters")

    offsets, total = {}, 0.0
    for name, (value, code, field) in REJECTED.items():
        producer.send(value, name, HOME)
        offsets[producer.flush()[HOME] - 1] = (name, code, field)
        producer.send(event(f"after {name}", tokens=1), SUBJECT, HOME)
    for value, adds in COUNTED.values():
        producer.send(value, b"\xff\x00 any key", HOME)
        total += float(adds or 0)
    producer.send(an_event("nul", subject="nul\x00subject", tokens=1), "nul\x00subject")
    producer.send([event(f"many{i}") for i in range(100_000)], SUBJECT, HOME)
    for i in range(50):
        producer.send(event(f"moved{i}"), SUBJECT, (HOME + 1) % 4)
    producer.send(
        [an_event(f"mixed{i}", subject=f"subject-{i}", tokens=1) for i in range(8)], SUBJECT, HOME
    )
    producer.send(text('{"tokens": 1, "g": "%s"}' % ("g" * 1_000_000), "long group"), SUBJECT, HOME)
    producer.flush()
    counted = len(REJECTED) + len(COUNTED) + 1 + 100_000 + 50 + 8 + 1
    worker.wait_until(
        lambda: found(clickhouse_url, unique).get("accepted") == counted, 90, "events"
    )

    rejected = {}
    for message in read_all(kafka_address, topics.names(unique).rejected):
        headers = {name: value.decode() for name, value in message.headers()}
        assert headers["topic"] == topics.names(unique).events
        assert headers["partition"] == str(HOME)
        assert headers["message"]
        assert message.key() == offsets[int(headers["offset"])][0].encode()
        rejected[int(headers["offset"])] = (headers["code"], headers["field"])
    wanted = {at: (code, field) for at, (_, code, field) in offsets.items()}
    assert {offsets[at][0]: told for at, told in rejected.items()} == {
        offsets[at][0]: told for at, told in wanted.items()
    }
    assert found(clickhouse_url, unique) == {"accepted": counted}
    rows = connect(clickhouse_url, unique).query(
        "SELECT subject, sum(count), sum(total), sum(outside) FROM usage FINAL WHERE meter = {m:String} GROUP BY subject",
        parameters={"m": ULIDS[0]},
    )
    by_subject = {row[0]: row[1:] for row in rows.result_rows}
    ours = len(REJECTED) + len(COUNTED) + 100_000 + 50 + 1 + 1
    assert by_subject[SUBJECT][0] == ours
    assert float(by_subject[SUBJECT][1]) == len(REJECTED) + total + 100_000 + 50 + 1 + 1
    assert by_subject[SUBJECT][2] == 1e300
    assert by_subject["nul\x00subject"][0] == 1
    assert worker.metric("meterstream_rejected_total") == len(REJECTED)


def found(clickhouse_url, namespace) -> dict[str, int]:
    return events_in_clickhouse(clickhouse_url, namespace)
