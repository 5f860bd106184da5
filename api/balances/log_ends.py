"""Up to when what was read is complete: where the log ended when, beside what ClickHouse has."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Awaitable, Callable, Collection, Mapping

from domain.errors import Unavailable
from schemas.partitioner import partition_of
from schemas.position import record_start

_KEPT_MS = ((60_000, 200), (3_600_000, 10_000), (86_400_000, 300_000))
"""Up to an age, one look of each stretch: about a thousand looks cover a day."""


class LogEnds:
    """Looks at the ends of the events topic and remembers them, the older the fewer. The port LogEnds.

    A look at `t` that found offset `e` says: when ClickHouse has everything below `e`, it has everything appended before `t`.
    """

    def __init__(
        self,
        ends: Callable[[], Awaitable[Mapping[int, int]]],
        *,
        partitions: int,
        wall_ms: Callable[[], int],
    ) -> None:
        """`ends`: by partition, the offset after its last record; Unavailable."""
        self._ends = ends
        self._partitions = partitions
        self._wall_ms = wall_ms
        self._looks: list[tuple[int, Mapping[int, int]]] = []
        self._looking: asyncio.Task[None] | None = None

    async def look(self) -> None:
        """See where the log ends now; while Kafka cannot be asked, what was seen stays. One look at a time serves all who ask."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        await asyncio.shield(self._looking)

    async def _look(self) -> None:
        at_ms = self._wall_ms()
        try:
            ends = await self._ends()
        except Unavailable:
            return
        positions = {partition: record_start(offset) for partition, offset in ends.items()}
        self._looks = _thinned([*self._looks, (at_ms, positions)], at_ms)

    def as_of_ms(self, visible: Mapping[int, int], partitions: Collection[int]) -> int | None:
        """The newest look whose ends ClickHouse has of these partitions; None when there is none."""
        oldest: int | None = None
        for partition in partitions:
            at = self._of_partition(partition, visible.get(partition, 0))
            if at is None:
                return None
            oldest = at if oldest is None else min(oldest, at)
        if oldest is None and self._looks:
            return self._looks[-1][0]
        return oldest

    def partition_of(self, subject: str) -> int:
        """The partition of a subject's events."""
        return partition_of(subject.encode("utf-8", "surrogatepass"), self._partitions)

    def _of_partition(self, partition: int, visible: int) -> int | None:
        """Ends only grow, so the newest look below is found by halves."""
        index = bisect_right(self._looks, visible, key=lambda look: look[1].get(partition, 0))
        return self._looks[index - 1][0] if index else None


def _thinned(
    looks: list[tuple[int, Mapping[int, int]]], now_ms: int
) -> list[tuple[int, Mapping[int, int]]]:
    """The first look of each stretch of time; stretches lie at the same times for ever, so that none moves out of its own."""
    kept: dict[tuple[int, int], tuple[int, Mapping[int, int]]] = {}
    for look in looks:
        step_ms = next((step for age, step in _KEPT_MS if now_ms - look[0] < age), None)
        if step_ms is not None:
            kept.setdefault((step_ms, look[0] // step_ms), look)
    return list(kept.values())
