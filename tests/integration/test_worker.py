"""A worker process on real Kafka, RocksDB and ClickHouse's engine: what was sent is what can be read."""

import clickhouse_connect
import pytest

from tests.builders import ULIDS, a_meter_record, an_event
from tests.workers import EventProducer, WorkerProcess

pytestmark = pytest.mark.integration


@pytest.fixture
def worker(kafka_address, clickhouse_url, unique, tmp_path):
    process = WorkerProcess(unique, tmp_path, kafka_address, clickhouse_url)
    yield process
    process.stop()


def totals(clickhouse_url, namespace, table="usage"):
    host, port = clickhouse_url.removeprefix("http://").split(":")
    client = clickhouse_connect.get_client(
        host=host, port=int(port), database=f"t_{namespace}", compress=False
    )
    return {
        row[0]: row[1:]
        for row in client.query(
            f"SELECT subject, sum(count), sum(total) FROM {table} FINAL GROUP BY subject"
        ).result_rows
    }


def test_events_are_counted_once_with_duplicates_batches_and_restarts(
    worker, kafka_address, clickhouse_url, unique
):
    worker.start().wait_ready()
    producer = EventProducer(kafka_address, unique)
    producer.publish_meter(a_meter_record(id=ULIDS[0]), 1)

    for i in range(2000):
        event = an_event(f"e{i}", subject=f"s{i % 7}", tokens=i)
        producer.send(event)
        if i % 10 == 0:
            producer.send(event)
    worker.wait_visible(producer.flush())
    worker.stop()
    for i in range(2000, 3000):
        producer.send(
            [
                an_event(f"e{i}", subject="s0", tokens=i),
                an_event(f"e{i - 2000}", subject=f"s{(i - 2000) % 7}", tokens=i),
            ],
            key="s0",
        ) if (i % 7 == 0) else producer.send(an_event(f"e{i}", subject=f"s{i % 7}", tokens=i))
    ends = producer.flush()
    worker.start().wait_ready()
    worker.wait_visible(ends)

    expected = {}
    for i in range(3000):
        count, total = expected.get(f"s{i % 7}" if i < 2000 or i % 7 else "s0", (0, 0))
        expected[f"s{i % 7}" if i < 2000 or i % 7 else "s0"] = (count + 1, total + i)
    assert totals(clickhouse_url, unique) == expected
