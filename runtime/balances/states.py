"""The states of balance partitions on this worker's disk: a directory for each.

A state whose partition has moved away has a file beside it, as old as the moving. Whether a state fits its topic is for
tables/balances.py to see.
"""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

log = logging.getLogger(__name__)

_LEFT = ".left"


class States:
    """Directories of the partitions of `topic`, under `home`. Times are Unix seconds."""

    def __init__(self, home: Path, topic: str, now_s: Callable[[], float]) -> None:
        self._home = home
        self._topic = topic
        self._name = re.compile(rf"{re.escape(topic)}-(\d+)\Z")
        self._now_s = now_s
        home.mkdir(parents=True, exist_ok=True)

    def path(self, number: int) -> Path:
        """Where the state of a partition is, or is to be."""
        return self._home / f"{self._topic}-{number}"

    def taken_up(self, number: int) -> Path:
        """The path of a state that is used from now on."""
        self._mark(number).unlink(missing_ok=True)
        return self.path(number)

    def left(self, number: int) -> None:
        """The partition has moved away: its state is kept for a while."""
        self._mark(number).touch()

    def destroy(self, number: int) -> None:
        """Delete a state that is not open."""
        shutil.rmtree(self.path(number), ignore_errors=True)
        self._mark(number).unlink(missing_ok=True)

    def in_use(self) -> list[int]:
        """Partitions that were followed until this worker stopped."""
        return [number for number in self._numbers() if not self._mark(number).exists()]

    def sweep(self, keep_s: float) -> None:
        """Delete what was left longer ago than `keep_s`."""
        for number in self._numbers():
            mark = self._mark(number)
            if mark.exists() and self._now_s() - mark.stat().st_mtime > keep_s:
                log.info("balances that moved away are deleted", extra={"partition": number})
                self.destroy(number)

    def _numbers(self) -> Iterator[int]:
        for path in sorted(self._home.iterdir()):
            if path.is_dir() and (found := self._name.match(path.name)):
                yield int(found[1])

    def _mark(self, number: int) -> Path:
        return self._home / f"{self._topic}-{number}{_LEFT}"
