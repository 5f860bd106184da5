"""Notices a partition that has events but makes no progress: a worker that hangs counts nothing and looks healthy.

Source: open issues of Faust about partitions that are no longer fetched; what helps is a new start.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from domain.errors import Unavailable
from schemas.position import offset_of
from streams import metrics
from streams.partitions import Partitions
from streams.ports import PartitionReader


class Stalled(Exception):
    """A partition has had events to fold for too long without folding one."""


class Watch:
    """Looks at the owned partitions every `every_s` seconds; `stall_s` seconds without progress are too long."""

    def __init__(
        self,
        partitions: Partitions,
        reader: PartitionReader,
        *,
        topic: str,
        on_stall: Callable[[BaseException], None],
        every_s: float = 10.0,
        stall_s: float = 120.0,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._partitions = partitions
        self._reader = reader
        self._topic = topic
        self._on_stall = on_stall
        self._every_s = every_s
        self._stall_s = stall_s
        self._now = now
        self._stood: dict[int, tuple[int, float]] = {}
        """Where a partition that is behind stood, and since when."""

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(self._every_s)
            await self.look()

    async def look(self) -> None:
        """Look at every partition once."""
        for number in list(self._partitions.owned):
            await self._look_at(number)

    async def _look_at(self, number: int) -> None:
        end = await self._end_of(number)
        owned = self._partitions.owned.get(number)
        if owned is not None and end is not None:
            behind = max(0, end - offset_of(owned.source_next))
            metrics.partition_lag.labels(str(number)).set(behind)
        if owned is None or end is None or offset_of(owned.source_next) >= end:
            self._stood.pop(number, None)
            return
        now, at = self._now(), owned.source_next
        stood, since = self._stood.get(number, (at, now))
        if stood != at:
            since = now
        self._stood[number] = (at, since)
        if now - since > self._stall_s:
            self._on_stall(
                Stalled(
                    f"partition {number}: {end - offset_of(at)} records wait, none was folded for {self._stall_s:.0f} s"
                )
            )

    async def _end_of(self, number: int) -> int | None:
        """The end of the log; None while it cannot be asked, or while the group decides who reads it."""
        if not self._partitions.restored.is_set():
            return None
        try:
            _, end = await self._reader.bounds(self._topic, number)
        except Unavailable:
            return None
        return end
