"""Real services, started once a session and only when a test asks for them."""

import subprocess
import tempfile
import time
import uuid
from pathlib import Path

import pytest
from hypothesis import Phase, settings

from runtime.embedded.clickhouse import prepare_clickhouse
from runtime.embedded.kafka import prepare_kafka
from runtime.embedded.postgres import prepare_postgres
from runtime.embedded.service import Service, free_port
from tests.stack import stack as stack

settings.register_profile(
    "mutation", phases=[Phase.explicit, Phase.generate], max_examples=40, database=None
)
"""For `make mutation`: a broken rule has to be found, not explained, and shrinking takes minutes."""

ROOT = Path(__file__).resolve().parents[1]


def start(service: Service, logs: Path) -> subprocess.Popen:
    """Run a service and wait until it answers."""
    with (logs / f"{service.name}.log").open("ab") as log:
        process = subprocess.Popen(
            service.command,
            stdout=log,
            stderr=log,
            cwd=service.directory or ROOT,
            user=service.user,
            start_new_session=True,
        )
    deadline = time.monotonic() + 60
    while not service.answers():
        if process.poll() is not None or time.monotonic() > deadline:
            pytest.fail(
                f"{service.name} does not answer: {(logs / f'{service.name}.log').read_text()[-2000:]}"
            )
        time.sleep(0.05)
    return process


def stop(service: Service, process: subprocess.Popen) -> None:
    """Stop a service."""
    if process.poll() is None:
        process.send_signal(service.stop_signal)
        try:
            process.wait(service.stop_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture(scope="session")
def services_dir():
    with tempfile.TemporaryDirectory(
        prefix="meterstream-tests-", ignore_cleanup_errors=True
    ) as name:
        yield Path(name)


def _serve(service: Service, logs: Path):
    process = start(service, logs)
    try:
        yield service.address
    finally:
        stop(service, process)


@pytest.fixture(scope="session")
def kafka_address(services_dir):
    yield from _serve(prepare_kafka(services_dir, free_port(), free_port()), services_dir)


@pytest.fixture(scope="session")
def postgres_dsn(services_dir):
    yield from _serve(prepare_postgres(services_dir, free_port()), services_dir)


@pytest.fixture(scope="session")
def clickhouse_url(services_dir):
    yield from _serve(prepare_clickhouse(services_dir, free_port()), services_dir)


@pytest.fixture
def unique():
    """A short name that no other test uses."""
    return uuid.uuid4().hex[:10]
