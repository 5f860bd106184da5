"""Ends what a run started even when the run itself is killed: it reads pids from its input and kills them when that ends."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class Guard:
    """As a run uses it: `watch` each process; `close` once all have stopped. `directory` goes in the end, unless it is to be kept."""

    def __init__(self, directory: Path, *, keep: bool = False):
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.guard", "" if keep else str(directory)],
            stdin=subprocess.PIPE,
            cwd=ROOT,
            text=True,
            bufsize=1,
            start_new_session=True,
        )

    def watch(self, pid: int) -> None:
        self._process.stdin.write(f"+{pid}\n")

    def forget(self, pid: int) -> None:
        """It has ended: its number may be another's soon."""
        self._process.stdin.write(f"-{pid}\n")

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait(30)


def main(directory: str) -> None:
    watched: set[int] = set()
    for line in sys.stdin:
        pid = int(line[1:])
        watched = watched | {pid} if line[0] == "+" else watched - {pid}
    for pid in watched:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    if directory:
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1])
