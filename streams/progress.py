"""Tells every partition of the usage topic how far each owned source partition is (`schemas/usage_records.py: Progress`).

Told is what is durable: rows below the position are acknowledged, and the changelog has counted a batch of ours after the
catalog was at the version told. So what was told stays true whoever owns the partition next: it reads the catalog's end
after the changelog's, and goes by that version or a newer one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass

from domain.errors import Unavailable
from schemas.usage_records import Progress, encode_progress, progress_key
from streams import metrics
from streams.ports import LogRecord, ProgressLog

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgressOptions:
    """`partitions` of the usage topic. At most every `interval_s` after chunks; what stands idle is told less and less often."""

    partitions: int
    interval_s: float = 0.1
    idle_intervals_max: int = 5


@dataclass(slots=True)
class _Standing:
    """Where a partition is, what was told of it last, and after how many intervals its time is told again."""

    source_next: int
    catalog: int
    newest_ms: int
    told: Progress | None = None
    waited: int = 0
    idle_intervals: int = 1


class ProgressTeller:
    """Progress of all partitions of one worker.

    `read_whole_at` says when (Unix milliseconds) nothing of a partition's log was left to count; None while something is.
    """

    def __init__(
        self,
        progress_log: ProgressLog,
        read_whole_at: Callable[[int], int | None],
        options: ProgressOptions,
    ) -> None:
        self._log = progress_log
        self._read_whole_at = read_whole_at
        self._options = options
        self._standings: dict[int, _Standing] = {}
        self._at_once = asyncio.Event()

    def landed(
        self, partition: int, source_next: int, *, catalog: int, newest_ms: int, at_once: bool
    ) -> None:
        """A chunk is durable: `source_next` is the position after it."""
        standing = self._standings.get(partition)
        if standing is None:
            self._standings[partition] = _Standing(source_next, catalog, newest_ms)
        else:
            standing.source_next, standing.catalog = source_next, catalog
            standing.newest_ms = newest_ms
        if at_once:
            self._at_once.set()

    def keep_only(self, owned: Container[int]) -> None:
        """Others tell of the rest."""
        for partition in [number for number in self._standings if number not in owned]:
            del self._standings[partition]

    async def run(self) -> None:
        """Tell until cancelled. While Kafka is not there it is tried again: nothing waits here but the newest state."""
        while True:
            try:
                async with asyncio.timeout(self._options.interval_s):
                    await self._at_once.wait()
            except TimeoutError:
                pass
            self._at_once.clear()
            try:
                await self.tell()
            except Unavailable as problem:
                metrics.progress_failures.inc()
                log.warning("progress could not be told: %s", problem)

    async def tell(self) -> None:
        """Tell what is news. Unavailable: it still is."""
        news = [
            (standing, progress)
            for number, standing in self._standings.items()
            if (progress := self._news(number, standing)) is not None
        ]
        if not news:
            return
        records: Sequence[LogRecord] = [
            (progress_key(progress.partition), encode_progress(progress)) for _, progress in news
        ]
        await self._log.append_progress(dict.fromkeys(range(self._options.partitions), records))
        metrics.progress_told.inc(len(news))
        for standing, progress in news:
            standing.told = progress

    def _news(self, number: int, standing: _Standing) -> Progress | None:
        """What to tell of a partition: where it is when it moved, else only up to when, now and then."""
        told = standing.told
        moved = told is None or (told.source_next, told.catalog) != (
            standing.source_next,
            standing.catalog,
        )
        whole_at = self._read_whole_at(number)
        if moved:
            standing.waited, standing.idle_intervals = 0, 1
        else:
            standing.waited += 1
            if whole_at is None or standing.waited < standing.idle_intervals:
                return None
            standing.waited = 0
            longest = self._options.idle_intervals_max
            standing.idle_intervals = min(longest, 2 * standing.idle_intervals)
        as_of_ms = max(standing.newest_ms, whole_at or 0, told.as_of_ms if told else 0)
        return Progress(
            partition=number,
            source_next=standing.source_next,
            catalog=standing.catalog,
            as_of_ms=as_of_ms,
        )
