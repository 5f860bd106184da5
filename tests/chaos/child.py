"""A process of the cluster: started, killed, put to sleep, started again on the same data."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path

from runtime.embedded.service import Service
from tests.chaos.guard import Guard
from tests.workers import ROOT
from tests.zygote import Forked, Zygote

_POLL_S = 0.2
_ANSWER_S = 2.0


class Child(ABC):
    """`wanted`: it should be running, and a supervisor starts it again when it has ended by itself."""

    def __init__(self, name: str, data_dir: Path, log_path: Path, guard: Guard):
        self.name, self.data_dir, self.log_path = name, data_dir, log_path
        self.wanted = False
        self._guard = guard
        self._process: subprocess.Popen | Forked | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None, f"{self.name} was never started"
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        assert not self.alive, f"{self.name} runs"
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        self._process = self._spawn()
        self._guard.watch(self.pid)
        self.wanted = True

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send a signal; after SIGKILL it is gone when this returns. The supervisor leaves it alone until `start`."""
        if not self.alive:
            return
        if number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT):
            self.wanted = False
        os.kill(self.pid, number)
        if number == signal.SIGKILL:
            self._gone(30)

    def stop(self, seconds: float = 30) -> None:
        """As an operator stops it; killed when it takes longer."""
        self.wanted = False
        if not self.alive:
            return
        os.kill(self.pid, self.stop_signal)
        try:
            self._gone(seconds)
        except subprocess.TimeoutExpired:
            os.kill(self.pid, signal.SIGKILL)
            self._gone(30)

    def wait_ready(self, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while not self.ready():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.name} not ready in {seconds} s: {self.log_tail()}")
            time.sleep(_POLL_S)

    def log_tail(self, size: int = 4000) -> str:
        if not self.log_path.exists():
            return ""
        return self.log_path.read_bytes()[-size:].decode(errors="replace")

    stop_signal: int = signal.SIGTERM

    @abstractmethod
    def ready(self) -> bool:
        """Whether it does its work."""

    @abstractmethod
    def _spawn(self) -> subprocess.Popen | Forked:
        """Start the process."""

    def _gone(self, seconds: float) -> None:
        pid = self.pid
        self._process.wait(seconds)
        self._guard.forget(pid)


class ServiceChild(Child):
    """Kafka, PostgreSQL or ClickHouse's engine. `prepare` is called before each start, as the supervisor does."""

    def __init__(
        self, name: str, prepare: Callable[[], Service], data_dir: Path, logs: Path, guard: Guard
    ):
        super().__init__(name, data_dir, logs / f"{name}.log", guard)
        self._prepare = prepare
        self.service = prepare()
        self.stop_signal = self.service.stop_signal

    def ready(self) -> bool:
        return self.alive and self.service.answers()

    def _spawn(self) -> subprocess.Popen:
        self.service = self._prepare()
        with self.log_path.open("ab") as log:
            return subprocess.Popen(
                self.service.command,
                env={**os.environ, **self.service.environment},
                stdout=log,
                stderr=log,
                cwd=self.service.directory or ROOT,
                user=self.service.user,
                start_new_session=True,
            )


class MemberChild(Child):
    """A worker or an api, forked from the zygote: `meterstream ARGUMENTS` with a configuration in the environment."""

    def __init__(
        self,
        name: str,
        arguments: list[str],
        port: int,
        environment: Mapping[str, str],
        data_dir: Path,
        log_path: Path,
        guard: Guard,
        zygote: Zygote,
    ):
        super().__init__(name, data_dir, log_path, guard)
        self.port = port
        self.environment = dict(environment)
        self._arguments = arguments
        self._zygote = zygote

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ready(self) -> bool:
        return self._get("/healthz/ready") is not None

    def status(self) -> list[dict]:
        """Partitions of a worker: partition, source_next, visible; nothing when it does not answer."""
        answer = self._get("/status")
        return [] if answer is None else json.loads(answer)["partitions"]

    def _get(self, path: str) -> bytes | None:
        """The body of a good answer. Without a library: a client of its own for each question would cost the run more than the load does."""
        if not self.alive:
            return None
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_ANSWER_S)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()
        return body if answer.status == 200 else None

    def _spawn(self) -> Forked:
        return self._zygote.spawn(
            [*self._arguments, "--port", str(self.port)], self.environment, self.log_path
        )
