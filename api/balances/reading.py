"""Reading balances: from the workers that keep them, else recomputed; every answer says from where and as of when.

What workers have is answered while Postgres or ClickHouse is down, what they have not is recomputed while no worker runs;
Unavailable only when neither way works. Source: docs/reading-balances.md, docs/decisions/0164.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from api import metrics
from api.balances.ports import WorkerBalances
from domain.errors import Unavailable
from domain.metering.ulid import is_ulid
from schemas.balances import Answer, Question, Value

log = logging.getLogger(__name__)


class Source(StrEnum):
    """Where values come from."""

    OWNER = "owner"
    STANDBY = "standby"
    RECOMPUTED = "recomputed"


class Why(StrEnum):
    """Why there are no values."""

    UNKNOWN = "unknown"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """The values of one question, or why there are none: of the customer. `as_of_ms` 0: not known.

    `access` by feature key; only that is there when only that was asked for.
    """

    values: tuple[Value, ...]
    access: Mapping[str, bool]
    as_of_ms: int
    source: Source
    why: Why | None = None
    customer_id: str | None = None


class Recomputing(Protocol):
    """api/balances/recompute.py, as far as values need it."""

    async def answers(self, questions: Sequence[Question], at: datetime) -> Sequence[Answer]:
        """One for each question, without a `why` but `unknown` and `deleted`. Refused, Unavailable."""
        ...


class Balances:
    """What routes call. `recompute` is None until Postgres has answered for the first time."""

    def __init__(
        self,
        workers: WorkerBalances,
        *,
        catalog_version: Callable[[], int],
        now: Callable[[], datetime],
        recompute: Recomputing | None = None,
    ) -> None:
        """`catalog_version`: of the newest change that this process has committed: what a worker must have seen."""
        self._workers = workers
        self._catalog_version = catalog_version
        self._now = now
        self._had_workers = True
        self.recompute = recompute

    async def values(
        self, questions: Sequence[Question], *, at: datetime | None = None
    ) -> list[Read]:
        """One for each question. With `at` as of that time, which is recomputed. Refused, Unavailable."""
        if not questions:
            return []
        told: list[Read | None] = [None] * len(questions)
        if at is None:
            told = await self._from_workers(questions)
        left = [i for i, read in enumerate(told) if _is_open(questions[i], read)]
        if left:
            for i, read in zip(
                left, await self._recomputed(questions, left, told, at), strict=True
            ):
                told[i] = read
        found = [read for read in told if read is not None]
        for read in found:
            metrics.balance_reads.labels(read.source).inc()
        return found

    async def told(self, question: Question) -> Read | None:
        """What workers say and nothing else; None where they cannot."""
        (read,) = await self._from_workers([question])
        return read

    async def _from_workers(self, questions: Sequence[Question]) -> list[Read | None]:
        """What workers can say; None where they cannot."""
        try:
            answers = await self._workers.ask(questions, self._catalog_version())
        except Unavailable as down:
            if self._had_workers:
                log.warning(
                    "no worker answers: balances are recomputed", extra={"cause": str(down)}
                )
            self._had_workers = False
            return [None] * len(questions)
        if not self._had_workers:
            log.info("workers answer for balances")
        self._had_workers = True
        return [_read(answer, Source(role)) for answer, role in answers]

    async def _recomputed(
        self,
        questions: Sequence[Question],
        left: Sequence[int],
        told: Sequence[Read | None],
        at: datetime | None,
    ) -> list[Read]:
        """Those that are left, recomputed; where that cannot be done, what a worker said for certain."""
        try:
            if self.recompute is None:
                raise Unavailable("starting: waiting for PostgreSQL and ClickHouse")
            answers = await self.recompute.answers([questions[i] for i in left], at or self._now())
        except Unavailable:
            known = [read for i in left if (read := told[i]) and read.why is Why.DELETED]
            if len(known) < len(left):
                raise
            return known
        found = [_read(answer, Source.RECOMPUTED) for answer in answers]
        return [read for read in found if read is not None]


def _read(answer: Answer, source: Source) -> Read | None:
    """None for an answer that nobody may rely on."""
    if answer.why is not None and answer.why not in _FINAL:
        return None
    access = answer.access
    if access is None:
        access = {value.feature_key: value.has_access for value in answer.values}
    return Read(
        values=answer.values,
        access=access,
        as_of_ms=answer.as_of_ms,
        source=source,
        why=None if answer.why is None else Why(answer.why),
        customer_id=answer.customer_id,
    )


_FINAL = frozenset(Why)


def _is_open(question: Question, read: Read | None) -> bool:
    """Whether the records have to be asked, too.

    A worker that has no such customer may be behind another process's change, and it finds an entitlement's id with its own
    customer only: what it does not find is looked for in what is stored.
    """
    if read is None or read.why is not None:
        return True
    if question.features is None:
        return False
    known = {value.entitlement_id for value in read.values}
    known |= {value.feature_key for value in read.values}
    return any(is_ulid(feature) and feature.upper() not in known for feature in question.features)
