"""docs/producers.md does what it says: every example is run as it stands on the page."""

import os
import re
import shutil
import stat
import subprocess
import sys

import pytest

from tests.stack import start_stack, stop_stack, wait_until
from tests.workers import ROOT

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

PAGE = (ROOT / "docs" / "producers.md").read_text()
EXAMPLES = re.findall(r"^```(sh|python)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
*SENDING, (_, ASKING) = EXAMPLES
NAMESPACE = "producerspage"


@pytest.fixture
def running(tmp_path, kafka_address, postgres_dsn, clickhouse_url):
    stack = start_stack(NAMESPACE, tmp_path, kafka_address, postgres_dsn, clickhouse_url)
    yield stack
    stop_stack(stack)


@pytest.fixture
def tools(tmp_path):
    """The PATH of the examples: where there is no kcat, one that does the same with librdkafka's Python client."""
    if shutil.which("kcat") is None:
        kcat = tmp_path / "bin" / "kcat"
        kcat.parent.mkdir()
        kcat.write_text(f'#!/bin/sh\nexec {sys.executable} {ROOT}/tests/kcat.py "$@"\n')
        kcat.chmod(kcat.stat().st_mode | stat.S_IXUSR)
        return f"{kcat.parent}{os.pathsep}{os.environ['PATH']}"
    return os.environ["PATH"]


def run(kind: str, text: str, running, kafka: str, path: str) -> str:
    text = (
        text.replace("localhost:8888", running.api.url.removeprefix("http://"))
        .replace("localhost:9092", kafka)
        .replace("om_default_", f"om_{NAMESPACE}_")
    )
    command = [sys.executable, "-c", text] if kind == "python" else ["bash", "-euc", text]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
        env={**os.environ, "PATH": path},
    )
    assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_every_example_of_the_page_sends_what_it_says_and_it_counts_once(
    running, kafka_address, tools
):
    (told,) = re.findall(r'"value": (\d+)', ASKING)
    making, *sending = SENDING

    for kind, text in [making, *sending, *sending]:
        run(kind, text, running, kafka_address, tools)

    answer = wait_until(
        lambda: (
            f'"value":{told}' in (found := run("sh", ASKING, running, kafka_address, tools))
            and found
        ),
        what=f"{told} events",
        tell=running.worker.log,
    )

    assert answer.count('"value"') == 1
    items = running.client.get("/api/v1/events", params={"limit": 100}).json()
    assert sorted(int(item["event"]["id"]) for item in items) == list(range(1, int(told) + 1))
    assert {item["event"]["data"]["tokens"] for item in items} == {1}
    assert running.client.get("/api/v1/events/rejected").json()["items"] == []


def test_the_codes_on_the_page_are_those_of_the_code():
    names = set(re.findall(r"^\| (`.*?`) \|", PAGE.split("## What is refused")[1], re.MULTILINE))
    codes = {code for name in names for code in re.findall(r"`(\w+)`", name)}
    source = "".join(
        (ROOT / room / f"{name}.py").read_text()
        for room, name in (
            ("schemas", "avro_records"),
            ("schemas", "avro_schemas"),
            ("schemas", "binary_mode"),
            ("schemas", "cloudevents"),
            ("streams", "routing"),
        )
    )

    assert all(f'"{code}"' in source for code in codes)
    assert set(re.findall(r'"(avro_\w+)"', source)) <= codes
