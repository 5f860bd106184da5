"""Logs: one JSON object a line, with the fields given in `extra`; a warning that comes over and over is thinned out."""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

_STANDARD = frozenset(vars(logging.makeLogRecord({})).keys() | {"message", "asctime", "taskName"})

OURS = ("streams", "tables", "connectors", "api", "runtime")
"""Loggers that speak from the chosen level on; libraries from WARNING on."""

BURST = 5
"""Warnings of one kind that are written one after the other; then one in `PAUSE_S` seconds, with the count of the others."""
PAUSE_S = 10.0
_KINDS_MAX = 500


class JsonLines(logging.Formatter):
    """A record as a line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        fields = {name: value for name, value in vars(record).items() if name not in _STANDARD}
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **fields,
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


@dataclass(slots=True)
class _Kind:
    """Warnings of one kind: how many may still be written since `at`, and how many were not."""

    at: float
    left: int
    suppressed: int = 0


class Thinned(logging.Filter):
    """Lets at most `BURST` warnings or errors of one kind pass in a row, then one in `PAUSE_S` seconds.

    A kind is a logger, a level, a message as it stands in the code, and a kind of exception. The next line of a kind that
    was thinned has `suppressed`: how many lines are missing before it. After a pause without any the burst is whole again.
    Whoever asked for debug gets everything.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._now = now
        self._kinds: OrderedDict[tuple[object, ...], _Kind] = OrderedDict()
        self._lock = threading.Lock()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is written."""
        if record.levelno < logging.WARNING or record.levelno >= logging.CRITICAL:
            return True
        error = record.exc_info[0] if record.exc_info else None
        with self._lock:
            return self._passes((record.name, record.levelno, str(record.msg), error), record)

    def _passes(self, key: tuple[object, ...], record: logging.LogRecord) -> bool:
        now = self._now()
        kind = self._kinds.pop(key, None) or _Kind(now, BURST)
        self._kinds[key] = kind
        if len(self._kinds) > _KINDS_MAX:
            self._kinds.popitem(last=False)
        if now - kind.at >= PAUSE_S:
            kind.left = 1 if kind.suppressed else BURST
        if not kind.left:
            kind.suppressed += 1
            return False
        kind.left -= 1
        kind.at = now
        if kind.suppressed:
            record.suppressed = kind.suppressed
            kind.suppressed = 0
        return True


def set_up_logging(level: str = "info") -> None:
    """Everything to standard error; ours from `level` on, libraries from WARNING on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    if level != "debug":
        handler.addFilter(Thinned())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for ours in OURS:
        logging.getLogger(ours).setLevel(level.upper())
