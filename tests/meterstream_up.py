"""A `meterstream up` for tests: start, ask, kill, wait."""

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import msgspec
import psutil

from runtime.supervisor import control
from runtime.supervisor.processes import find
from runtime.supervisor.state import read_state

ROOT = Path(__file__).resolve().parents[1]
COMMAND = (sys.executable, "-m", "runtime.cli")


def run(*arguments, timeout=60, cwd=ROOT, **environment):
    """A command that ends by itself."""
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
    )


@dataclass
class Stack:
    """`meterstream up` on a data directory."""

    data_dir: Path
    arguments: tuple = ("--port", "0")
    environment: dict = field(default_factory=dict)
    process: subprocess.Popen | None = None

    @property
    def out(self) -> Path:
        return self.data_dir.parent / f"{self.data_dir.name}.out"

    def start(self):
        with self.out.open("wb") as out:
            self.process = subprocess.Popen(
                [*COMMAND, "up", "--data-dir", str(self.data_dir), *self.arguments],
                stdout=out,
                stderr=subprocess.STDOUT,
                cwd=ROOT,
                env={**os.environ, **self.environment},
                start_new_session=True,
            )
        return self

    def said(self) -> list[str]:
        return self.out.read_text().splitlines()

    def wait(self, condition, what, seconds=90):
        deadline = time.monotonic() + seconds
        while not (found := condition()):
            assert time.monotonic() < deadline, f"no {what} in {seconds} s: {self.said()[-20:]}"
            time.sleep(0.05)
        return found

    def wait_said(self, start, seconds=90):
        def found():
            assert self.process.poll() is None, self.said()
            return next((line for line in self.said() if line.startswith(start)), None)

        return self.wait(found, start, seconds)

    def wait_ready(self):
        return self.wait_said("ready ").removeprefix("ready ")

    def status(self) -> dict[str, dict]:
        """What `meterstream status --json` says, without a new Python each time."""
        parts = msgspec.to_builtins(control.status(self.data_dir))
        return {part["name"]: part for part in parts}

    def pid(self, name) -> int | None:
        """Of the process that runs now, without asking whether it answers."""
        members = {member.name: member for member in read_state(self.data_dir).members}
        process = find(members[name].process)
        return process.pid if process is not None else None

    def wait_all_ready(self, seconds=90):
        def ready():
            parts = self.status()
            return parts if parts and all(part["ready"] for part in parts.values()) else None

        return self.wait(ready, "ready parts", seconds)

    def send_signal(self, number):
        self.process.send_signal(number)

    def stop(self, number=signal.SIGINT):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(60)

    def clean_up(self):
        control.down(self.data_dir)
        if self.process is not None:
            self.process.wait(60)


@contextmanager
def a_stack(data_dir, *arguments, **environment):
    stack = Stack(data_dir, ("--port", "0", *arguments), environment)
    try:
        yield stack
    finally:
        stack.clean_up()


def processes_of(data_dir) -> list[psutil.Process]:
    """Whatever has the directory in its command line or environment."""
    found = []
    for process in psutil.process_iter():
        try:
            text = " ".join(process.cmdline()) + " ".join(process.environ().values())
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
        if str(data_dir) in text and process.pid != os.getpid():
            found.append(process)
    return found


def make_meter(api, slug="seen", event_type="seen"):
    body = {"slug": slug, "aggregation": "COUNT", "eventType": event_type}
    httpx.post(f"{api}/api/v1/meters", json=body, timeout=30).raise_for_status()


def send(api, id, event_type="seen"):
    """Send an event until it is accepted; the id makes repeats harmless."""
    event = {"specversion": "1.0", "id": id, "source": "test", "type": event_type, "subject": "s1"}
    until(lambda: _sent(api, event), f"204 for {id}")


def wait_counted(api, expected, slug="seen"):
    until(lambda: counted(api, slug) == expected, f"{expected} counted")


def counted(api, slug="seen"):
    try:
        answer = httpx.get(f"{api}/api/v1/meters/{slug}/query", timeout=10)
    except httpx.HTTPError:
        return None
    if answer.status_code != 200:
        return None
    return sum(row["value"] for row in answer.json()["data"])


def until(condition, what, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"no {what} in {seconds} s"
        time.sleep(0.05)


def _sent(api, event):
    try:
        answer = httpx.post(
            f"{api}/api/v1/events",
            json=event,
            headers={"content-type": "application/cloudevents+json"},
            timeout=15,
        )
    except httpx.HTTPError:
        return False
    assert answer.status_code in (204, 503), answer.text
    return answer.status_code == 204
