"""What is measured of balances, each in a run of its own on the processes as they are shipped. See docs/benchmarks.md."""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import clickhouse_connect
import httpx

from runtime.embedded.postgres import prepare_postgres
from runtime.embedded.service import free_port
from tests.benchmarks.balances import entitled
from tests.benchmarks.stack import (
    NAMESPACE,
    SUM_METER,
    Stack,
    last_json,
    make_topics,
    running,
)
from tests.builders import a_meter_record
from tests.conftest import start, stop
from tests.stack import ApiProcess, wait_until
from tests.workers import ROOT, WorkerProcess

QUERY = "/api/v3/openmeter/entitlement-access/query"
_DATABASE = f"t_{NAMESPACE}"
_CUSTOMERS = 10_000
_PROBES = 20
_WARM_UP_S = 15.0
_RATE = 20_000
_TIMES = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One line of the table. `met` None: there is no target."""

    what: str
    target: str
    measured: str
    met: bool | None


@dataclass(frozen=True, slots=True)
class Product:
    """The api and a worker that run."""

    stack: Stack
    api: ApiProcess
    worker: WorkerProcess

    def child(self, module: str, *arguments: object) -> subprocess.Popen[str]:
        """A load or a probe."""
        return subprocess.Popen(
            [sys.executable, "-m", f"tests.benchmarks.balances.{module}", *map(str, arguments)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


@contextmanager
def product(customers: int, features: int) -> Iterator[Product]:
    """Every service, with so many customers who have every feature."""
    with (
        tempfile.TemporaryDirectory(
            prefix="meterstream-balances-", ignore_cleanup_errors=True
        ) as name,
        running(Path(name)) as stack,
    ):
        make_topics(stack)
        tell(stack, customers, features)
        postgres = prepare_postgres(stack.directory, free_port())
        database = start(postgres, stack.directory)
        settings = {
            "METERSTREAM_NAMESPACE": NAMESPACE,
            "METERSTREAM_DATA_DIR": str(stack.directory),
            "METERSTREAM_KAFKA__BOOTSTRAP_SERVERS": stack.kafka,
            "METERSTREAM_CLICKHOUSE__URL": stack.clickhouse,
            "METERSTREAM_CLICKHOUSE__DATABASE": _DATABASE,
            "METERSTREAM_POSTGRES__DSN": postgres.address,
        }
        api = ApiProcess(settings, stack.directory / "api.log")
        worker = WorkerProcess(NAMESPACE, stack.directory / "worker", stack.kafka, stack.clickhouse)
        worker.environment = {
            "METERSTREAM_SINK__INTERVAL": "200ms",
        }
        make_database(stack)
        try:
            api.start()
            worker.start().wait_ready()
            api.wait_ready()
            keys = customer_keys(customers)
            asyncio.run(
                entitled.store(
                    postgres.address, entitled.customers(keys), entitled.features(features)
                )
            )
            yield Product(stack, api, worker)
        finally:
            api.stop()
            worker.stop()
            stop(postgres, database)


def customer_keys(count: int) -> list[str]:
    """The subjects of the load."""
    return [f"customer-{number:05d}" for number in range(count)]


def make_database(stack: Stack) -> None:
    """Empty, as the worker expects it to be made."""
    host, port = stack.clickhouse.removeprefix("http://").split(":")
    client = clickhouse_connect.get_client(host=host, port=int(port), compress=False)
    client.command(f"DROP DATABASE IF EXISTS {_DATABASE}")
    client.command(f"CREATE DATABASE {_DATABASE}")


def tell(stack: Stack, customers: int, features: int) -> None:
    """Meter, customers, features, entitlements to the catalog topic."""
    keys = customer_keys(customers)
    meter = a_meter_record("tokens", id=SUM_METER, groups={"model": "$.model"}, namespace=NAMESPACE)
    version = entitled.publish(stack.kafka, [meter], 1)
    version = entitled.publish(stack.kafka, entitled.features(features), version)
    version = entitled.publish(stack.kafka, entitled.customers(keys), version)
    entitled.publish(stack.kafka, entitled.entitlements(customers, features), version)


def access(client: httpx.Client, customers: int, features: int) -> httpx.Response:
    """What all these may do, in one call."""
    answer = client.post(
        QUERY,
        params={"page[size]": customers},
        json={
            "customer": {"keys": [f"customer-{number:05d}" for number in range(customers)]},
            "feature": {"keys": [f"feature_{number:03d}" for number in range(features)]},
        },
    )
    assert answer.status_code == 200, answer.text[:2000]
    return answer


def wait_owned(product: Product, customers: int, features: int) -> float:
    """Until the workers answer for all of them; the seconds that it took."""
    began = time.perf_counter()
    with httpx.Client(base_url=product.api.url, timeout=60) as client:
        for first in range(0, customers, 100):
            keys = [
                f"customer-{number:05d}" for number in range(first, min(customers, first + 100))
            ]
            wait_until(
                lambda keys=keys: _all_by_owner(client, keys, features),
                240,
                "balances at the worker",
                product.worker.log,
            )
    return time.perf_counter() - began


def _all_by_owner(client: httpx.Client, keys: list[str], features: int) -> bool:
    names = [f"feature_{number:03d}" for number in range(min(features, 100))]
    answer = client.post(QUERY, params={"page[size]": 100}, json={"customer": {"keys": keys}, "feature": {"keys": names}})  # fmt: skip
    return answer.status_code == 200 and answer.headers.get("meterstream-source") == "owner"


LOADS = ((2_000, "Kafka"), (_RATE, "Kafka"), (_RATE, "HTTP"))
"""Events a second, and how they come: by Kafka one a record, by HTTP 100 a request."""


def latency(seconds: float = 15.0, loads: Sequence[tuple[int, str]] = LOADS) -> list[Measured]:
    """(i) An event's way from its 204 to the balance that has it, while others come."""
    return [_latency(rate, way, seconds) for rate, way in loads]


def _latency(rate: int, way: str, seconds: float) -> Measured:
    with product(_CUSTOMERS + _PROBES, 1) as running_:
        wait_owned(running_, _CUSTOMERS + _PROBES, 1)
        probes = customer_keys(_CUSTOMERS + _PROBES)[_CUSTOMERS:]
        whole = _WARM_UP_S + seconds + 5
        port, subjects = running_.api.port, _CUSTOMERS - 1
        if way == "HTTP":
            load = running_.child("load", port, 16, whole, rate, subjects)
        else:
            load = running_.child("kafka_load", running_.stack.kafka, whole, rate, subjects)
        time.sleep(_WARM_UP_S)
        found = _ended(
            running_.child("probe", port, seconds, ",".join(probes), "feature_000"),
            seconds,
            running_,
        )
        loaded = _ended(load, whole, running_)
    return Measured(
        what=f"event accepted to balance readable at {rate:,} events/s by {way}, {_CUSTOMERS:,} entitlements",
        target="p50 20 ms, p99 100 ms" if rate == _RATE else "",
        measured=f"p50 {found['p50_ms']:.1f}, p99 {found['p99_ms']:.1f}, most {found['most_ms']:.0f} ms, {found['probes']} probes; "
        f"{loaded['rate']:,.0f} events/s; {found['sources']}",
        met=found["p50_ms"] <= 20 and found["p99_ms"] <= 100 if rate == _RATE else None,
    )


def reads(seconds: float = 10.0) -> list[Measured]:
    """(ii) Values at 1,000 requests/s, and (iii) 100 customers x 100 features in one call, on one api process."""
    with product(100, 100) as running_:
        loaded_s = wait_owned(running_, 100, 100)
        sys.stderr.write(f"10,000 entitlements readable at the worker after {loaded_s:.1f} s\n")
        for length in (3.0, seconds):  # the first warms up
            found = _ended(
                running_.child("reading", running_.api.port, 16, length, 1000, 100, 100),
                length,
                running_,
            )
        whole = _whole_calls(running_)
    return [
        Measured(
            what="value read at 1,000 requests/s, 16 connections, one api process",
            target="p99 5 ms",
            measured=f"p50 {found['p50_ms']:.1f}, p99 {found['p99_ms']:.1f}, most {found['most_ms']:.0f} ms; "
            f"{found['rate']:,.0f} answers/s; {found['sources']}",
            met=found["p99_ms"] <= 5,
        ),
        Measured(
            what="100 customers x 100 features in one v3 call",
            target="100 ms (the reference: 1,500 ms)",
            measured=f"median {statistics.median(whole):.0f}, most {max(whole):.0f} ms of {_TIMES}",
            met=statistics.median(whole) <= 100,
        ),
    ]


def _whole_calls(running_: Product) -> list[float]:
    times = []
    with httpx.Client(base_url=running_.api.url, timeout=60) as client:
        for _ in range(_TIMES + 3):
            began = time.perf_counter()
            answer = access(client, 100, 100)
            times.append((time.perf_counter() - began) * 1000)
        shown = [len(one["features"]) for one in answer.json()["data"]]
        assert shown == [100] * 100, shown
        assert answer.headers["meterstream-source"] == "owner"
    return times[3:]


def _ended(child: subprocess.Popen[str], seconds: float, running_: Product) -> dict:
    out, errors = child.communicate(timeout=seconds + 90)
    assert child.returncode == 0, f"{errors}\n{running_.api.log()}\n{running_.worker.log()}"
    found: dict = last_json(out)
    return found


def as_json(found: list[Measured]) -> str:
    return json.dumps([{"what": one.what, "measured": one.measured} for one in found])
