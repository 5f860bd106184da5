"""What `meterstream up` says: a line at a time, at once, to standard output and with the time to logs/supervisor.log."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from runtime import clock


class Speech:
    """Says lines. A reader that is gone or does not read, or a full disk, must not hold up the stack."""

    def __init__(self) -> None:
        self._log: Path | None = None
        if stat.S_ISFIFO(os.fstat(1).st_mode):
            os.set_blocking(1, False)

    def also_to(self, log: Path) -> None:
        """Keep what is said from now on in `log`."""
        self._log = log

    def __call__(self, line: str) -> None:
        """Say `line`: what one of the two cannot take, the other has."""
        with contextlib.suppress(BlockingIOError, BrokenPipeError):
            os.write(1, f"{line}\n".encode(errors="replace"))
        if self._log is not None:
            said = f"{clock.wall_now().isoformat(timespec='milliseconds')} {line}\n"
            with contextlib.suppress(OSError), self._log.open("a", encoding="utf-8") as file:
                file.write(said)
