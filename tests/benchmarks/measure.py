"""What one run of one contestant gave, and how a process is watched while it runs."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil


@dataclass(slots=True)
class Run:
    """Seconds and CPU seconds for `events` events; memory in MiB, sampled in order over the run."""

    events: int
    seconds: float
    cpu_s: float
    memory: list[float] = field(default_factory=list)
    kafka_cpu_s: float | None = None
    clickhouse_cpu_s: float | None = None
    stages: dict[str, float] = field(default_factory=dict)
    threads: dict[str, float] = field(default_factory=dict)
    off: str | None = None
    """How the totals differ from the truth; None when they are exact or there are none."""

    @property
    def rate(self) -> float:
        """Events a second."""
        return self.events / self.seconds

    def cpu_us(self, cpu_s: float | None) -> float | None:
        """CPU microseconds for each event."""
        return None if cpu_s is None else cpu_s / self.events * 1e6

    @property
    def memory_start_mid_end(self) -> tuple[float, float, float]:
        """MiB when a tenth, a half and all of the run was done."""
        last = len(self.memory) - 1
        return self.memory[last // 10], self.memory[last // 2], self.memory[last]


class Watch:
    """CPU seconds of processes since the watch began, and the resident memory of the first."""

    def __init__(self, *processes: psutil.Process) -> None:
        self._processes = processes
        self._at = time.monotonic()
        self._cpu = [_cpu(p) for p in processes]
        self._threads = _threads(processes[0])
        self.memory: list[float] = []

    def sample(self) -> None:
        """Note the memory of the first process."""
        self.memory.append(self._processes[0].memory_info().rss / (1 << 20))

    def spent(self) -> tuple[float, list[float]]:
        """Seconds since the beginning and CPU seconds of each process."""
        cpu = [_cpu(p) - before for p, before in zip(self._processes, self._cpu, strict=True)]
        return time.monotonic() - self._at, cpu

    def threads(self) -> dict[str, float]:
        """CPU seconds of the first process by kind of thread."""
        return {
            kind: cpu - self._threads.get(kind, 0.0)
            for kind, cpu in _threads(self._processes[0]).items()
        }


def _threads(process: psutil.Process) -> dict[str, float]:
    found: dict[str, float] = {}
    for thread in process.threads():
        name = Path(f"/proc/{process.pid}/task/{thread.id}/comm")
        kind = "main" if thread.id == process.pid else "other"
        if name.exists() and name.read_text().startswith("rocksdb"):
            kind = "rocksdb"
        found[kind] = found.get(kind, 0.0) + thread.user_time + thread.system_time
    return found


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system
