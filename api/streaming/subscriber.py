"""One client of the stream as the hub sees it: what it wants, and what waits for it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple

from schemas.balance_changes import Change


class Told(NamedTuple):
    """A change where it stands in the topic; `after`: what following has seen of every partition once it has seen this."""

    partition: int
    offset: int
    change: Change
    after: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Ids or keys; None = all."""

    customers: frozenset[str] | None = None
    features: frozenset[str] | None = None

    def has(self, change: Change) -> bool:
        """Whether the client is to be told."""
        value = change.value
        return _fits(self.customers, (value.customer_id, change.customer_key)) and _fits(
            self.features, (value.feature_id, value.feature_key)
        )


class Subscriber:
    """At most `backlog_max` changes wait; past that it has fallen behind, and nothing more is kept for it."""

    def __init__(self, wanted: Wanted, backlog_max: int) -> None:
        self.wanted = wanted
        self._backlog_max = backlog_max
        self._waiting: deque[Told] = deque()
        self._awake = asyncio.Event()
        self.behind = False
        self.closed = False

    def tell(self, told: Told) -> None:
        """A change that it wants."""
        if self.behind:
            return
        if len(self._waiting) >= self._backlog_max:
            self.behind = True
            self._waiting.clear()
        else:
            self._waiting.append(told)
        self._awake.set()

    def close(self) -> None:
        """The process stops."""
        self.closed = True
        self._awake.set()

    def take(self) -> Told | None:
        """The next one that waits."""
        return self._waiting.popleft() if self._waiting else None

    @property
    def is_idle(self) -> bool:
        """Whether all that it wants has been taken."""
        return not (self._waiting or self.behind or self.closed)

    async def wait(self, seconds: float) -> bool:
        """Until something waits, it has fallen behind or is closed; False when nothing came within `seconds`."""
        self._awake.clear()
        if not self.is_idle:
            return True
        try:
            async with asyncio.timeout(seconds):
                await self._awake.wait()
        except TimeoutError:
            return False
        return True


def _fits(wanted: Collection[str] | None, names: Collection[str | None]) -> bool:
    return wanted is None or any(name in wanted for name in names)
