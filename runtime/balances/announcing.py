"""Keeps the owners topic up to date with what this worker has, and what it follows up to date with that topic."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from aiokafka.errors import KafkaError

from runtime.balances.following import Following
from schemas.owners import WorkerRecord
from streams.balances import metrics

log = logging.getLogger(__name__)


class Board(Protocol):
    """connectors/kafka/owners_topic.py."""

    async def publish(self, record: WorkerRecord) -> None:
        """Say it; returns when Kafka has it. KafkaError."""
        ...

    async def leave(self, name: str) -> None:
        """Say that `name` has stopped. KafkaError."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnouncingOptions:
    """`every_s` between two records without a change; `leave_s` bounds the last one."""

    name: str
    url: str
    every_s: float = 1.0
    leave_s: float = 2.0


class Announcing:
    """Settles what is followed and says so: on each change and every `every_s` seconds."""

    def __init__(
        self,
        board: Board,
        following: Following,
        options: AnnouncingOptions,
        now_ms: Callable[[], int],
    ) -> None:
        self._board = board
        self._following = following
        self._options = options
        self._now_ms = now_ms

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._following.settle()
            await self._say()
            try:
                async with asyncio.timeout(self._options.every_s):
                    await self._following.changed.wait()
            except TimeoutError:
                continue

    async def leave(self) -> None:
        """Nobody is to ask this worker any more."""
        try:
            async with asyncio.timeout(self._options.leave_s):
                await self._board.leave(self._options.name)
        except (KafkaError, TimeoutError) as error:
            log.warning(
                "others learn by its silence that this worker stops", extra={"error": repr(error)}
            )

    async def _say(self) -> None:
        """Kafka that is away is no reason to stop: others see this worker die, and live again."""
        following = self._following
        standby = set(following.followed) - following.owned
        metrics.followed.labels("owner").set(len(following.owned & set(following.followed)))
        metrics.followed.labels("standby").set(len(standby))
        record = WorkerRecord(
            name=self._options.name,
            url=self._options.url,
            owned=tuple(sorted(following.owned & set(following.followed))),
            standby=tuple(sorted(standby)),
            generation=following.generation,
            at_ms=self._now_ms(),
        )
        try:
            await self._board.publish(record)
        except KafkaError as error:
            log.warning("cannot say what this worker has", extra={"error": repr(error)})
