"""The running product for tests: a worker and an API as processes on the session's Kafka, PostgreSQL and ClickHouse."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from runtime.embedded.service import free_port
from tests import openapi_answers
from tests.workers import ROOT, WorkerProcess


@dataclass
class ApiProcess:
    """`meterstream api` as a child; `environment` is what the configuration says."""

    environment: dict[str, str]
    log_path: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self):
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "runtime.cli", "api", "--port", str(self.port)],
                env={**os.environ, **self.environment},
                cwd=ROOT,
                stdout=log,
                stderr=log,
            )
        return self

    def ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/healthz/ready", timeout=5).status_code == 200
        except httpx.HTTPError:
            return False

    def log(self) -> str:
        return self.log_path.read_text()[-6000:]

    def wait_ready(self, seconds=60):
        wait_until(self.ready, seconds, "ready api", self.log)
        return self

    def stop(self) -> int | None:
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        return self.process.returncode


def wait_until(condition: Callable[[], Any], seconds=30, what="condition", tell=lambda: ""):
    """The first true answer of `condition`."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"no {what} in {seconds} s: {tell()}"
        time.sleep(0.02)
    return found


@dataclass
class Stack:
    """A worker and an API of one namespace; `client` talks to the API."""

    worker: WorkerProcess
    api: ApiProcess
    client: httpx.Client

    def post_events(self, *events: Any, **headers: str) -> httpx.Response:
        """One request with all events as a batch."""
        return self.client.post(
            "/api/v1/events",
            json=list(events),
            headers={"content-type": "application/cloudevents-batch+json", **headers},
        )

    def make_meter(self, slug: str, event_type: str, aggregation="SUM", **more: Any) -> dict:
        """A meter over `$.n`."""
        body = {"slug": slug, "eventType": event_type, "aggregation": aggregation, **more}
        if aggregation != "COUNT":
            body.setdefault("valueProperty", "$.n")
        answer = self.client.post("/api/v1/meters", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def query(self, slug: str, **parameters: Any) -> list[dict]:
        """The rows of a meter's answer."""
        answer = self.client.get(f"/api/v1/meters/{slug}/query", params=parameters)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    def wait_value(self, slug: str, value: float, seconds=30) -> None:
        """Wait until the meter's total is `value`."""

        def reached():
            rows = self.query(slug)
            return rows and rows[0]["value"] == value

        wait_until(
            reached, seconds, f"{slug} = {value}", lambda: f"{self.query(slug)} {self.worker.log()}"
        )


def start_stack(
    namespace: str, folder: Path, kafka: str, postgres: str, clickhouse: str, **environment: str
) -> Stack:
    """Both processes, ready."""
    worker = WorkerProcess(namespace, folder / "worker", kafka, clickhouse)
    worker.environment = dict(environment)
    settings = {
        "METERSTREAM_NAMESPACE": namespace,
        "METERSTREAM_DATA_DIR": str(folder),
        "METERSTREAM_KAFKA__BOOTSTRAP_SERVERS": kafka,
        "METERSTREAM_CLICKHOUSE__URL": clickhouse,
        "METERSTREAM_CLICKHOUSE__DATABASE": f"t_{namespace}",
        "METERSTREAM_POSTGRES__DSN": postgres,
        **environment,
    }
    api = ApiProcess(settings, folder / "api.log")
    stack = Stack(
        worker,
        api,
        httpx.Client(
            base_url=api.url, timeout=30, event_hooks={"response": [openapi_answers.check_sync]}
        ),
    )
    try:
        worker.start()
        api.start()
        worker.wait_ready()
        api.wait_ready()
    except BaseException:
        stop_stack(stack)
        raise
    return stack


def set_clock(stack: Stack, at: datetime | None, *, frozen: bool = False) -> None:
    """The time that rules go by, for a stack with METERSTREAM_TESTING__CLOCK; None: the real one."""
    body = {"now": at and at.isoformat(), "frozen": frozen}
    answer = httpx.put(f"{stack.api.url}/api/v1/testing/clock", json=body, timeout=10)
    assert answer.status_code == 200, answer.text


def stop_stack(stack: Stack) -> None:
    """Stop both."""
    stack.client.close()
    stack.api.stop()
    stack.worker.stop()


@pytest.fixture(scope="session")
def stack(services_dir, kafka_address, postgres_dsn, clickhouse_url):
    """One worker and one API for all tests that only send and ask: they tell themselves apart by `unique` names."""
    running = start_stack(
        "stack", services_dir / "stack", kafka_address, postgres_dsn, clickhouse_url
    )
    yield running
    stop_stack(running)
