"""Compares the balances that workers keep with balances recomputed from the events in ClickHouse, at the same moment.

A moment is had like this: ask the worker; learn how far every partition was folded then; wait until ClickHouse has that;
recompute; ask again until the worker has counted what ClickHouse had. What the worker said first holds no event that was
not recomputed, and what it said last holds every one. So where it said the same twice, the recomputed balance must be that,
too. A customer who moved meanwhile is looked at again; a difference counts only when it is seen again and again.
Source: docs/decisions/0165.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Protocol

from domain.errors import Unavailable
from domain.time.interval import ceil_minute
from runtime.reconcile.comparing import Difference, differences, same
from schemas.balances import Answer, Question

DIFFERENCES_MAX = 10_000
"""Differences that a report lists; more are only counted. The same for unsettled customers."""


class Workers(Protocol):
    """Who keeps balances."""

    async def ask(
        self, questions: Sequence[Question], catalog: int
    ) -> Sequence[tuple[Answer, str]]:
        """One answer and role for each question. Unavailable."""
        ...


class Positions(Protocol):
    """How far the log was counted, by source partition."""

    async def folded(self) -> Mapping[int, int]:
        """What owners have folded: the position after it. Unavailable when a partition has no owner."""
        ...

    async def visible(self) -> Mapping[int, int]:
        """What ClickHouse has. Unavailable."""
        ...


class Events(Protocol):
    """Where balances are recomputed from: api/balances/recompute.py."""

    async def answers(self, questions: Sequence[Question], at: datetime) -> Sequence[Answer]:
        """One for each question; `why` is None, `unknown` or `deleted`. Refused, Unavailable."""
        ...


class Customers(Protocol):
    """Who is looked at."""

    def ids(self) -> AsyncIterator[str]:
        """Customers with metered entitlements."""
        ...

    async def count(self) -> int:
        """How many there are."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """`batch` customers are compared together; the longest waits in seconds; how often a customer is looked at."""

    batch: int = 50
    visible_s: float = 15.0
    counted_s: float = 5.0
    poll_s: float = 0.05
    tries_max: int = 8
    confirmations: int = 3
    apart_s: float = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsettled:
    """A customer that could not be compared, and why."""

    customer_id: str
    why: str


@dataclass(slots=True)
class Report:
    """What was found. `drifting`: entitlements; `largest`: the greatest amount by which a number differs."""

    customers: int = 0
    customers_of: int = 0
    entitlements: int = 0
    drifting: int = 0
    largest: Decimal = Decimal(0)
    differences: list[Difference] = field(default_factory=list)
    unsettled_customers: int = 0
    unsettled: list[Unsettled] = field(default_factory=list)
    interrupted: bool = False

    def drift(self, found: Sequence[Difference]) -> None:
        """Take in what differs for one customer."""
        self.drifting += len({one.entitlement_id for one in found})
        self.largest = max(self.largest, *(one.amount for one in found))
        self.differences.extend(found[: DIFFERENCES_MAX - len(self.differences)])

    def give_up(self, customer_id: str, why: str) -> None:
        """Take in a customer that could not be compared."""
        self.unsettled_customers += 1
        if len(self.unsettled) < DIFFERENCES_MAX:
            self.unsettled.append(Unsettled(customer_id=customer_id, why=why))


@dataclass(slots=True)
class _Customer:
    """One that is being looked at. `seen`: how often in turn the same differences were found; `entitlements`: compared last."""

    id: str
    tries: int = 0
    entitlements: int = 0
    seen: int = 0
    found: Sequence[Difference] = ()
    why: str = ""


class Reconciler:
    """One run. `report` says how far it came, also when it is broken off."""

    def __init__(
        self,
        *,
        workers: Workers,
        positions: Positions,
        events: Events,
        customers: Customers,
        features: tuple[str, ...] | None,
        now: Callable[[], datetime],
        wall_ms: Callable[[], int],
        bounds: Bounds | None = None,
        report: Report | None = None,
        on_batch: Callable[[Report], None] = lambda report: None,
    ) -> None:
        """`now`: the time that rules go by; `wall_ms`: the real one, by which workers say up to when they have counted."""
        self._workers = workers
        self._positions = positions
        self._events = events
        self._customers = customers
        self._features = features
        self._now = now
        self._wall_ms = wall_ms
        self._bounds = bounds or Bounds()
        self.report = Report() if report is None else report
        self._on_batch = on_batch

    async def run(self) -> Report:
        """Every customer once."""
        self.report.customers_of = await self._customers.count()
        batch: list[_Customer] = []
        async for id in self._customers.ids():
            batch.append(_Customer(id))
            if len(batch) == self._bounds.batch:
                await self._settle(batch)
                batch = []
        if batch:
            await self._settle(batch)
        return self.report

    async def _settle(self, batch: Sequence[_Customer]) -> None:
        """Look at them until each is equal, drifts for sure, or was looked at often enough."""
        left = list(batch)
        while left:
            try:
                await self._look(left)
            except Unavailable as cause:
                for customer in left:
                    customer.tries, customer.seen = customer.tries + 1, 0
                    customer.why = str(cause)
            left = [customer for customer in left if not self._is_done(customer)]
            self._on_batch(self.report)
            if left:
                await asyncio.sleep(self._bounds.apart_s)

    def _is_done(self, customer: _Customer) -> bool:
        sure = not customer.found or customer.seen >= self._bounds.confirmations
        if not customer.why and sure:
            self.report.customers += 1
            self.report.entitlements += customer.entitlements
            if customer.found:
                self.report.drift(customer.found)
            return True
        if customer.tries >= self._bounds.tries_max:
            self.report.give_up(customer.id, customer.why or "differs now and then")
            return True
        return False

    async def _look(self, customers: Sequence[_Customer]) -> None:
        """One comparison of each."""
        at = ceil_minute(self._now())
        questions = [
            Question(customer=customer.id, features=self._features, at=int(at.timestamp()))
            for customer in customers
        ]
        before = await self._workers.ask(questions, 0)
        await self._wait_visible(await self._positions.folded())
        recomputed = await self._events.answers(questions, at)
        after = await self._ask_again(questions, self._wall_ms())
        for customer, first, answer, last in zip(customers, before, recomputed, after, strict=True):
            self._judge(customer, first[0], answer, last[0])

    def _judge(self, customer: _Customer, first: Answer, recomputed: Answer, last: Answer) -> None:
        customer.tries += 1
        if recomputed.why is not None:  # deleted while this runs
            customer.why, customer.found, customer.entitlements = "", (), 0
            return
        customer.why = first.why or last.why or ""
        if not customer.why and not same(first.values, last.values):
            customer.why = "its balances moved each time"
        if customer.why:
            customer.seen = 0
            return
        found = differences(last.values, recomputed.values)
        customer.seen = customer.seen + 1 if found == customer.found else 1
        customer.found = found
        customer.entitlements = sum(value.type == "metered" for value in recomputed.values)

    async def _wait_visible(self, folded: Mapping[int, int]) -> None:
        """Until ClickHouse has what the workers had folded. Unavailable when that takes too long."""
        try:
            async with asyncio.timeout(self._bounds.visible_s):
                while not await self._is_visible(folded):  # noqa: ASYNC110 - only ClickHouse knows
                    await asyncio.sleep(self._bounds.poll_s)
        except TimeoutError:
            raise Unavailable("ClickHouse does not have yet what the workers counted") from None

    async def _is_visible(self, folded: Mapping[int, int]) -> bool:
        visible = await self._positions.visible()
        return all(visible.get(partition, 0) >= at for partition, at in folded.items() if at)

    async def _ask_again(
        self, questions: Sequence[Question], since_ms: int
    ) -> Sequence[tuple[Answer, str]]:
        """Until every answer counts all that had come by `since_ms`. Unavailable when that takes too long."""
        try:
            async with asyncio.timeout(self._bounds.counted_s):
                while True:
                    found = await self._workers.ask(questions, 0)
                    if all(answer.why or answer.as_of_ms >= since_ms for answer, _ in found):
                        return found
                    await asyncio.sleep(self._bounds.poll_s)
        except TimeoutError:
            raise Unavailable("the workers have not counted what came") from None
