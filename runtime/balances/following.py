"""Which balance partitions this worker follows: those it owns, those it is standby of, and for a while those it was.

Nothing is closed because the group decides anew: what is followed goes on being followed and answers. A partition is let go
of only when another live worker owns it and this one is not its standby, for `settle_s`; its state stays on disk for
`keep_s`. docs/decisions/0161-standbys-follow-the-usage-topic.md
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from runtime.balances.followed import Followed
from runtime.balances.ports import BalancePartition, Feed
from runtime.balances.states import States
from schemas.owners import WorkerRecord, owner_by_partition, standby_of

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowingOptions:
    """`name` is the worker's on the owners topic; `bytes_max` is for all partitions of the worker together."""

    name: str
    partitions: int
    standbys: int = 1
    bytes_max: int = 64 << 20
    settle_s: float = 30.0
    keep_s: float = 3600.0
    sweep_s: float = 60.0


class Following:
    """`owned` and `followed` change here and nowhere else."""

    def __init__(
        self,
        feed: Feed,
        states: States,
        *,
        open_partition: Callable[[int, Path], BalancePartition],
        live: Callable[[], Sequence[WorkerRecord]],
        wake: Callable[[], None],
        now_ms: Callable[[], int],
        options: FollowingOptions,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.followed: dict[int, Followed] = {}
        self.owned: frozenset[int] = frozenset()
        self.generation = -1
        self.changed = asyncio.Event()
        """Set when there is something to settle."""
        self._feed = feed
        self._states = states
        self._open = open_partition
        self._live = live
        self._wake = wake
        self._now_ms = now_ms
        self._options = options
        self._monotonic = monotonic
        self._swept_at = monotonic()

    def own(self, numbers: Iterable[int], generation: int) -> None:
        """The group gave this worker these partitions, all of them restored."""
        self.owned, self.generation = frozenset(numbers), generation
        self.changed.set()

    async def resume(self) -> None:
        """Follow what was followed when this worker stopped: it answers before the group has decided anything."""
        self._states.sweep(self._options.keep_s)
        for number in self._states.in_use():
            await self._take_up(number)

    async def settle(self) -> bool:
        """Follow what is to be followed and let go of the rest; whether anything changed."""
        self.changed.clear()
        live = self._live()
        wanted = self.owned | standby_of(self._options.name, live, self._options.standbys)
        before = set(self.followed)
        for number in sorted(wanted):
            if number < self._options.partitions:
                await self._take_up(number)
        others = {
            number
            for number, owner in owner_by_partition(live).items()
            if owner.name != self._options.name
        }
        for number in before - wanted:
            await self._leave_in_time(self.followed[number], others)
        self._sweep_in_time()
        return before != set(self.followed)

    async def close(self) -> None:
        """Let go of everything; the next start goes on with it."""
        for one in list(self.followed.values()):
            self._feed.leave(one.number)
            del self.followed[one.number]
            await one.close()

    async def _take_up(self, number: int) -> None:
        if number in self.followed:
            self.followed[number].left_at = None
            return
        partition = self._open(number, self._states.taken_up(number))
        end = await self._feed.end(number)
        if partition.next_offset is not None and partition.next_offset > end:
            log.error(
                "balances are ahead of their topic: they begin anew",
                extra={"partition": number, "offset": partition.next_offset, "end": end},
            )
            await partition.close()
            self._states.destroy(number)
            partition = self._open(number, self._states.taken_up(number))
        if partition.next_offset is None:
            partition.began_at(end)
        followed = Followed(
            number,
            partition,
            bytes_max=max(1, self._options.bytes_max // self._options.partitions),
            wake=self._wake,
            now_ms=self._now_ms,
        )
        self.followed[number] = followed
        offset = end if partition.next_offset is None else partition.next_offset
        self._feed.follow(number, offset, followed)
        self._wake()
        log.info("balances followed", extra={"partition": number, "offset": offset, "end": end})

    async def _leave_in_time(self, one: Followed, owned_by_others: set[int]) -> None:
        if one.number not in owned_by_others:
            one.left_at = None
        elif one.left_at is None:
            one.left_at = self._monotonic()
        elif self._monotonic() - one.left_at >= self._options.settle_s:
            self._feed.leave(one.number)
            del self.followed[one.number]
            await one.close()
            self._states.left(one.number)
            log.info("balances no longer followed", extra={"partition": one.number})

    def _sweep_in_time(self) -> None:
        if self._monotonic() - self._swept_at >= self._options.sweep_s:
            self._swept_at = self._monotonic()
            self._states.sweep(self._options.keep_s)
