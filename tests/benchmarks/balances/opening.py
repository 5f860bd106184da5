"""(iv) How long a worker takes to open what it keeps of many entitlements: its catalog, and the balances of one partition.

Both are made by the product's own code, each in a process of its own, closed, and opened again with cold caches of ours (the
machine's own file cache is warm, as after a restart of the worker). `tests/benchmarks/balance_partition.py` says more of the second.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

from schemas.catalog import catalog_key, catalog_record, encode_catalog_record
from tables.catalog_store import CatalogStore
from tables.options import SharedMemory, StoreOptions
from tests.benchmarks.balances import entitled
from tests.benchmarks.balances.measuring import Measured
from tests.workers import ROOT

EACH = 3
_PARTITIONS = 4
_TAKEN_AT_ONCE = 500
_PATIENCE_S = 560


@dataclass(frozen=True, slots=True)
class _Fetched:
    offset: int
    key: bytes
    value: bytes


def opening(entitlements: int = 1_000_000) -> list[Measured]:
    """Two lines and what they come to."""
    catalog = _child("tests.benchmarks.balances.opening", str(entitlements))
    balances = _child("tests.benchmarks.balance_partition", str(entitlements))
    opened = [_found(r"opened in ([\d.]+) s", text) for text in (catalog, balances)]
    answer = [_found(r"first answer after ([\d.]+) ms", text) for text in (catalog, balances)]
    begun = _found(r"begun in ([\d.]+) s", balances)
    return [
        Measured(
            what=f"opening a worker's state of {entitlements:,} entitlements after a restart",
            target="10 s",
            measured=f"catalog {opened[0]:.2f} s, balances {opened[1]:.2f} s; first answers after {answer[0]:.0f} and "
            f"{answer[1]:.0f} ms; made in {begun:.0f} s of CPU",
            met=sum(opened) + sum(answer) / 1000 <= 10,
        )
    ]


def _child(module: str, *arguments: str) -> str:
    ran = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=_PATIENCE_S,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def _found(pattern: str, text: str) -> float:
    found = re.search(pattern, text)
    assert found is not None, text
    return float(found[1])


def _records(entitlements: int) -> Iterator[_Fetched]:
    customers = entitlements // EACH
    keys = (f"customer-{number:07d}" for number in range(customers))
    entities = chain(
        entitled.features(EACH),
        entitled.customers(keys),
        entitled.entitlements(customers, EACH),
    )
    for offset, entity in enumerate(entities):
        record = catalog_record(entity, offset + 1)
        yield _Fetched(offset, catalog_key(record), encode_catalog_record(record))


def _catalog(entitlements: int, path: Path) -> None:
    """Fill a catalog, and say how long it takes to open and to answer."""
    store = _opened(path, 0)
    began, end = time.perf_counter(), 0
    records = _records(entitlements)
    while part := list(islice(records, _TAKEN_AT_ONCE)):
        end = part[-1].offset + 1
        store.take(part, end)
    sys.stdout.write(f"filled in {time.perf_counter() - began:.1f} s\n")
    store.close()

    began = time.perf_counter()
    store = _opened(path, end)
    sys.stdout.write(f"opened in {time.perf_counter() - began:.3f} s\n")
    began = time.perf_counter()
    customer = store.customer(f"customer-{entitlements // EACH // 2:07d}")
    assert customer is not None
    assert len(store.entitlements_of(customer.id)) == EACH
    sys.stdout.write(f"first answer after {(time.perf_counter() - began) * 1000:.1f} ms\n")
    store.close()


def _opened(path: Path, end: int) -> CatalogStore:
    store = CatalogStore(path, SharedMemory(StoreOptions()), partitions=_PARTITIONS)
    assert store.open("topic", end) == end
    return store


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="meterstream-catalog-") as name:
        _catalog(int(sys.argv[1]), Path(name) / "catalog")
