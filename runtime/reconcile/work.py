"""Wires reconcile to the workers, ClickHouse and Postgres."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack

import aiohttp

from api.balances.recompute import Recompute
from connectors.clickhouse.client import Clients
from connectors.clickhouse.usage_series import SeriesOptions, UsageSeries
from connectors.postgres import pool as postgres
from connectors.postgres.balance_records import PostgresBalanceRecords
from connectors.postgres.metered_customers import MeteredCustomers
from connectors.postgres.testing_clock import PostgresTestingClock
from domain.errors import NotFound, Unavailable
from runtime import clock
from runtime.balance_reads import BalanceReads
from runtime.config import Config
from runtime.connections import clickhouse_options, postgres_options
from runtime.reconcile.run import Customers, Reconciler, Report
from runtime.testing_clock import ClockSwitch
from runtime.topology.parts import READ, Wires
from schemas import topics
from schemas.owners import WorkerRecord, owner_by_partition
from schemas.partitioner import partition_of

_THREADS = 4
_OWNERS_S = 10.0
"""For how long the workers may take to say what they have; they do each second."""
_POSTGRES_S = 5.0
_STATUS_S = 5.0


async def reconcile(
    config: Config,
    customers: Sequence[str],
    features: tuple[str, ...] | None,
    report: Report,
    on_batch: Callable[[Report], None],
) -> None:
    """Fill `report`. NotFound for a customer that is not there; Unavailable, PostgresProblem."""
    names = topics.names(config.namespace)
    async with AsyncExitStack() as open_:
        options = postgres_options(config, wait_s=_POSTGRES_S)
        pool = await postgres.open_pool(options)
        open_.push_async_callback(pool.close)
        await _go_by_the_clock(config, pool)
        clients = Clients(clickhouse_options(config))
        history = UsageSeries(
            clients,
            namespace=config.namespace,
            topic=names.events,
            threads=_THREADS,
            options=SeriesOptions(rows_max=config.balances.history_rows_max),
        )
        open_.callback(history.close)
        reads = BalanceReads(config, Wires(READ, names))
        open_.push_async_callback(reads.stop)
        reads.start()
        http = await open_.enter_async_context(
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_STATUS_S))
        )
        records = PostgresBalanceRecords(pool, config.namespace)
        recompute = Recompute(records, history, _NoEnds(config.kafka.partitions))
        folded = _Folded(reads.live, config.kafka.partitions, http, history)
        await folded.wait()
        chosen: Customers = MeteredCustomers(pool, config.namespace)
        if customers:
            chosen = _Chosen(await _ids(records, customers))
        await Reconciler(
            workers=reads.workers,
            positions=folded,
            events=recompute,
            customers=chosen,
            features=features,
            now=clock.now,
            wall_ms=clock.wall_ms,
            report=report,
            on_batch=on_batch,
        ).run()


async def _go_by_the_clock(config: Config, pool: postgres.Pool) -> None:
    """With `testing.clock`: the time that the workers go by."""
    if config.testing.clock:
        switch = ClockSwitch()
        stored = PostgresTestingClock(pool, config.namespace, clock.wall_now, switch.take)
        if (record := await stored.read()) is not None:
            switch.take(record)


async def _ids(records: PostgresBalanceRecords, names: Sequence[str]) -> list[str]:
    found = await records.customers(names)
    for name in names:
        if name not in found or found[name].deleted_at is not None:
            raise NotFound(f"no customer has the id or key {name[:80]!r}")
    return sorted({found[name].id for name in names})


class _Chosen:
    """The customers that were named."""

    def __init__(self, ids: Sequence[str]) -> None:
        self._ids = ids

    async def ids(self) -> AsyncIterator[str]:
        """As named."""
        for id in self._ids:
            yield id

    async def count(self) -> int:
        """How many."""
        return len(self._ids)


class _Folded:
    """How far workers and ClickHouse are: the owner of each partition is asked over HTTP."""

    def __init__(
        self,
        live: Callable[[], Sequence[WorkerRecord]],
        partitions: int,
        http: aiohttp.ClientSession,
        history: UsageSeries,
    ) -> None:
        self._live = live
        self._partitions = partitions
        self._http = http
        self._history = history

    async def wait(self) -> None:
        """Until the workers have said who owns what. Unavailable."""
        try:
            async with asyncio.timeout(_OWNERS_S):
                while self._without_owner():  # noqa: ASYNC110 - only the topic knows
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise Unavailable(self._says_who(self._without_owner())) from None

    async def folded(self) -> Mapping[int, int]:
        """The position after what each owner has folded. Unavailable."""
        if missing := self._without_owner():
            raise Unavailable(self._says_who(missing))
        owners = owner_by_partition(self._live())
        urls = sorted({record.url for record in owners.values()})
        told = dict(zip(urls, await asyncio.gather(*map(self._status, urls)), strict=True))
        found = {}
        for number, record in owners.items():
            position = told[record.url].get(number)
            if position is None:
                raise Unavailable(f"partition {number} is moving")
            found[number] = position
        return found

    async def visible(self) -> Mapping[int, int]:
        """What ClickHouse has. Unavailable."""
        return await self._history.visible()

    async def _status(self, url: str) -> dict[int, int]:
        try:
            async with self._http.get(f"{url}/status") as answer:
                answer.raise_for_status()
                told = await answer.json()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unavailable(f"worker {url}: {type(error).__name__}: {error}") from error
        return {one["partition"]: one["source_next"] or 0 for one in told["partitions"]}

    def _without_owner(self) -> list[int]:
        return sorted(set(range(self._partitions)) - owner_by_partition(self._live()).keys())

    def _says_who(self, missing: Collection[int]) -> str:
        shown = ", ".join(map(str, list(missing)[:10]))
        return f"no worker owns partition {shown}: do workers run for this namespace?"


class _NoEnds:
    """Reconcile has its own way to know of a moment (`runtime.reconcile.run`), and needs no `as_of` of what is recomputed."""

    def __init__(self, partitions: int) -> None:
        self._partitions = partitions

    def as_of_ms(self, visible: Mapping[int, int], partitions: Collection[int]) -> int | None:
        """Not known."""
        return None

    async def look(self) -> None:
        """Nothing."""

    def partition_of(self, subject: str) -> int:
        """The partition of a subject's events."""
        return partition_of(subject.encode(), self._partitions)
