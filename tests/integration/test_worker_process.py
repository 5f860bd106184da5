"""The worker as a process: how it fails to start, how it stops, how soon it is back, and whose records it can read."""

import re
import signal
import socket
import time

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from runtime.embedded.service import free_port
from schemas import topics
from tests.builders import ULIDS, a_meter_record, an_event
from tests.workers import EventProducer, WorkerProcess
from tests.workload import events_in_clickhouse

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]


@pytest.fixture
def make_worker(clickhouse_url, unique, tmp_path):
    made = []

    def make(kafka, name="worker-1", **environment):
        made.append(
            WorkerProcess(
                unique, tmp_path, kafka, clickhouse_url, name=name, environment=environment
            )
        )
        return made[-1]

    yield make
    for worker in made:
        worker.stop()


def last_line(worker) -> str:
    text = worker.log()
    assert "Traceback" not in text
    return text.strip().splitlines()[-1]


def test_a_kafka_that_does_not_answer_is_one_line_and_exit_code_1(make_worker):
    worker = make_worker(f"127.0.0.1:{free_port()}").start()

    code = worker.wait_dead(60)

    assert code == 1
    assert re.match(r"worker worker-1: Kafka at 127.0.0.1:\d+ does not answer", last_line(worker))


def test_a_topic_with_other_partitions_is_one_line_and_exit_code_1(
    make_worker, kafka_address, unique
):
    admin = AdminClient({"bootstrap.servers": kafka_address, "log_level": 0})
    name = topics.names(unique).events
    admin.create_topics([NewTopic(name, 3, 1)])[name].result(30)

    worker = make_worker(kafka_address).start()
    code = worker.wait_dead(60)

    assert code == 1
    assert f"{name} has 3 partitions, kafka.partitions is 4" in worker.log()
    assert "Traceback" not in worker.log()


def test_a_port_that_is_taken_is_one_line_and_exit_code_1(make_worker, kafka_address):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        worker = make_worker(kafka_address)
        worker.port = taken.getsockname()[1]

        code = worker.start().wait_dead(60)

    assert code == 1
    said = last_line(worker)
    assert f"port {worker.port} for health and metrics: Address already in use" in said
    assert "change --port or worker.port" in said


def test_a_worker_stops_at_once_when_asked_and_is_back_at_once_however_it_ended(
    make_worker, kafka_address, unique
):
    worker = make_worker(kafka_address).start().wait_ready()

    began = time.monotonic()
    worker.process.send_signal(signal.SIGTERM)
    code = worker.wait_dead(20)
    stopping = time.monotonic() - began
    members = len(group(kafka_address, unique).members)
    worker.start().wait_ready()
    worker.kill()
    worker.start().wait_ready()
    restored = re.findall(
        r'"time": "([^"]+)".*"(?:\[\^-App\]: Starting|\[\^---Recovery\]: Worker ready)',
        worker.log(),
    )

    assert code == 0
    assert members == 0
    assert stopping < 6
    assert worker.status()[0]["generation"] >= 1
    assert len(restored) >= 2


@pytest.mark.parametrize("topic", ["changelog", "events"])
def test_a_state_whose_topic_was_made_anew_ends_with_code_2_and_says_where_it_is(
    make_worker, kafka_address, unique, tmp_path, topic
):
    worker = make_worker(kafka_address).start().wait_ready()
    producer = EventProducer(kafka_address, unique)
    producer.send(an_event("a", tokens=1))
    worker.wait_visible(producer.flush())
    worker.stop()
    admin = AdminClient({"bootstrap.servers": kafka_address, "log_level": 0})
    name = getattr(topics.names(unique), topic)
    admin.delete_topics([name])[name].result(30)

    code = worker.start().wait_dead(60)

    assert code == 2
    last = worker.log().strip().splitlines()[-1]
    assert last.startswith("worker worker-1: State")
    assert last.endswith(f"The state is in {tmp_path / 'worker-1' / 'state'}.")


def group(kafka, namespace):
    admin = AdminClient({"bootstrap.servers": kafka, "log_level": 0})
    name = f"meterstream-{namespace}"
    return admin.describe_consumer_groups([name])[name].result(30)


def test_records_are_read_however_their_producer_compresses_them(
    make_worker, kafka_address, clickhouse_url, unique
):
    worker = make_worker(kafka_address).start().wait_ready()

    for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
        producer = EventProducer(kafka_address, unique, compression=codec)
        producer.publish_meter(a_meter_record(id=ULIDS[0]), 1)
        producer.send(an_event(codec, tokens=1, pad="x" * 2_000))
        ends = producer.flush()

    worker.wait_visible(ends)
    assert events_in_clickhouse(clickhouse_url, unique) == {"accepted": 5}
