"""The demo's own stack: `meterstream up` as a child on a data directory of its own."""

from __future__ import annotations

import ctypes
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtime.demo.errors import DemoProblem

_STOP_S = 60
_PROBLEM = "meterstream: "
"""Begins the message with which `up` gives up."""
_MARK = "DEMO"
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Where things are: the API's URL, Kafka's bootstrap servers, the worker's URL."""

    api: str
    kafka: str
    worker: str


class Stack:
    """Starts fresh, stops whole."""

    def __init__(self, data_dir: Path, *, keep: bool) -> None:
        self.data_dir = data_dir
        self._keep = keep
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Begin to come up, on an empty data directory. A stack that an earlier demo left there is stopped first."""
        try:
            self._clear()
        except OSError as error:
            raise DemoProblem(
                f"{self.data_dir}: {error.strerror}: name another with --data-dir"
            ) from error
        self._process = subprocess.Popen(
            [*_COMMAND, "up", "--data-dir", str(self.data_dir), "--port", "0"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            preexec_fn=None if self._keep or sys.platform != "linux" else _die_with_parent,
        )

    def _clear(self) -> None:
        """Remove what an earlier demo left; a directory that is not a demo's is never touched."""
        mark = self.data_dir / _MARK
        if self.data_dir.exists() and not mark.exists() and any(self.data_dir.iterdir()):
            raise DemoProblem(
                f"{self.data_dir} was not made by a demo, which would delete it: name another with --data-dir"
            )
        if mark.exists():
            subprocess.run(
                [*_COMMAND, "down", "--data-dir", str(self.data_dir)],
                capture_output=True,
                check=False,
            )
            shutil.rmtree(self.data_dir)
        self.data_dir.mkdir(parents=True, exist_ok=True)
        mark.write_text("Made by `meterstream demo`, which deletes this directory.\n")

    def wait_ready(self, say: Callable[[str], None]) -> Addresses:
        """Pass on what `up` says until it is ready."""
        assert self._process is not None
        assert self._process.stdout is not None
        problem: list[str] = []
        for line in self._process.stdout:
            line = line.rstrip()
            if line.startswith("ready "):
                return self._addresses(line.removeprefix("ready "))
            if problem or line.startswith(_PROBLEM):
                problem.append(line.removeprefix(_PROBLEM))
            else:
                say(line)
        raise DemoProblem("\n".join(problem) or "meterstream up ended without a word")

    def _addresses(self, api: str) -> Addresses:
        done = subprocess.run(
            [*_COMMAND, "status", "--json", "--data-dir", str(self.data_dir)],
            capture_output=True,
            text=True,
            check=True,
        )
        found: dict[str, Any] = {
            one["role"]: one["address"] for one in reversed(json.loads(done.stdout))
        }
        return Addresses(api=api, kafka=found["kafka"], worker=found["worker"])

    def stop(self, *, forget: bool) -> None:
        """Stop it, unless it is to be kept; `forget`: its data and logs, too."""
        process = self._process
        if process is None or self._keep:
            return
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if forget:
            shutil.rmtree(self.data_dir, ignore_errors=True)


_COMMAND = (sys.executable, "-m", "runtime.cli")


def _die_with_parent() -> None:
    """In the child: a demo that is killed takes its stack with it (Linux)."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
