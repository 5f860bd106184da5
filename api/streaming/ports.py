"""What streams of balances need from outside."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Protocol


class BalancesLog(Protocol):
    """The balances topic, for who reads it. Everything raises Unavailable."""

    @property
    def partitions(self) -> int:
        """Of the topic."""
        ...

    async def topic_id(self) -> str:
        """Tells the topic from another one of its name."""
        ...

    async def bounds(self, partition: int) -> tuple[int, int]:
        """(first offset retained, end offset)."""
        ...

    def read(
        self, partition: int, start: int, end: int
    ) -> AsyncIterator[tuple[Sequence[Any], int]]:
        """Lists of records in [start, end), with the position after each."""
        ...


class BalancesTail(Protocol):
    """Follows the balances topic."""

    async def start(
        self,
        begin: Callable[[dict[int, int]], None],
        take: Callable[[int, Sequence[Any]], None],
    ) -> None:
        """`begin` is told the offsets that following starts at, `take` gets what comes from there on, in order, each once."""
        ...

    async def stop(self) -> None:
        """Stop following."""
        ...
