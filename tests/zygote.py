"""Starts workers by forking a process that has imported everything: a kill every second costs no imports every second.

Run as a program it reads a JSON object a line, `{"arguments": [...], "environment": {...}, "log": path}`, and answers
with the child's pid. Children are reaped by the kernel.
"""

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_PR_SET_PDEATHSIG = 1


class Zygote:
    """The program, as tests use it."""

    def __init__(self):
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.zygote"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            text=True,
            bufsize=1,
        )

    def spawn(self, arguments: list[str], environment: dict, log: Path) -> "Forked":
        request = {"arguments": arguments, "environment": environment, "log": str(log)}
        self._process.stdin.write(json.dumps(request) + "\n")
        return Forked(int(self._process.stdout.readline()))

    def close(self):
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()


class Forked:
    """A forked worker; looks like a Popen as far as tests need it. Its exit code is not known."""

    def __init__(self, pid: int):
        self.pid = pid

    def poll(self):
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return -1
        return None

    def wait(self, timeout: float = 60):
        deadline = time.monotonic() + timeout
        while self.poll() is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(f"worker {self.pid}", timeout)
            time.sleep(0.01)
        return -1

    def send_signal(self, number: int):
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self):
        self.send_signal(signal.SIGTERM)

    def kill(self):
        self.send_signal(signal.SIGKILL)


def main():
    import runtime.worker  # noqa: F401 - imported here so that children need not

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        request = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _be_a_worker(**request)
        print(pid, flush=True)  # noqa: T201


def _be_a_worker(arguments: list[str], environment: dict, log: str):
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    ctypes.CDLL(None).prctl(
        _PR_SET_PDEATHSIG, signal.SIGKILL
    )  # a test run that is killed leaves no worker behind
    os.setsid()
    os.environ.update(environment)
    out = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for target, source in ((0, nothing), (1, out), (2, out)):
        os.dup2(source, target)
    from runtime.cli import app

    app(arguments)


if __name__ == "__main__":
    main()
