"""Ours: the worker process as it is shipped, on the topic that is full when it starts; and whether its totals are exact."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable

import clickhouse_connect
import httpx
import psutil
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from schemas import state
from schemas.usage_records import is_progress
from tests.benchmarks.events import Totals
from tests.benchmarks.measure import Run, Watch
from tests.benchmarks.stack import COUNT_METER, NAMES, NAMESPACE, SUM_METER, Stack, forget_results
from tests.workers import WorkerProcess

_SAMPLE_S = 0.25
_STAGES = ("decode", "fold", "log", "apply", "sink_block")
_NO_PROGRESS_S = 60.0
_DATABASE = f"t_{NAMESPACE}"


class WrongTotals(Exception):
    """A run lost or repeated something: its speed says nothing."""


class NoProgress(Exception):
    """The worker stopped, or does nothing."""


def run(
    stack: Stack,
    totals: Totals,
    ends: dict[int, int],
    *,
    sink: bool,
    on_progress: Callable[[int], None],
    agents: str = "",
    before_stop: Callable[[WorkerProcess], None] = lambda worker: None,
) -> Run:
    """One worker from an empty state to the end of the topic, `sink`: to the last event readable in ClickHouse."""
    forget_results(stack)
    directory = stack.directory / "worker"
    shutil.rmtree(directory, ignore_errors=True)
    if sink:
        _client(stack, "default").command(f"DROP DATABASE IF EXISTS {_DATABASE}")
        _client(stack, "default").command(f"CREATE DATABASE {_DATABASE}")
    worker = WorkerProcess(
        NAMESPACE,
        directory,
        stack.kafka,
        stack.clickhouse,
        environment={
            "METERSTREAM_WORKER__AGENTS": agents or ("[meter, sink]" if sink else "[meter]")
        },
    )
    worker.start()
    try:
        found = _watch(
            worker, stack, sum(ends.values()), "visible" if sink else "source_next", on_progress
        )
        found.stages = _stages(worker)
        before_stop(worker)
    finally:
        worker.stop()
    _compare("rows of the usage topic", _usage_topic(stack), totals)
    if sink:
        _compare("rows in ClickHouse", _clickhouse(stack), totals)
    return found


def _watch(
    worker: WorkerProcess, stack: Stack, end: int, until: str, on_progress: Callable[[int], None]
) -> Run:
    """Sample until every event is done; the clock starts at the first sample that shows progress."""
    assert worker.process is not None
    watch, first, last, moved = None, 0, -1, time.monotonic()
    while True:
        partitions = worker.status()
        begun = sum((p["source_next"] or 0) >> 20 for p in partitions)
        done = sum((p[until] or 0) >> 20 for p in partitions)
        if watch is None and begun:
            watch, first = (
                Watch(
                    psutil.Process(worker.process.pid),
                    stack.kafka_process,
                    stack.clickhouse_process,
                ),
                begun,
            )
        if watch is not None:
            watch.sample()
        if done == end and watch is not None:
            break
        if done != last:
            last, moved = done, time.monotonic()
            on_progress(done)
        stuck = time.monotonic() - moved > _NO_PROGRESS_S
        if stuck or worker.process.poll() is not None:
            raise NoProgress(f"{done} of {end} events: {worker.log()}")
        time.sleep(_SAMPLE_S)
    seconds, (own, kafka, clickhouse) = watch.spent()
    on_progress(end)
    threads = watch.threads()
    return Run(end - first, seconds, own, watch.memory, kafka, clickhouse, threads=threads)


def _stages(worker: WorkerProcess) -> dict[str, float]:
    """Seconds that the worker's own metrics give for each stage."""
    text = httpx.get(f"http://127.0.0.1:{worker.port}/metrics", timeout=5).text
    found = {}
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        stage = name.removeprefix("meterstream_").removesuffix("_seconds_sum")
        if stage in _STAGES:
            found[stage] = float(value)
    return found


def _compare(what: str, found: tuple[int, int], totals: Totals) -> None:
    if found != (totals.counted, totals.tokens):
        raise WrongTotals(
            f"{what}: {found[0]} events with {found[1]} tokens, sent were {totals.counted} with {totals.tokens}"
        )


def _usage_topic(stack: Stack) -> tuple[int, int]:
    """(events of the COUNT meter, sum of the SUM meter) over the newest value of each row's key."""
    consumer = Consumer(
        {
            "bootstrap.servers": stack.kafka,
            "group.id": "totals",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
        }
    )
    partitions = consumer.list_topics(NAMES.usage, timeout=10).topics[NAMES.usage].partitions
    consumer.assign([TopicPartition(NAMES.usage, p, OFFSET_BEGINNING) for p in partitions])
    rows: dict[bytes, bytes] = {}
    open_ = len(partitions)
    while open_:
        for message in consumer.consume(10_000, timeout=5):
            if message.error():
                open_ -= 1
            else:
                rows[message.key()] = message.value()
    consumer.close()
    sums = {SUM_METER: 0, COUNT_METER: 0}
    for key, value in rows.items():
        if is_progress(key):
            continue
        row = state.decode_row(value)
        meter = state.decode_row_key(key[:-8]).meter
        sums[meter] += row.total if meter == SUM_METER else row.count
    return sums[COUNT_METER], sums[SUM_METER]


def _clickhouse(stack: Stack) -> tuple[int, int]:
    client = _client(stack, _DATABASE)
    ((counted, tokens),) = client.query(
        "SELECT sumIf(count, meter = {c:String}), sumIf(total, meter = {s:String}) FROM usage FINAL",
        parameters={"c": COUNT_METER, "s": SUM_METER},
    ).result_rows
    ((accepted,),) = client.query(
        "SELECT countIf(verdict = 'accepted') FROM events FINAL"
    ).result_rows
    if accepted != counted:
        raise WrongTotals(f"ClickHouse has {accepted} accepted events and counts {counted}")
    return int(counted), int(tokens)


def _client(stack: Stack, database: str):
    host, port = stack.clickhouse.removeprefix("http://").split(":")
    return clickhouse_connect.get_client(
        host=host, port=int(port), database=database, compress=False
    )
