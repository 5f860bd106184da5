"""The API process: waits for its services, survives them, finishes what is under way."""

import json
import signal
import socket
import time

import httpx
import pytest

from runtime.embedded.kafka import prepare_kafka
from runtime.embedded.service import free_port
from tests.builders import an_event
from tests.conftest import start, stop
from tests.stack import ApiProcess, wait_until

pytestmark = pytest.mark.integration

PRODUCE_S = 2


def settings(namespace, folder, kafka, postgres, clickhouse):
    return {
        "METERSTREAM_NAMESPACE": namespace,
        "METERSTREAM_DATA_DIR": str(folder),
        "METERSTREAM_KAFKA__BOOTSTRAP_SERVERS": kafka,
        "METERSTREAM_CLICKHOUSE__URL": clickhouse,
        "METERSTREAM_CLICKHOUSE__DATABASE": f"t_{namespace}",
        "METERSTREAM_POSTGRES__DSN": postgres,
        "METERSTREAM_API__PRODUCE_TIMEOUT": f"{PRODUCE_S}s",
    }


def post(url, event=None):
    return httpx.post(
        f"{url}/api/v1/events",
        content=json.dumps(event or an_event()),
        headers={"content-type": "application/json"},
        timeout=30,
    )


def test_kafka_may_come_late_go_and_come_back(tmp_path, postgres_dsn, clickhouse_url, unique):
    port, controller = free_port(), free_port()
    address = f"127.0.0.1:{port}"
    api = ApiProcess(
        settings(unique, tmp_path, address, postgres_dsn, clickhouse_url), tmp_path / "api.log"
    ).start()
    kafka = broker = None
    try:
        wait_until(lambda: alive(api.url), 30, "api that listens", api.log)
        early = httpx.get(f"{api.url}/healthz/ready", timeout=10)
        refused = post(api.url)

        kafka = prepare_kafka(tmp_path / "kafka", port, controller)
        broker = start(kafka, tmp_path)
        api.wait_ready()
        taken = post(api.url)

        broker.kill()
        broker.wait()
        began = time.monotonic()
        down = post(api.url)
        waited = time.monotonic() - began
        not_ready = httpx.get(f"{api.url}/healthz/ready", timeout=10)

        broker = start(kafka, tmp_path)
        wait_until(lambda: post(api.url).status_code == 204, 30, "event taken again", api.log)
        api.wait_ready()
        code = api.stop()
    finally:
        api.stop()
        if kafka is not None and broker is not None:
            stop(kafka, broker)

    assert early.status_code == 503
    assert "kafka" in early.json()["checks"]
    assert (refused.status_code, taken.status_code, down.status_code) == (503, 204, 503)
    assert refused.headers["content-type"] == "application/problem+json"
    assert waited < PRODUCE_S + 2
    assert not_ready.json()["checks"]["kafka"] != "ok"
    assert code == 0


def test_a_process_that_waits_for_its_services_can_be_stopped(
    tmp_path, postgres_dsn, clickhouse_url, unique
):
    nowhere = f"127.0.0.1:{free_port()}"
    api = ApiProcess(
        settings(unique, tmp_path, nowhere, postgres_dsn, clickhouse_url), tmp_path / "api.log"
    ).start()
    wait_until(lambda: alive(api.url), 30, "api that listens", api.log)

    began = time.monotonic()
    code = api.stop()

    assert code == 0
    assert time.monotonic() - began < 15


def alive(url):
    try:
        return httpx.get(f"{url}/healthz/live", timeout=2).status_code == 200
    except httpx.HTTPError:
        return False


def test_a_request_under_way_is_finished_before_the_process_ends(stack, tmp_path):
    api = ApiProcess(stack.api.environment, tmp_path / "api.log").start().wait_ready()
    body = json.dumps(an_event("under-way", source=str(tmp_path))).encode()

    with socket.create_connection(("127.0.0.1", api.port)) as connection:
        connection.sendall(head(len(body)) + body[:20])
        wait_until(lambda: in_flight(api.url) > 0, 10, "request under way", api.log)
        api.process.send_signal(signal.SIGTERM)
        wait_until(lambda: not alive(api.url), 10, "closed door", api.log)
        connection.sendall(body[20:])
        answer = connection.recv(1000)

    assert answer.startswith(b"HTTP/1.1 204")
    assert api.process.wait(20) == 0


def head(length, *more):
    lines = ["POST /api/v1/events HTTP/1.1", "Host: x", "Content-Type: application/json"]
    return ("\r\n".join([*lines, f"Content-Length: {length}", *more]) + "\r\n\r\n").encode()


def in_flight(url):
    text = httpx.get(f"{url}/metrics", timeout=5).text
    (line,) = [one for one in text.splitlines() if one.startswith("meterstream_http_in_flight")]
    return float(line.split()[1])


def test_a_client_that_goes_away_leaves_nothing_behind(stack):
    for part in (b"", b'{"id": ', b"x" * 100_000):
        with socket.create_connection(("127.0.0.1", stack.api.port)) as connection:
            connection.sendall(head(200_000) + part)

    wait_until(lambda: in_flight(stack.api.url) == 0, 10, "nothing in flight", stack.api.log)
    assert post(stack.api.url, an_event("after-the-gone")).status_code == 204
    assert 'status="500"' not in httpx.get(f"{stack.api.url}/metrics", timeout=5).text


def test_a_body_that_is_announced_too_large_is_refused_before_it_is_sent(stack):
    with socket.create_connection(("127.0.0.1", stack.api.port), timeout=10) as connection:
        connection.sendall(head(1 << 40, "Expect: 100-continue"))
        answer = connection.recv(1000)

    assert answer.startswith(b"HTTP/1.1 413")


def test_a_port_that_is_taken_is_said_in_one_line(stack, tmp_path):
    api = ApiProcess(stack.api.environment, tmp_path / "api.log", port=stack.api.port).start()

    assert api.process.wait(30) == 1
    assert f"cannot listen on 127.0.0.1:{stack.api.port}" in api.log()
    assert "change --port or api.port" in api.log()


def test_metrics_count_requests_and_events(stack):
    def value(name):
        text = stack.client.get("/metrics").text
        return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(name))

    taken = value("meterstream_http_events_accepted_total")
    refused = value(
        'meterstream_http_requests_total{method="POST",route="/api/v1/events",status="400"}'
    )

    stack.post_events(an_event("m1", source="metrics"), an_event("m2", source="metrics"))
    stack.post_events({})

    assert value("meterstream_http_events_accepted_total") == taken + 2
    assert (
        value('meterstream_http_requests_total{method="POST",route="/api/v1/events",status="400"}')
        == refused + 1
    )
    assert value("meterstream_http_produce_seconds_count") > 0
