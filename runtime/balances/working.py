"""Gives the followed partitions their turns on the worker's event loop, and takes no more of it than its share.

Live, what comes is worked on at once, at most every `batch_s` so that rows of a key fall together. While events wait to be
counted, balances rest after each turn until they have had only `share` of the time, at most `rest_s_max`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from runtime.balances.followed import Followed
from streams.balances import metrics

_BRIEF_S = 0.0005


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkingOptions:
    """Seconds; `share` of the time, 0 < share <= 1. Without anything new timers are looked at every `tick_s`."""

    share: float = 0.25
    batch_s: float = 0.005
    rest_s_max: float = 0.5
    tick_s: float = 0.1


class Working:
    """Runs until cancelled; an error in a partition ends it, and with it the worker."""

    def __init__(
        self,
        followed: Callable[[], Iterable[Followed]],
        *,
        backlogged: Callable[[], bool],
        freed: Callable[[], None],
        options: WorkingOptions,
    ) -> None:
        self._followed = followed
        self._backlogged = backlogged
        self._freed = freed
        self._options = options
        self._awake = asyncio.Event()

    def wake(self) -> None:
        """There is something to do."""
        self._awake.set()

    async def run(self) -> None:
        """One round after the other."""
        while True:
            took, more = await self._round()
            if more:
                self._awake.set()
            await asyncio.sleep(rest(took, self._backlogged(), self._options))
            try:
                async with asyncio.timeout(self._options.tick_s):
                    await self._awake.wait()
            except TimeoutError:
                continue

    async def _round(self) -> tuple[float, bool]:
        """Every partition one turn: the seconds they took, and whether there is more to do.

        Between two turns others have theirs: a question need not wait for all partitions.
        """
        self._awake.clear()
        total, more = 0.0, False
        for one in list(self._followed()):
            began = time.perf_counter()
            more = await one.work() or more
            took = time.perf_counter() - began
            total += took
            if took > _BRIEF_S:
                await asyncio.sleep(0)
        self._freed()
        metrics.work_seconds.inc(total)
        return total, more


def rest(took: float, backlogged: bool, options: WorkingOptions) -> float:
    """How long to rest after a round that took `took` seconds."""
    if backlogged:
        return min(took * (1 / options.share - 1), options.rest_s_max)
    return max(0.0, options.batch_s - took)
