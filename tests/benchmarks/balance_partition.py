"""Speed of one balance partition, without Kafka, ClickHouse and the catalog's own store:

    python -m tests.benchmarks.balance_partition [accounts] [directory]
    python -m tests.benchmarks.balance_partition open accounts

Begins `accounts` (100,000) entitlements, three a customer, with a history of three rows each; then counts rows, answers questions
and opens the state again. `open` writes a state of so many accounts by copying those of one customer, and opens it. Prints microseconds, seconds and MiB.
"""

# ruff: noqa: T201

import asyncio
import gc
import random
import shutil
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from tempfile import mkdtemp

import msgspec
import psutil

from domain.metering.rows import Row
from domain.metering.series import Series, SeriesRow
from domain.metering.ulid import ulid_text
from schemas import balance_state as stored
from schemas.balances import Question
from schemas.catalog import CustomerRecord, EntitlementRecord, FeatureRecord, GrantRecord
from schemas.state import encode_row, row_key_body, row_key_prefix, usage_key
from schemas.usage_records import Progress, encode_progress, progress_key
from streams.balances.partition import BalanceOptions, BalancePartition
from streams.balances.route import route_of
from tables.balances import open_balances
from tables.options import SharedMemory, StoreOptions
from tests.builders import a_meter_record

START = datetime(2026, 3, 1, tzinfo=UTC)
NOW = datetime(2026, 3, 20, 12, 0, 30, tzinfo=UTC)
EACH = 3


def ulid(number: int) -> str:
    return ulid_text(number.to_bytes(16, "big"))


def number_of(id: str) -> int:
    from domain.metering.ulid import ulid_bytes

    return int.from_bytes(ulid_bytes(id), "big")


METERS = {
    ulid(1): a_meter_record("tokens", id=ulid(1), groups={"model": "$.model"}),
    ulid(2): a_meter_record("calls", id=ulid(2), aggregation="COUNT"),
}


class ManyEntitlements:
    """A CatalogView whose records follow from their numbers: customer 10^6 + n has entitlements 10^9 + 3 n and the next two."""

    version = 5

    def __init__(self, customers: int) -> None:
        self.customers = customers

    @lru_cache(maxsize=20_000)  # noqa: B019
    def customer(self, id: str) -> CustomerRecord:
        number = number_of(id) - 10**6
        return CustomerRecord(
            id=id,
            namespace="default",
            name="c",
            created_at=START,
            updated_at=START,
            subject_keys=(f"subject-{number}",),
        )

    def customer_of(self, subject: str) -> str | None:
        return ulid(10**6 + int(subject[8:]))

    def entitlements_of(self, customer_id: str) -> list[EntitlementRecord]:
        first = 10**9 + EACH * (number_of(customer_id) - 10**6)
        return [self.entitlement(ulid(first + place)) for place in range(EACH)]

    @lru_cache(maxsize=60_000)  # noqa: B019
    def entitlement(self, id: str) -> EntitlementRecord:
        number = number_of(id) - 10**9
        grants = tuple(
            GrantRecord(
                id=ulid(10**12 + 2 * number + n),
                amount=Decimal(1000),
                effective_at=START,
                created_at=START,
            )
            for n in range(2)
        )
        return EntitlementRecord(
            id=id,
            namespace="default",
            customer_id=ulid(10**6 + number // EACH),
            feature_id=ulid(10 + number % EACH),
            feature_key=f"feature-{number % EACH}",
            type="metered",
            active_from=START,
            created_at=START,
            updated_at=START,
            measured_from=START,
            interval="P1M",
            anchor=START,
            grants=grants,
        )

    @lru_cache(maxsize=10)  # noqa: B019
    def feature(self, id: str) -> FeatureRecord:
        place = number_of(id) - 10
        return FeatureRecord(
            id=id,
            namespace="default",
            key=f"feature-{place}",
            name="f",
            created_at=START,
            updated_at=START,
            meter_id=ulid(1) if place < 2 else ulid(2),
            filters={"model": {"$in": ["a", "b"]}} if place == 1 else {},
        )

    def meter(self, id: str):
        return METERS.get(id)

    def version_of(self, kind: str, id: str) -> int:
        return 1

    def customers_in(self, partition: int) -> Iterator[str]:
        return (ulid(10**6 + n) for n in range(self.customers))

    def on_change(self, call) -> None:
        pass

    def on_moved(self, call) -> None:
        pass


class ShortHistory:
    """Three rows a subject."""

    async def visible(self):
        return {0: 1 << 40}

    async def read(self, meter, subjects, start_minute, end_minute=None, group_filters=()):
        groups = ("a",) if meter.group_by else ()
        rows = tuple(
            SeriesRow(subject, start_minute + 600 * n, groups, 0, Row(n + 1, n + 1, 5, 5, 50))
            for subject in subjects
            for n in range(3)
        )
        return Series(rows, {0: 1 << 40})


def mib() -> float:
    return psutil.Process().memory_info().rss / (1 << 20)


def opened(path: Path, catalog, memory) -> BalancePartition:
    store = open_balances(path, memory, topic_id="t", partition=0, partitions=1)
    return BalancePartition(
        store,
        catalog,
        ShortHistory(),
        number=0,
        now=lambda: NOW,
        options=BalanceOptions(partitions=1, look_s=0, load_accounts_max=1000),
    )


def rows_at(customers: list[int], minute: int, position: int) -> list[tuple[bytes, bytes]]:
    found = []
    for number in customers:
        for meter, groups in ((ulid(1), ("a",)), (ulid(2), ())):
            body = row_key_body(f"subject-{number}", minute, groups)
            key = usage_key(row_key_prefix(meter, 1) + body, 1 << 41)
            found.append((key, encode_row(Row(1 << 41, position, 7, 7, 70))))
    return found


def copied(path: Path, catalog: ManyEntitlements) -> None:
    """Every other customer's accounts as those of the first one are."""
    store = open_balances(
        path, SharedMemory(StoreOptions()), topic_id="t", partition=0, partitions=1
    )
    kept = [
        (key, value) for key, value in store.items(b"a", b"z") if not key.startswith((b"p", b"s"))
    ]
    first = {stored.key_of(r.id): n for n, r in enumerate(catalog.entitlements_of(ulid(10**6)))}
    batch = store.batch()
    for number in range(1, catalog.customers):
        customer = ulid(10**6 + number)
        for key, value in kept:
            place = 9 if key.startswith(stored.TIMER) else 1
            old = key[place : place + 16]
            account = (10**9 + EACH * number + first[old]).to_bytes(16, "big")
            if key.startswith(stored.ACCOUNT):
                record = catalog.entitlement(ulid_text(account))
                value = stored.encode(
                    msgspec.structs.replace(
                        stored.decode_account(value),
                        customer_id=customer,
                        signature=route_of(record, catalog).signature,
                    )
                )
            batch.put(key.replace(old, account), value)
        if number % 2_000 == 0:
            store.write(batch)
            batch = store.batch()
    store.write(batch)
    store.close()


async def begun(partition: BalancePartition) -> None:
    """Until nobody waits for a history."""
    progress = Progress(partition=0, source_next=1 << 40, catalog=5, as_of_ms=1)
    for offset in range(1, 1_000_000):
        partition.take([(progress_key(0), encode_progress(progress))], offset)
        more = await partition.work()
        await partition.settle()
        if not more and not partition._loader.anybody():
            return


async def measure_opening(accounts: int) -> None:
    path = Path(mkdtemp(dir="/tmp")) / "balances"
    one = opened(path, ManyEntitlements(1), SharedMemory(StoreOptions()))
    one.began_at(0)
    await begun(one)
    await one.close()
    catalog = ManyEntitlements(accounts // EACH)
    copied(path, catalog)
    size = sum(f.stat().st_size for f in path.rglob("*") if f.is_file())
    print(f"{accounts} accounts on disk: {size / (1 << 20):.0f} MiB; {mib():.0f} MiB", flush=True)
    gc.collect()
    began, wall = time.process_time(), time.perf_counter()
    partition = opened(path, catalog, SharedMemory(StoreOptions()))
    for number in range(0, accounts // EACH, accounts // EACH // 1_000):
        answer = partition.answer(Question(customer=ulid(10**6 + number)), NOW)
        assert answer.why is None, answer
        assert len(answer.values) == EACH
        if number == 0:
            took = time.perf_counter() - wall
            print(f"opened and answered in {took:.3f} s", flush=True)
    each = (time.process_time() - began) / 3_000
    print(f"1,000 customers in all: {each * 1e6:.0f} us a cold value; {mib():.0f} MiB", flush=True)
    await partition.close()
    shutil.rmtree(path.parent)


async def main(accounts: int, directory: str | None) -> None:
    path = Path(directory or mkdtemp(dir="/tmp")) / "balances"
    customers = accounts // EACH
    catalog = ManyEntitlements(customers)
    memory = SharedMemory(StoreOptions())
    print(f"begin {accounts} accounts; {mib():.0f} MiB", flush=True)
    began = time.process_time()
    partition = opened(path, catalog, memory)
    if partition.next_offset is None:
        partition.began_at(0)
    progress = Progress(partition=0, source_next=1 << 40, catalog=5, as_of_ms=1)
    offset = 0
    turn_most = 0.0
    while True:
        offset += 1
        partition.take([(progress_key(0), encode_progress(progress))], offset)
        turn = time.process_time()
        more = await partition.work()
        turn_most = max(turn_most, time.process_time() - turn)
        await asyncio.sleep(0)
        if not more and not partition._loader.anybody() and not partition._loader.reading:
            break
    took = time.process_time() - began
    print(
        f"begun in {took:.1f} s, {took / accounts * 1e6:.0f} us each, longest turn {turn_most * 1e3:.0f} ms; {mib():.0f} MiB",
        flush=True,
    )
    await partition.close()
    size = sum(f.stat().st_size for f in path.rglob("*") if f.is_file())
    print(f"on disk {size / (1 << 20):.0f} MiB, {size / accounts:.0f} B each", flush=True)
    del partition
    gc.collect()

    began = time.process_time()
    partition = opened(path, catalog, SharedMemory(StoreOptions()))
    print(f"opened in {time.process_time() - began:.3f} s", flush=True)
    began = time.process_time()
    answer = partition.answer(Question(customer=ulid(10**6 + customers // 2)), NOW)
    assert answer.why is None, answer
    print(f"first answer after {(time.process_time() - began) * 1e3:.1f} ms", flush=True)

    chance = random.Random(1)
    asked = [ulid(10**6 + chance.randrange(customers)) for _ in range(5_000)]
    for what in ("cold", "warm"):
        began = time.process_time()
        for id in asked:
            answer = partition.answer(Question(customer=id), NOW)
            assert len(answer.values) == EACH
        each = (time.process_time() - began) / len(asked) / EACH
        print(f"answers, {what}: {each * 1e6:.1f} us a metered value", flush=True)

    hot = [chance.randrange(customers) for _ in range(2_000)]
    minute = int(NOW.timestamp()) // 60
    for what, late in (
        ("first rows of a minute", 0),
        ("rows changed again", 0),
        ("again", 0),
        ("late rows", 60),
    ):
        position = (1 << 42) + offset
        offset += 1
        records = rows_at(hot, minute - late, position)
        partition.take(records, offset)
        began = time.process_time()
        await partition.work()
        each = (time.process_time() - began) / (len(hot) * EACH)
        print(f"{what}: {each * 1e6:.2f} us a (row, entitlement)", flush=True)
    began = time.process_time()
    for number in hot:
        partition.answer(Question(customer=ulid(10**6 + number)), NOW)
    each = (time.process_time() - began) / len(hot) / EACH
    print(f"answers after a row each: {each * 1e6:.1f} us a metered value", flush=True)
    print(f"{mib():.0f} MiB with {len(partition._accounts)} accounts in memory", flush=True)

    globals()["NOW"] = datetime(2026, 4, 1, 0, 0, 30, tzinfo=UTC) + timedelta(seconds=1)
    began, turns, longest = time.process_time(), 0, 0.0
    while turns < 200:
        turn = time.process_time()
        more = await partition.work()
        longest, turns = max(longest, time.process_time() - turn), turns + 1
        if not more:
            break
    took = time.process_time() - began
    print(
        f"resets at one instant: {turns} turns, longest {longest * 1e3:.0f} ms, {took / turns * 1e3:.1f} ms each",
        flush=True,
    )
    await partition.close()
    if directory is None:
        shutil.rmtree(path.parent)


if __name__ == "__main__":
    if sys.argv[1:2] == ["open"]:
        asyncio.run(measure_opening(int(sys.argv[2])))
        sys.exit()
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000, *sys.argv[2:3] or [None]))
