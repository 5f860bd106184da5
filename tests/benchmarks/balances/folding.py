"""(v) What balances cost the fold: one worker with its sink, the same events, without entitlements and with three for every
customer, in one run. Afterwards every balance must come to what the events come to.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import httpx
import msgspec
from rich.progress import Progress

from schemas.balances import Ask, Question, Told
from tests.benchmarks import ours
from tests.benchmarks.balances import entitled
from tests.benchmarks.balances.measuring import Measured
from tests.benchmarks.events import Totals, Workload, generate
from tests.benchmarks.stack import NAMESPACE, Filled, Stack, fill, running
from tests.workers import WorkerProcess

FEATURES = 3
_LATEST_S = 120.0
_VERSION = 10
"""`fill` has published two meters with versions below it."""


def ratio(events: int = 400_000) -> list[Measured]:
    """Events a second with entitlements, of those without."""
    workload = Workload(events=events)
    with (
        tempfile.TemporaryDirectory(prefix="meterstream-fold-", ignore_cleanup_errors=True) as name,
        running(Path(name)) as stack,
        Progress(disable=True) as progress,
    ):
        filled = fill(stack, workload, progress, set())
        without = _run(stack, filled)
        _entitle(stack, workload)
        settled: list[float] = []
        having = ours.run(
            stack,
            filled.totals,
            filled.ends,
            sink=True,
            agents="[meter, sink, balance]",
            on_progress=lambda done: None,
            before_stop=lambda worker: settled.append(_settle(worker, workload)),
        )
    share = having.rate / without.rate
    return [
        Measured(
            what=f"fold with sink, {events:,} events, {FEATURES} entitlements for each of {workload.subjects:,} customers",
            target="70 % of the figure without",
            measured=f"{share:.0%}: {having.rate:,.0f} events/s of {without.rate:,.0f}; CPU {having.cpu_us(having.cpu_s):.1f} µs "
            f"an event of {without.cpu_us(without.cpu_s):.1f}; every balance right {settled[0]:.1f} s after the last event",
            met=share >= 0.7,
        )
    ]


def _run(stack: Stack, filled: Filled):
    return ours.run(stack, filled.totals, filled.ends, sink=True, on_progress=lambda done: None)


def _entitle(stack: Stack, workload: Workload) -> None:
    keys = [f"customer-{number:05d}" for number in range(workload.subjects)]
    version = entitled.publish(stack.kafka, entitled.features(FEATURES), _VERSION)
    version = entitled.publish(stack.kafka, entitled.customers(keys), version)
    entitled.publish(stack.kafka, entitled.entitlements(len(keys), FEATURES), version)


def _settle(worker: WorkerProcess, workload: Workload) -> float:
    """Seconds until every balance is what the events come to."""
    truth = _truth(workload)
    began = time.monotonic()
    left = set(truth)
    while left:
        if time.monotonic() - began > _LATEST_S:
            raise ours.WrongTotals(
                f"{len(left)} customers, e.g. {sorted(left)[:5]}: {worker.log()}"
            )
        for part in _parts(sorted(left), 500):
            left -= _right(worker, part, truth)
        time.sleep(0.1)
    return time.monotonic() - began


def _right(worker: WorkerProcess, keys: list[str], truth: dict[str, int]) -> set[str]:
    ask = Ask(questions=tuple(Question(customer=key) for key in keys))
    answer = httpx.post(
        f"http://127.0.0.1:{worker.port}/internal/balances",
        content=msgspec.msgpack.encode(ask),
        headers={"content-type": "application/msgpack", "meterstream-namespace": NAMESPACE},
        timeout=60,
    )
    assert answer.status_code == 200, answer.text
    told = msgspec.msgpack.decode(answer.content, type=Told)
    return {
        key
        for key, one in zip(keys, told.answers, strict=True)
        if one.why is None and [value.usage for value in one.values] == [truth[key]] * FEATURES
    }


def _parts(keys: list[str], size: int) -> list[list[str]]:
    return [keys[first : first + size] for first in range(0, len(keys), size)]


def _truth(workload: Workload) -> dict[str, int]:
    """Tokens of each customer; an event sent twice counts once."""
    found = {f"customer-{number:05d}": 0 for number in range(workload.subjects)}
    seen = set()
    for subject, value in generate(workload, Totals()):
        event = msgspec.json.decode(value)
        if event["id"] not in seen:
            seen.add(event["id"])
            found[subject] += event["data"]["tokens"]
    return found


if __name__ == "__main__":
    for one in ratio():
        sys.stdout.write(f"{one}\n")
