"""`meterstream audit` on real Kafka, ClickHouse and a worker: nothing wrong is nothing found, and one lost row is named."""

import hashlib
import html
import json
import re

import clickhouse_connect
import pytest
from typer.testing import CliRunner

from runtime.cli import app
from tests.builders import ULIDS, a_meter_record, an_event
from tests.workers import EventProducer, WorkerProcess

pytestmark = pytest.mark.integration


@pytest.fixture
def worker(kafka_address, clickhouse_url, unique, tmp_path):
    process = WorkerProcess(unique, tmp_path, kafka_address, clickhouse_url)
    yield process
    process.stop()


def audit(worker, *arguments):
    """The exit code and what it told; as `meterstream audit` in this process, which has everything imported."""
    settings = {
        "METERSTREAM_NAMESPACE": worker.namespace,
        "METERSTREAM_DATA_DIR": str(worker.data_dir),
        "METERSTREAM_KAFKA__BOOTSTRAP_SERVERS": worker.kafka,
        "METERSTREAM_CLICKHOUSE__URL": worker.clickhouse,
        "METERSTREAM_CLICKHOUSE__DATABASE": f"t_{worker.namespace}",
        "METERSTREAM_POSTGRES__DSN": "postgresql://unused",
    }
    done = CliRunner().invoke(app, ["audit", "--json", *arguments], env=settings)
    assert done.stdout, f"{done.exit_code} {done.stderr} {done.exception}"
    return done.exit_code, json.loads(done.stdout)


def send(producer):
    """600 events: 500 new ones, some in arrays, 100 repeats; 20 broken records; 10 in a partition that is not theirs."""
    for i in range(500):
        event = an_event(f"e{i}", subject=f"s{i % 7}", tokens=i)
        if i % 50 == 49:
            producer.send([event, an_event(f"e{i - 1}", subject=f"s{(i - 1) % 7}")], key="s1")
        else:
            producer.send(event)
        if i % 5 == 0 and i % 50:
            producer.send(event)
    for i in range(20):
        producer.send(b'{"id": ' + str(i).encode(), key=f"s{i % 7}")


def test_an_audit_finds_nothing_until_a_row_is_taken_away_and_then_names_it(
    worker, kafka_address, clickhouse_url, unique, tmp_path
):
    worker.start().wait_ready()
    producer = EventProducer(kafka_address, unique)
    producer.publish_meter(a_meter_record(id=ULIDS[0]), 1)
    worker.wait_until(lambda: worker.metric("meterstream_catalog_version") >= 1, what="the meter")
    send(producer)
    worker.wait_visible(producer.flush())

    code, told = audit(worker, "--all")

    assert (code, told["verdict"]) == (0, "equal"), told
    total = told["total"]
    assert total["rejected"] == total["rejectedTopic"] == 20
    assert total["accepted"] == total["clickhouseAccepted"] == 500
    assert total["duplicate"] == total["clickhouseDuplicate"] > 80
    assert total["forwarded"] > 0
    assert total["events"] == (500 + 20 + total["duplicate"] + total["forwarded"])
    (meter,) = told["meters"]
    assert meter["sent"] == meter["clickhouse"] == meter["rows"] == 500

    host, port = clickhouse_url.removeprefix("http://").split(":")
    client = clickhouse_connect.get_client(
        host=host, port=int(port), database=f"t_{unique}", compress=False
    )
    at = client.query(
        "SELECT partition, position FROM events WHERE id = 'e100' AND verdict = 'accepted'"
    ).result_rows[0]
    client.command("DELETE FROM events WHERE id = 'e100' AND verdict = 'accepted'")
    page = tmp_path / "audit.html"
    code, told = audit(worker, "--report", str(page))

    assert code == 5
    assert told["differencesByKind"] == {"lost": 1}
    (lost,) = told["differences"]
    assert (lost["kind"], lost["id"], lost["subject"]) == ("lost", "e100", "s2")
    assert (lost["partition"], lost["offset"] << 20 | lost["index"]) == at
    shown = page.read_text()
    inside = html.unescape(re.search(r'<pre id="json">(.*)</pre>', shown, re.S)[1])
    assert json.loads(inside) == told
    assert hashlib.sha256(inside.encode()).hexdigest() in shown
    assert audit(worker, "--subject", "s3")[0] == 0
    assert audit(worker, "--subject", "s2")[0] == 5
