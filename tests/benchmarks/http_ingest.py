"""How many events a second one api process takes over HTTP, each request answered after Kafka's acknowledgement.

`python -m tests.benchmarks.http_ingest [--seconds S] [--connections 1,16] [--json FILE]`. Batches of 100 events: as fast as
each number of connections goes, and then the last number at 50,000 events/s, for the latency. The load comes from a process of its own (`http_load.py`). What Kafka has in the end is compared with what was answered 204.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
from confluent_kafka import Consumer, TopicPartition
from rich.console import Console
from rich.table import Table

from runtime.embedded.postgres import prepare_postgres
from runtime.embedded.service import free_port
from tests.benchmarks.events import PARTITIONS
from tests.benchmarks.http_load import BATCH_EVENTS
from tests.benchmarks.stack import NAMES, NAMESPACE, Stack, last_json, make_topics, running
from tests.benchmarks.table import machine
from tests.conftest import start, stop
from tests.stack import ApiProcess
from tests.workers import ROOT

_RATE = 50_000
_WARM_UP_S = 15.0
"""The broker's virtual machine is three times slower before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Events over `seconds` on so many connections, `offered` a second (0 = as fast as it goes); CPU in µs an event."""

    connections: int
    offered: int
    events: int
    seconds: float
    p50_ms: float
    p99_ms: float
    api_us: float
    kafka_us: float
    load_us: float

    @property
    def rate(self) -> float:
        """Events a second."""
        return self.events / self.seconds


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.http_ingest", description=__doc__
    )
    parser.add_argument("--seconds", type=float, default=8.0, help="of each measurement")
    parser.add_argument("--connections", type=_numbers, default=[1, 16], help="e.g. 1,16")
    parser.add_argument("--json", type=Path, help="the figures go to this file")
    chosen = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 160)
    found = measure(chosen.connections, chosen.seconds)
    show(console, found)
    if chosen.json:
        chosen.json.write_text(json.dumps([asdict(one) | {"rate": one.rate} for one in found]))


def measure(connections: Sequence[int], seconds: float) -> list[Load]:
    """One measurement for each number of connections, one after the other, on one api process."""
    with (
        tempfile.TemporaryDirectory(prefix="meterstream-http-", ignore_cleanup_errors=True) as name,
        running(Path(name)) as stack,
        _api(stack) as api,
    ):
        warm = _load(stack, api, 16, _WARM_UP_S)
        found = [_load(stack, api, number, seconds) for number in connections]
        found.append(_load(stack, api, connections[-1], seconds, _RATE))
        _compare(stack, sum(one.events for one in (warm, *found)))
    return found


@contextmanager
def _api(stack: Stack) -> Iterator[ApiProcess]:
    """`meterstream api` as it is shipped."""
    make_topics(stack)
    postgres = prepare_postgres(stack.directory, free_port())
    database = start(postgres, stack.directory)
    settings = {
        "METERSTREAM_NAMESPACE": NAMESPACE,
        "METERSTREAM_DATA_DIR": str(stack.directory),
        "METERSTREAM_KAFKA__BOOTSTRAP_SERVERS": stack.kafka,
        "METERSTREAM_CLICKHOUSE__URL": stack.clickhouse,
        "METERSTREAM_POSTGRES__DSN": postgres.address,
    }
    api = ApiProcess(settings, stack.directory / "api.log")
    try:
        api.start().wait_ready()
        yield api
    finally:
        api.stop()
        stop(postgres, database)


def _load(stack: Stack, api: ApiProcess, connections: int, seconds: float, rate: int = 0) -> Load:
    assert api.process is not None
    watched = [psutil.Process(api.process.pid), stack.kafka_process]
    before = [_cpu_s(process) for process in watched]
    ran = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.http_load", str(api.port), str(connections), str(seconds), str(rate)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=seconds + 60,
    )  # fmt: skip
    assert ran.returncode == 0, f"{ran.stderr}\n{api.log()}"
    found = last_json(ran.stdout)
    spent = [_cpu_s(process) - at for process, at in zip(watched, before, strict=True)]
    events = found["answered"] * BATCH_EVENTS
    return Load(
        connections=connections,
        offered=rate,
        events=events,
        seconds=found["seconds"],
        p50_ms=found["p50_ms"],
        p99_ms=found["p99_ms"],
        api_us=spent[0] / events * 1e6,
        kafka_us=spent[1] / events * 1e6,
        load_us=found["cpu_s"] / events * 1e6,
    )


def _cpu_s(process: psutil.Process) -> float:
    found = process.cpu_times()
    return found.user + found.system


def _compare(stack: Stack, answered: int) -> None:
    """Kafka has every event that was answered, once: this load generator never sends again."""
    consumer = Consumer(
        {
            "bootstrap.servers": stack.kafka,
            "group.id": "compare",
            "enable.auto.commit": False,
            "fetch.queue.backoff.ms": 1,
        }
    )
    ends = {
        p: consumer.get_watermark_offsets(TopicPartition(NAMES.events, p))[1]
        for p in range(PARTITIONS)
    }
    consumer.assign([TopicPartition(NAMES.events, p, 0) for p in range(PARTITIONS)])
    wanted, read, events = sum(ends.values()), 0, 0
    deadline = time.monotonic() + 60
    while read < wanted:
        assert time.monotonic() < deadline, f"{read} of {wanted} records read"
        for message in consumer.consume(1000, timeout=0.5):
            assert message.error() is None, message.error()
            read += 1
            events += message.value().count(b'"specversion"')
    consumer.close()
    assert events == answered, f"Kafka has {events} events, {answered} were answered"


def show(console: Console, found: Sequence[Load]) -> None:
    """The table."""
    table = Table(title="HTTP ingest, one api process, batches of 100", title_justify="left")
    for name in (
        "connections",
        "offered",
        "events/s",
        "p50 ms",
        "p99 ms",
        "api µs/event",
        "Kafka µs",
        "load µs",
    ):
        table.add_column(name, justify="right")
    for one in found:
        table.add_row(
            str(one.connections),
            f"{one.offered:,}" if one.offered else "as fast as it goes",
            f"{one.rate:,.0f}",
            f"{one.p50_ms:.1f}",
            f"{one.p99_ms:.1f}",
            f"{one.api_us:.1f}",
            f"{one.kafka_us:.1f}",
            f"{one.load_us:.1f}",
        )
    console.print(table)
    console.print(machine(), soft_wrap=True)


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


if __name__ == "__main__":
    main()
