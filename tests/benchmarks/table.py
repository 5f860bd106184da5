"""The benchmark's table, with what one must know to read it: machine, versions, workload."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

from runtime.embedded.jars import KAFKA_VERSION
from tests.benchmarks.contestants import CONTESTANTS
from tests.benchmarks.events import Totals, Workload
from tests.benchmarks.measure import Run

_PACKAGES = ("faust-streaming", "aiokafka", "confluent-kafka", "msgspec", "rocksdict", "chdb")
_ROOT = Path(__file__).resolve().parents[2]


def show(
    console: Console,
    runs: dict[str, Run],
    workload: Workload,
    totals: Totals,
    parts: dict[str, int | None],
) -> None:
    """Print everything."""
    found = Table(title="meterstream benchmark", title_justify="left")
    for name in (
        "run",
        "events/s",
        "CPU µs/event",
        "Kafka µs",
        "ClickHouse µs",
        "peak MiB",
        "MiB start / mid / end",
        "of (a)",
        "to (b)",
        "totals",
    ):
        found.add_column(name, justify="left" if name == "run" else "right", no_wrap=True)
    for letter, run in runs.items():
        found.add_row(
            f"({letter}) {CONTESTANTS[letter].name}",
            f"{run.rate:,.0f}",
            _number(run.cpu_us(run.cpu_s)),
            _number(run.cpu_us(run.kafka_cpu_s)),
            _number(run.cpu_us(run.clickhouse_cpu_s)),
            f"{max(run.memory):,.0f}",
            " / ".join(f"{mib:,.0f}" for mib in run.memory_start_mid_end),
            _ratio(run, runs.get("a"), "{:.2f}"),
            _ratio(run, runs.get("b"), "{:.1f}x"),
            _totals(letter, run),
        )
    console.print(found)
    for letter, run in runs.items():
        if run.threads:
            console.print(f"({letter}) µs/event: {_split(run)}", soft_wrap=True)
    console.print(
        f"{totals.sent:,} records ({totals.sent - totals.counted:,} sent twice), {totals.bytes / totals.sent:.0f} bytes each, "
        f"{workload.subjects:,} subjects with {'equal' if workload.even else 'uneven (1/k)'} shares, {workload.minutes:g} minutes of "
        f"event time. {_read_parts(runs, parts, totals)}"
    )
    console.print(machine(), soft_wrap=True)


def _split(run: Run) -> str:
    """CPU by kind of thread, and the worker's own clocks for its stages (wall time, so they overlap)."""
    cpu = [f"{kind} {run.cpu_us(spent):.1f}" for kind, spent in sorted(run.threads.items())]
    stages = [f"{name} {run.cpu_us(spent):.1f}" for name, spent in run.stages.items() if spent]
    return f"CPU of threads: {', '.join(cpu)}; stages by the clock: {', '.join(stages)}"


def machine() -> str:
    """Processor, memory, system, versions, commit."""
    versions = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    return (
        f"{os.cpu_count()} cores of {_processor()}, {psutil.virtual_memory().total / (1 << 30):.0f} GiB, {platform.system()} "
        f"{platform.release()}, Python {platform.python_version()}, Kafka {KAFKA_VERSION}, {versions}, commit {_commit()}"
    )


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _commit() -> str:
    asked = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=_ROOT, capture_output=True, text=True
    )
    return asked.stdout.strip() or "unknown"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def _totals(letter: str, run: Run) -> str:
    contestant = CONTESTANTS[letter]
    if contestant.module is not None and not contestant.peer:
        return ""  # it adds nothing up
    return run.off or "exact"


def _read_parts(runs: dict[str, Run], parts: dict[str, int | None], totals: Totals) -> str:
    read = [
        f"({letter}) {min(part, totals.sent):,}"
        for letter in runs
        if (part := parts[letter]) is not None
    ]
    return f"Of these records read: {', '.join(read)}; the others all." if read else ""


def _ratio(run: Run, other: Run | None, form: str) -> str:
    return "" if other is None else form.format(run.rate / other.rate)
