"""Balances as the workers have them: each question to the owner of its customer, else to a standby, many in one call.

What nobody could say comes back with `why`: the caller computes it. docs/decisions/0161-standbys-follow-the-usage-topic.md
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from connectors.workers.whom import Whom
from domain.errors import Unavailable
from schemas.balances import Answer, Ask, Question, Told
from schemas.owners import WorkerRecord

log = logging.getLogger(__name__)

_ROUNDS_MAX = 4
"""A key that nobody knew yet, an owner that is away, its standby, and one that has just taken over."""
_ASK_FURTHER = ("elsewhere", "loading")


class Calls(Protocol):
    """connectors/workers/calls.py."""

    async def call(self, url: str, ask: Ask) -> Told:
        """The answers in the order of the questions. Unavailable."""
        ...

    async def close(self) -> None:
        """Disconnect."""
        ...


@dataclass(slots=True)
class _Open:
    """A question on its way: whom it went to, and the best that was said."""

    question: Question
    tried: set[str] = field(default_factory=set)
    said: tuple[Answer, str] | None = None
    done: bool = False

    def take(self, answer: Answer, role: str) -> None:
        """`loading` is kept over `elsewhere`: its worker knows the customer."""
        self.done = answer.why not in _ASK_FURTHER
        if self.done or self.said is None or self.said[0].why == "elsewhere":
            self.said = (answer, role)


class WorkerBalances:
    """One for a process."""

    def __init__(self, whom: Whom, calls: Calls) -> None:
        self._whom = whom
        self._calls = calls

    async def ask(
        self, questions: Sequence[Question], catalog: int
    ) -> Sequence[tuple[Answer, str]]:
        """Answers in order, each with the role (owner, standby) of who gave it. Unavailable: no worker answered anything.

        `catalog` is the version that the answers must have seen. Answers with `why` (`loading`, `behind`, `elsewhere`,
        `past`) say that no worker could.
        """
        asked = [_Open(question) for question in questions]
        heard = not asked
        for _ in range(_ROUNDS_MAX):
            groups = self._grouped([one for one in asked if not one.done])
            if not groups:
                break
            told = await asyncio.gather(
                *(self._call(worker, group, catalog) for worker, group in groups)
            )
            heard = heard or any(told)
        if not heard:
            raise Unavailable("no worker answers for balances")
        return [one.said or (Answer(why="elsewhere"), "standby") for one in asked]

    async def close(self) -> None:
        """Disconnect."""
        await self._calls.close()

    def _grouped(self, left: Sequence[_Open]) -> list[tuple[WorkerRecord, list[_Open]]]:
        """Who is asked what next; questions that nobody is left for are in no group.

        What a worker is asked as owner and as standby are two calls: an answer has one role.
        """
        if not left:
            return []
        choices = self._whom.choices()
        groups: dict[tuple[str, bool], tuple[WorkerRecord, list[_Open]]] = {}
        for one in left:
            partition = self._whom.partition(one.question)
            worker = choices.of(partition, one.tried)
            if worker is not None:
                key = (worker.name, partition in worker.owned)
                groups.setdefault(key, (worker, []))[1].append(one)
        return list(groups.values())

    async def _call(self, worker: WorkerRecord, group: Sequence[_Open], catalog: int) -> bool:
        """Ask one worker; whether it answered."""
        ask = Ask(questions=tuple(one.question for one in group), catalog=catalog)
        for one in group:
            one.tried.add(worker.name)
        self._whom.is_asked(worker)
        try:
            told = await self._calls.call(worker.url, ask)
        except Unavailable as error:
            log.warning(
                "a worker does not answer", extra={"worker": worker.name, "cause": str(error)}
            )
            self._whom.was_silent(worker)
            return False
        self._whom.has_answered(worker)
        for one, answer in zip(group, told.answers, strict=True):
            if answer.customer_id is not None:
                self._whom.learn(one.question, answer.customer_id)
            one.take(answer, told.role)
        return True
