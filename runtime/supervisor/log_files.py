"""Log files of the children, bounded: a file that has grown past the bound is copied to NAME.1 and emptied.

The children hold the file open for appending, so they go on writing at its new end; lines written in the very moment of the copy may be
lost. They write it themselves, not through us: a supervisor that is killed does not take their output away.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

_TAIL_BYTES = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFile:
    """A file, its bound in bytes and how many old ones are kept."""

    path: Path
    bytes_max: int
    files_max: int

    def open(self) -> int:
        """A descriptor for a child."""
        self.path.parent.mkdir(exist_ok=True)
        return os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)

    def turn(self) -> None:
        """Make room when it is past its bound."""
        try:
            if self.path.stat().st_size <= self.bytes_max:
                return
        except FileNotFoundError:
            return
        with contextlib.suppress(OSError):  # a full disk: the bound matters more than what is lost
            self._keep_older()
        os.truncate(self.path, 0)

    def last_line(self) -> str:
        """The last line that is not empty."""
        return (self.tail(1) or [""])[-1]

    def tail(self, lines: int) -> list[str]:
        """The last lines that are not empty."""
        try:
            with self.path.open("rb") as file:
                file.seek(max(0, self.path.stat().st_size - _TAIL_BYTES))
                text = file.read().decode(errors="replace")
        except FileNotFoundError:
            return []
        return [line for line in text.splitlines() if line.strip()][-lines:]

    def _keep_older(self) -> None:
        for number in range(self.files_max - 1, 0, -1):
            older = self._numbered(number)
            if older.exists():
                older.replace(self._numbered(number + 1))
        if self.files_max:
            shutil.copyfile(self.path, self._numbered(1))

    def _numbered(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")
