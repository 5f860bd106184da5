"""How long a worker with an empty disk takes to bring a state of 10,000,000 rows back from its changelog.

`python -m tests.benchmarks.restore [--rows N]`. The changelog is written by the product's own code to a real Kafka
(`tests/benchmarks/changelog.py`); a worker process is started and watched until it is ready. What it restored is compared
with what was written. See docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

from connectors.kafka.partition_reader import Options, PartitionReader
from schemas import state
from tables.store import PartitionStore, SharedMemory, StoreOptions
from tests.benchmarks import changelog, table
from tests.benchmarks.changelog import Changelog
from tests.benchmarks.events import PARTITIONS
from tests.benchmarks.measure import Watch
from tests.benchmarks.ours import WrongTotals
from tests.benchmarks.stack import NAMES, NAMESPACE, Stack, make_topics, running
from tests.workers import WorkerProcess

_SAMPLE_S = 0.25
_PATIENCE_S = 280


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """`ready_s` counts from the start of the process, `restore_s` is the worker's own clock; memory in MiB."""

    rows: int
    ids: int
    ready_s: float
    restore_s: float
    cpu_s: float
    kafka_cpu_s: float
    peak_mib: float
    disk_mib: float


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.restore", description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000, help="rows of the state")
    parser.add_argument("--json", type=Path, help="the figures go to this file")
    parser.add_argument("--profile", type=Path, help="py-spy records the worker into this file")
    chosen = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="meterstream-restore-", ignore_cleanup_errors=True) as d,
        running(Path(d)) as stack,
    ):
        console = Console(width=None if sys.stdout.isatty() else 160)
        made_at = time.monotonic()
        written = _write(stack, chosen.rows)
        console.print(f"changelog written in {time.monotonic() - made_at:.0f} s")
        found = run(stack, written, chosen.profile)
    _show(console, found)
    if chosen.json:
        chosen.json.write_text(json.dumps({name: getattr(found, name) for name in found.__slots__}))


def _write(stack: Stack, rows: int) -> Changelog:
    make_topics(stack)
    reader = PartitionReader(Options(bootstrap_servers=stack.kafka))
    topic_id = asyncio.run(reader.topic_id(NAMES.events))
    written = Changelog(kafka=stack.kafka, topic_id=topic_id, events=rows // (2 * PARTITIONS))
    changelog.write(written)
    return written


def run(stack: Stack, written: Changelog, profile: Path | None = None) -> Restored:
    """A worker from nothing to ready, compared with what was written."""
    directory = stack.directory / "restored"
    worker = WorkerProcess(
        NAMESPACE,
        directory,
        stack.kafka,
        stack.clickhouse,
        environment={"METERSTREAM_WORKER__AGENTS": "[meter]"},
    )
    worker.start()
    assert worker.process is not None
    profiler = None
    try:
        watch = Watch(psutil.Process(worker.process.pid), stack.kafka_process)
        if profile:
            command = [str(Path(sys.executable).parent / "py-spy"), "record", "--pid", str(worker.process.pid), "--output", str(profile), "--format", "raw", "--rate", "50", "--native"]  # fmt: skip
            profiler = psutil.Popen(command)
        deadline = time.monotonic() + _PATIENCE_S
        while not worker.ready():
            watch.sample()
            if worker.process.poll() is not None or time.monotonic() > deadline:
                raise WrongTotals(f"no restored worker: {worker.log()}")
            time.sleep(_SAMPLE_S)
        ready_s, (cpu_s, kafka_cpu_s) = watch.spent()
        watch.sample()
        restore_s = worker.metric("meterstream_restore_seconds_sum")
        stood = {p["partition"]: p["source_next"] for p in worker.status()}
        disk = sum(file.stat().st_size for file in directory.rglob("*.sst"))
    finally:
        worker.stop()
        if profiler is not None:
            profiler.wait(20)
    if stood != dict.fromkeys(range(PARTITIONS), written.chunks << 20):
        raise WrongTotals(f"restored to {stood}, written were {written.chunks} chunks each")
    rows, ids = _compare(directory / worker.name / "state", written)
    return Restored(
        rows=rows,
        ids=ids,
        ready_s=ready_s,
        restore_s=restore_s,
        cpu_s=cpu_s,
        kafka_cpu_s=kafka_cpu_s,
        peak_mib=max(watch.memory),
        disk_mib=disk / (1 << 20),
    )


def _compare(home: Path, written: Changelog) -> tuple[int, int]:
    """Every row and id of every tenth chunk is there as written, and as many ids as were written; returns both numbers."""
    ids = 0
    memory = SharedMemory(StoreOptions())
    for partition in range(PARTITIONS):
        store = PartitionStore(home / f"{NAMES.events}-{partition}", memory, StoreOptions())
        ids += store.ids
        for chunk in range(0, written.chunks, 10):
            rows = list(changelog.rows_of(written, partition, chunk))
            found = store.rows([key[1:] for _, key, _ in rows])
            seen = changelog.ids_of(written, partition, chunk)
            if found != [(week, value) for week, _, value in rows] or store.seen(
                [key for key, _ in seen]
            ) != [state.unpack_u64(at) for _, at in seen]:
                raise WrongTotals(f"partition {partition}: chunk {chunk} is not as it was written")
        store.close()
    if ids != written.events * PARTITIONS:
        raise WrongTotals(f"{ids} ids restored, {written.events * PARTITIONS} were written")
    return written.rows, ids


def _show(console: Console, found: Restored) -> None:
    figures = {
        "rows": f"{found.rows:,}",
        "ids": f"{found.ids:,}",
        "seconds": f"{found.restore_s:.1f}",
        "from process start, s": f"{found.ready_s:.1f}",
        "rows/s": f"{found.rows / found.restore_s:,.0f}",
        "CPU µs/row": f"{found.cpu_s / found.rows * 1e6:.1f}",
        "Kafka µs": f"{found.kafka_cpu_s / found.rows * 1e6:.1f}",
        "peak MiB": f"{found.peak_mib:,.0f}",
        "state MiB": f"{found.disk_mib:,.0f}",
    }
    shown = Table(title="meterstream restore", title_justify="left")
    for name in figures:
        shown.add_column(name, justify="right", no_wrap=True)
    shown.add_row(*figures.values())
    console.print(shown)
    console.print(table.machine(), soft_wrap=True)


if __name__ == "__main__":
    main()
