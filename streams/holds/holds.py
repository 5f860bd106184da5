"""All the holds of a worker: of the partitions it owns it decides, those of its standbys it follows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Protocol

from domain.errors import DomainError
from schemas.holds import HoldCall, HoldRecord, HoldTold
from schemas.partitioner import partition_of
from streams import metrics
from streams.holds.desk import Desk
from streams.holds.judging import Judge, Rules, customer_of
from streams.holds.ledger import Changed, Ledger
from streams.holds.ports import CatalogView, HoldsLog, SourceNext, Values
from streams.holds.telling import told_error
from streams.steps import StepHook
from tables.holds import HoldsStore

_TICK_S = 0.1
_CATALOG_WAIT_S = 0.2
_CATALOG_POLL_S = 0.005


class HoldsFeed(Protocol):
    """Delivers the records of the partitions that are followed."""

    def follow(
        self, partition: int, offset: int, take: Callable[[Sequence[HoldRecord], int], None]
    ) -> None:
        """Read `partition` from `offset` on."""
        ...

    def leave(self, partition: int) -> None:
        """Read it no more."""
        ...

    async def end(self, partition: int) -> int:
        """The offset after the last record. Unavailable."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """`kept`: how long a hold is remembered after its end. `append_s_max` bounds the wait for Kafka."""

    partitions: int
    rules: Rules
    kept: timedelta = timedelta(hours=24)
    append_s_max: float = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """The time that rules go by, and the wall's (Unix milliseconds), which append times are of."""

    now: Callable[[], datetime]
    wall_ms: Callable[[], int]


class Holds:
    """Who asks for a hold asks here."""

    def __init__(
        self,
        feed: HoldsFeed,
        topic: HoldsLog,
        catalog: CatalogView,
        *,
        open_store: Callable[[int], HoldsStore],
        clock: Clock,
        new_id: Callable[[], str],
        options: Options,
        reached: StepHook,
        on_failure: Callable[[BaseException], None],
    ) -> None:
        self._feed, self._topic, self._catalog = feed, topic, catalog
        self._open_store, self._clock, self._new_id = open_store, clock, new_id
        self._options, self._reached, self._on_failure = options, reached, on_failure
        self._ledgers: dict[int, Ledger] = {}
        self._desks: dict[int, tuple[Desk, asyncio.Task[None]]] = {}
        self._ticker: asyncio.Task[None] | None = None

    # -- what is followed and owned

    def start(self) -> None:
        """Begin to let go of what expires."""
        self._ticker = self._spawn(self._tick(), "holds")

    def follow(self, partition: int, source_next: SourceNext, changed: Changed) -> None:
        """Read the holds of a partition; `changed` is told the entitlements whose holds changed."""
        ledger = Ledger(
            self._open_store(partition), source_next, self._clock.now, kept=self._options.kept
        )
        ledger.changed = changed
        self._ledgers[partition] = ledger
        self._feed.follow(partition, ledger.next_offset, ledger.take)

    def own(self, partition: int, values: Values) -> None:
        """Decide of the holds of a partition that is followed, judging by `values`."""
        ledger = self._ledgers[partition]
        desk = Desk(
            ledger,
            Judge(
                ledger,
                self._catalog,
                values,
                new_id=self._new_id,
                wall_ms=self._clock.wall_ms,
                rules=self._options.rules,
            ),
            self._topic,
            self._catalog,
            end=self._feed.end,
            partition=partition,
            partitions=self._options.partitions,
            now=self._clock.now,
            append_s_max=self._options.append_s_max,
            reached=self._reached,
        )
        self._desks[partition] = desk, self._spawn(desk.run(), f"holds-{partition}")

    async def disown(self, partition: int) -> None:
        """Decide no more; whoever waits is told to ask again. The partition is still followed."""
        found = self._desks.pop(partition, None)
        if found is not None:
            found[1].cancel()
            await asyncio.gather(found[1], return_exceptions=True)

    async def leave(self, partition: int) -> None:
        """Forget a partition."""
        await self.disown(partition)
        ledger = self._ledgers.pop(partition, None)
        if ledger is not None:
            self._feed.leave(partition)
            ledger.close()

    async def stop(self) -> None:
        """Leave everything."""
        if self._ticker is not None:
            self._ticker.cancel()
            await asyncio.gather(self._ticker, return_exceptions=True)
        for partition in list(self._ledgers):
            await self.leave(partition)

    # -- what is asked

    def held(self, partition: int, entitlement_id: str, now: datetime) -> Decimal:
        """How much of an entitlement of a followed partition is reserved; nothing before it is followed."""
        ledger = self._ledgers.get(partition)
        return Decimal(0) if ledger is None else ledger.held(entitlement_id, now)

    def partition_of(self, customer_id: str) -> int:
        """The balance partition of a customer."""
        return partition_of(customer_id.encode(), self._options.partitions)

    async def ask(self, call: HoldCall) -> HoldTold:
        """The answer to a call."""
        if not await self._has_seen(call.catalog):
            return HoldTold(why="unavailable", message="the catalog is behind")
        try:
            customer = customer_of(call, self._catalog)
        except DomainError as error:
            return told_error(error)
        partition = self.partition_of(customer.id)
        found = self._desks.get(partition)
        if found is None:
            return HoldTold(why="elsewhere", partition=partition, customer_id=customer.id)
        return await found[0].ask(call)

    async def _has_seen(self, version: int) -> bool:
        """Whether the catalog has come to `version`, or does so in a moment."""
        until = asyncio.get_running_loop().time() + _CATALOG_WAIT_S
        while self._catalog.version < version:
            if asyncio.get_running_loop().time() > until:
                return False
            await asyncio.sleep(_CATALOG_POLL_S)
        return True

    # -- life

    async def _tick(self) -> None:
        while True:
            for partition, ledger in self._ledgers.items():
                ledger.over()
                if partition in self._desks:
                    metrics.holds_active.labels(partition).set(ledger.active)
            await asyncio.sleep(_TICK_S)

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work, name=name)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._on_failure(error)
