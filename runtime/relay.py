"""Carries changes from the outbox to the catalog topic, in order and at least once.

One holder among all processes: lock, then shut out former writers, then read. A holder that dies between the topic's
acknowledgement and the removal only makes its successor repeat; readers go by version.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from typing import Protocol

from domain.errors import Unavailable
from runtime import metrics
from schemas.catalog import CatalogRecord

log = logging.getLogger(__name__)

SLICE_MAX = 100
"""Changes in one publishing."""

_BACKOFF_S_MIN = 0.1
_BACKOFF_S_MAX = 5.0
_STOP_S_MAX = 5.0


class HeldOutbox(Protocol):
    """The outbox, held by this process."""

    async def read(self, limit: int) -> list[CatalogRecord]:
        """The first changes in order."""
        ...

    async def remove(self, versions: Sequence[int]) -> None:
        """Remove what the topic has."""
        ...

    async def changed(self) -> None:
        """Return when there may be something to read."""
        ...


class Outbox(Protocol):
    """Changes that the topic does not have."""

    def hold(self) -> AbstractAsyncContextManager[HeldOutbox]:
        """Wait for the turn. Unavailable."""
        ...


class Writer(Protocol):
    """The only writer of the topic."""

    async def publish(self, records: Sequence[CatalogRecord]) -> None:
        """Returns when all is acknowledged. Unavailable."""
        ...


class Topic(Protocol):
    """Where the changes go."""

    def write(self) -> AbstractAsyncContextManager[Writer]:
        """Shut out former writers. Unavailable."""
        ...


class Relay:
    """Runs in every api process; those that are not the holder wait for their turn."""

    def __init__(
        self, outbox: Outbox, topic: Topic, on_failure: Callable[[BaseException], None]
    ) -> None:
        """`on_failure` is told of what waiting does not solve; the relay has ended then."""
        self._outbox = outbox
        self._topic = topic
        self._on_failure = on_failure
        self._failures = 0
        self._slice = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin; Postgres and Kafka may be down."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="relay")

    async def stop(self) -> None:
        """Finish the slice under way, at most for a few seconds, and give up the turn."""
        task, self._task = self._task, None
        if task is None:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(_STOP_S_MAX):
                await self._slice.acquire()  # never released: no other slice begins
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def _run(self) -> None:
        try:
            while True:
                try:
                    await self._hold()
                except Unavailable as cause:
                    await self._back_off(cause)
        except Exception as error:  # the task's end: whatever it was, the process must know
            log.exception("changes of the catalog are no longer carried to the workers")
            self._on_failure(error)
            raise

    async def _hold(self) -> None:
        async with self._outbox.hold() as held, self._topic.write() as writer:
            log.info("this process carries the catalog's changes")
            with metrics.relay_holder.track_inprogress():
                while True:
                    while await self._carry(held, writer):
                        self._failures = 0
                    await held.changed()

    async def _carry(self, held: HeldOutbox, writer: Writer) -> bool:
        """Carry one slice; False when there was nothing."""
        async with self._slice:
            records = await held.read(SLICE_MAX)
            if records:
                await writer.publish(records)
                metrics.relay_published.inc(len(records))
                metrics.relay_version.set(records[-1].version)
                await held.remove([record.version for record in records])
            return bool(records)

    async def _back_off(self, cause: Unavailable) -> None:
        self._failures += 1
        metrics.relay_failures.inc()
        most = min(_BACKOFF_S_MAX, _BACKOFF_S_MIN * 2 ** min(self._failures, 16))
        delay_s = random.uniform(most / 2, most)
        log.warning(
            "the catalog's changes wait",
            extra={"cause": str(cause), "retry_in_s": round(delay_s, 2)},
        )
        await asyncio.sleep(delay_s)
