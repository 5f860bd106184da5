"""Every way in on real Kafka: JSON, binary mode, Avro, the raw topic and a registry count alike and are shown alike."""

import msgspec
import pytest
from confluent_kafka import Producer

from schemas import topics
from schemas.avro_schemas import DIRECTORY
from schemas.partitioner import partition_of
from tests.avro_events import VERSION_1, VERSION_2, confluent, single_object
from tests.builders import NOON, a_meter_record, an_event
from tests.schema_registry import schema_registry as schema_registry
from tests.topics import read_all
from tests.workers import EventProducer, WorkerProcess
from tests.workload import connect, events_in_clickhouse

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

SUBJECT = "subject-1"
HOME = partition_of(SUBJECT.encode(), 4)
REGISTERED = 7
DATA = '{"tokens":1}'


def in_avro(id: str, data=DATA) -> dict:
    return {
        "id": id,
        "source": "test",
        "type": "request",
        "subject": SUBJECT,
        "time": NOON,
        "data": data,
    }


def headers(id: str, **more) -> list[tuple[str, str | bytes]]:
    attributes = {
        "ce_specversion": "1.0",
        "ce_id": id,
        "ce_source": "test",
        "ce_type": "request",
        "ce_subject": SUBJECT,
        "ce_time": "2026-03-05T12:00:00Z",
        "content-type": "application/json",
    }
    return list((attributes | more).items())


WAYS = {
    "json": (msgspec.json.encode(an_event("json", subject=SUBJECT, tokens=1)), []),
    "structured": (
        msgspec.json.encode(an_event("structured", subject=SUBJECT, tokens=1)),
        [("content-type", "application/cloudevents+json; charset=utf-8")],
    ),
    "binary": (DATA.encode(), headers("binary")),
    "single": (single_object(VERSION_1, in_avro("single")), []),
    "confluent": (confluent(VERSION_2, in_avro("confluent", {"tokens": 1})), []),
    "registry": (confluent(VERSION_2, in_avro("registry", {"tokens": 1}), REGISTERED), []),
}
REJECTED = {
    "unknown id": (b"\x00\x00\x00\x00\x63rest", [], "avro_schema_unknown"),
    "unknown fingerprint": (b"\xc3\x01" + b"\x07" * 10, [], "avro_schema_unknown"),
    "cut": (single_object(VERSION_1, in_avro("cut"))[:-3], [], "avro_malformed"),
    "binary without subject": (
        DATA.encode(),
        [h for h in headers("bad") if h[0] != "ce_subject"],
        "not_a_cloudevent",
    ),
    "binary that is not JSON": (b"<a/>", headers("xml"), "data_not_object"),
    "binary of another type": (
        b"x",
        headers("type", **{"content-type": "text/plain"}),
        "datacontenttype_unknown",
    ),
}


class AnyProducer:
    """A producer with a key and a partitioner of its own."""

    def __init__(self, kafka: str):
        self._producer = Producer({"bootstrap.servers": kafka, "log_level": 0})
        self.sent = 0

    def send(self, topic: str, value: bytes, more, partition: int, key: str = "any key"):
        self._producer.produce(topic, value, key, partition, headers=more)
        self.sent += 1

    def flush(self):
        assert self._producer.flush(30) == 0


@pytest.fixture
def worker(kafka_address, clickhouse_url, schema_registry, unique, tmp_path):
    process = WorkerProcess(
        unique,
        tmp_path,
        kafka_address,
        clickhouse_url,
        environment={"METERSTREAM_AVRO__REGISTRY_URL": schema_registry.url},
    )
    yield process
    process.stop()


def test_every_way_in_counts_once_and_is_listed_like_json(
    worker, kafka_address, clickhouse_url, schema_registry, unique
):
    names = topics.names(unique)
    schema_registry.store(REGISTERED, (DIRECTORY / VERSION_2).read_text())
    worker.start(METERSTREAM_WORKER__AGENTS='["meter","route"]').wait_ready()
    EventProducer(kafka_address, unique).publish_meter(a_meter_record(), 1)
    worker.wait_until(lambda: worker.metric("meterstream_catalog_version") == 1, what="meter")
    producer = AnyProducer(kafka_address)

    for name, (value, more) in WAYS.items():
        producer.send(names.events, value, more, HOME, key=name)
        producer.send(names.events_raw, value, more, (HOME + 1) % 4, key=name)  # counts no more
    for name, (value, more, _) in REJECTED.items():
        producer.send(names.events, value, more, HOME, key=name)
        producer.send(names.events_raw, value, more, (HOME + 1) % 4, key=name)
    producer.flush()
    worker.wait_until(lambda: judged(worker) == 2 * len(WAYS), what="every event twice")
    worker.wait_until(
        lambda: len(read_all(kafka_address, names.rejected)) == 2 * len(REJECTED),
        what="rejected records",
    )
    worker.stop()
    worker.start().wait_ready()  # with the sink: it reads everything again
    worker.wait_until(
        lambda: events_in_clickhouse(clickhouse_url, unique).get("accepted") == len(WAYS),
        what="events",
    )

    client = connect(clickhouse_url, unique)
    rows = client.query(
        "SELECT id, source, type, subject, time, data FROM events FINAL WHERE verdict = 'accepted'"
    ).result_rows
    assert sorted(row[0] for row in rows) == sorted(WAYS)
    assert {(*row[1:4], row[4].replace(tzinfo=None)) for row in rows} == {
        ("test", "request", SUBJECT, NOON.replace(tzinfo=None))
    }
    assert {row[5] for row in rows} == {DATA}
    totals = client.query("SELECT sum(count), sum(total) FROM usage FINAL").result_rows
    assert [tuple(map(int, row)) for row in totals] == [(len(WAYS), len(WAYS))]
    told = {
        (m.key().decode(), dict(m.headers())["topic"].decode()): m
        for m in read_all(kafka_address, names.rejected)
    }
    assert {key: dict(message.headers())["code"].decode() for key, message in told.items()} == {
        (name, rejected_from(names, name, topic)): code
        for name, (_, _, code) in REJECTED.items()
        for topic in (names.events, names.events_raw)
    }
    for (name, _), message in told.items():
        value, more, _ = REJECTED[name]
        assert message.value() == value
        assert set(more) <= {(n, (v or b"").decode()) for n, v in message.headers()}


def judged(worker) -> float:
    """Events that the meter saw as its own; each came by two ways."""
    return sum(
        worker.metric(f'meterstream_events_total{{verdict="{verdict}"}}')
        for verdict in ("accepted", "duplicate")
    )


def rejected_from(names, name: str, topic: str) -> str:
    """A record of an id that only a registry may know is handed over and refused where it went."""
    return names.events_raw if name == "unknown id" else topic


def test_a_registry_that_is_down_loses_nothing_and_does_not_stop_counting(
    worker, kafka_address, clickhouse_url, schema_registry, unique
):
    names = topics.names(unique)
    schema_registry.status = 503
    worker.start().wait_ready()
    producer = AnyProducer(kafka_address)
    value, more = WAYS["registry"]

    producer.send(names.events, value, more, HOME)
    producer.send(names.events, *WAYS["json"], HOME)
    producer.flush()
    worker.wait_until(
        lambda: events_in_clickhouse(clickhouse_url, unique).get("accepted") == 1, what="JSON"
    )
    worker.wait_until(
        lambda: worker.metric("meterstream_route_waiting_partitions") == 1, what="waiting"
    )
    worker.kill()
    worker.start().wait_ready()
    worker.wait_until(
        lambda: worker.metric("meterstream_route_waiting_partitions") == 1, what="waiting again"
    )
    schema_registry.store(REGISTERED, (DIRECTORY / VERSION_2).read_text())
    schema_registry.status = 200

    worker.wait_until(
        lambda: events_in_clickhouse(clickhouse_url, unique).get("accepted") == 2, what="Avro"
    )
    assert read_all(kafka_address, names.rejected) == []
