"""One balance partition that this worker follows: takes the feed's records within its bound and is worked on in turn."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from runtime.balances.ports import BalancePartition, KeyValue
from schemas.usage_records import is_progress, progress_in
from streams.balances import metrics


class Followed:
    """`bytes_max` bounds keys and values that were taken and are not worked off."""

    def __init__(
        self,
        number: int,
        partition: BalancePartition,
        *,
        bytes_max: int,
        wake: Callable[[], None],
        now_ms: Callable[[], int],
    ) -> None:
        """`now_ms` is the real time, which the broker's append times are compared with."""
        self.number = number
        self.partition = partition
        self.left_at: float | None = None
        """Since when (monotonic seconds) others have it; it is followed for a while more."""
        self._bytes_max = bytes_max
        self._wake = wake
        self._now_ms = now_ms
        self._turn = asyncio.Lock()
        self._closed = False
        self._source_next: dict[int, int] = {}
        self._newest_ms: list[int] = []
        """Append times of the newest events in progress that was taken and not yet worked off."""

    def has_room(self) -> bool:
        """Whether more may be read now."""
        return self.partition.waiting_bytes < self._bytes_max

    def take(self, records: Sequence[KeyValue], next_offset: int) -> None:
        """Hand the records on; somebody has to work then."""
        metrics.rows_taken.inc(len(records))
        for key, value in records:
            if is_progress(key) and value is not None:
                self._note_progress(value)
        self.partition.take(records, next_offset)
        self._wake()

    async def work(self) -> bool:
        """One slice; whether there is more to do now."""
        async with self._turn:
            if self._closed:
                return False
            more = await self.partition.work()
        if not self.partition.waiting_bytes:
            now_ms = self._now_ms()
            for newest_ms in self._newest_ms:
                metrics.event_to_balance_seconds.observe(max(0, now_ms - newest_ms) / 1000)
            self._newest_ms.clear()
        return more

    async def close(self) -> None:
        """Let go of the state, between two turns of work."""
        async with self._turn:
            self._closed = True
            await self.partition.close()

    def _note_progress(self, value: bytes) -> None:
        """An idle partition's progress tells of no event."""
        progress = progress_in(value)
        if progress is None:
            return
        before = self._source_next.get(progress.partition)
        self._source_next[progress.partition] = progress.source_next
        if before is not None and before < progress.source_next:
            self._newest_ms.append(progress.as_of_ms)
