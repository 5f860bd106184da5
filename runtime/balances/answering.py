"""Answers one call of the api from the partitions that this worker follows, owned or as standby."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from datetime import datetime

import msgspec

from runtime.balances.followed import Followed
from runtime.balances.ports import Catalog
from schemas.balances import Answer, Ask, Question, Told
from schemas.catalog import CatalogRecord, CustomerRecord
from streams.balances import metrics

OWNER, STANDBY = "owner", "standby"
_TURN_S = 0.005
"""After that long other work gets its turn, reads of others among it."""


class Answering:
    """One catalog for all partitions; `partition_of` names the partition of a customer's id."""

    def __init__(
        self,
        catalog: Catalog,
        *,
        followed: Mapping[int, Followed],
        owns: Callable[[int], bool],
        partition_of: Callable[[str], int],
        now: Callable[[], datetime],
        catalog_wait_s: float,
    ) -> None:
        self._catalog = catalog
        self._followed = followed
        self._owns = owns
        self._partition_of = partition_of
        self._now = now
        self._catalog_wait_s = catalog_wait_s
        self._catalog_changed = asyncio.Event()
        catalog.on_change(self._on_catalog)

    async def tell(self, ask: Ask) -> Told:
        """The answers in the order of the questions. `role` is owner when everything that was answered is owned."""
        if not await self._has_seen(ask.catalog):
            behind = Answer(why="behind")
            metrics.reads.labels(STANDBY, "behind").inc(len(ask.questions))
            return Told(
                answers=(behind,) * len(ask.questions),
                role=STANDBY,
                catalog=self._catalog.version,
            )
        now, answers, owned = self._now(), [], True
        turn_ends = time.perf_counter() + _TURN_S
        for question in ask.questions:
            answer, owns = self._answer(question, now)
            owned = owned and owns
            answers.append(answer)
            if time.perf_counter() > turn_ends:
                await asyncio.sleep(0)
                turn_ends = time.perf_counter() + _TURN_S
        return Told(
            answers=tuple(answers),
            role=OWNER if owned else STANDBY,
            catalog=self._catalog.version,
        )

    def _answer(self, question: Question, now: datetime) -> tuple[Answer, bool]:
        """The answer, and whether nobody else is closer to the truth."""
        customer = self._customer(question)
        if customer is None:
            return _counted(Answer(why="unknown"), True), True
        number = self._partition_of(customer.id)
        followed = self._followed.get(number)
        if followed is None:
            answer = Answer(why="elsewhere", customer_id=customer.id, partition=number)
            return _counted(answer, True), True
        owns = self._owns(number)
        if question.by_subject:
            question = msgspec.structs.replace(question, customer=customer.id, by_subject=False)
        answer = followed.partition.answer(question, now)
        if question.access_only:
            answer = _access_only(answer)
        return _counted(answer, owns), owns

    def _customer(self, question: Question) -> CustomerRecord | None:
        """By id or key, or the one whose usage a subject's events are."""
        if not question.by_subject:
            return self._catalog.customer(question.customer)
        owner = self._catalog.customer_of(question.customer)
        return None if owner is None else self._catalog.customer(owner)

    async def _has_seen(self, version: int) -> bool:
        if self._catalog.version >= version:
            return True
        try:
            async with asyncio.timeout(self._catalog_wait_s):
                while self._catalog.version < version:
                    self._catalog_changed.clear()
                    await self._catalog_changed.wait()
        except TimeoutError:
            return False
        return True

    def _on_catalog(self, record: CatalogRecord) -> None:
        self._catalog_changed.set()


def _access_only(answer: Answer) -> Answer:
    """A hundredth of the bytes: whole values of 100 customers and 100 features take longer to read than to work out."""
    access = {value.feature_key: value.has_access for value in answer.values}
    return msgspec.structs.replace(answer, values=(), access=access)


def _counted(answer: Answer, owns: bool) -> Answer:
    metrics.reads.labels(OWNER if owns else STANDBY, answer.why or "values").inc()
    return answer
