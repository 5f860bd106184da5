"""Times a peer from inside: the clock starts at its first event. Only psutil and the standard library, for any environment."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import psutil


class Clock:
    """From the first event of a peer to its end; `wanted` is how many records it reads."""

    def __init__(self, wanted: int, kafka_pid: int) -> None:
        self.seen = 0
        self._wanted = wanted
        self._process = psutil.Process()
        self._kafka = psutil.Process(kafka_pid)
        self._started = self._cpu = self._kafka_cpu = 0.0
        self._memory: list[float] = []

    def take(self) -> bool:
        """Count a record; True when it was the last one."""
        self.seen += 1
        if self.seen == 1:
            self._started = time.monotonic()
            self._cpu, self._kafka_cpu = time.process_time(), _cpu(self._kafka)
        if not self.seen % 1000:
            self._memory.append(self._process.memory_info().rss / (1 << 20))
        return self.seen == self._wanted

    def stop(self) -> dict[str, Any]:
        """The figures up to now."""
        return {
            "events": self.seen,
            "seconds": time.monotonic() - self._started,
            "cpu_s": time.process_time() - self._cpu,
            "kafka_cpu_s": _cpu(self._kafka) - self._kafka_cpu,
            "memory": self._memory,
        }


def report(figures: dict[str, Any], *, counted: int, tokens: int | None = None) -> None:
    """Print one JSON object: the figures, and the totals that the peer came to."""
    print(json.dumps({**figures, "counted": counted, "tokens": tokens}), flush=True)  # noqa: T201


def arguments() -> tuple[str, str, int, str, int]:
    """Servers, topic, records to read, a directory of its own, Kafka's process."""
    _, servers, topic, wanted, directory, kafka_pid = sys.argv
    return servers, topic, int(wanted), directory, int(kafka_pid)


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system
