"""What publishing balances needs from outside."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from datetime import datetime
from typing import Any, Protocol

from schemas.balances import Answer, Question
from schemas.catalog import CustomerRecord, EntitlementRecord

Values = Callable[[Question, datetime], Answer]
"""The balances of a partition (`BalancePartition.answer`)."""


class BalancesLog(Protocol):
    """The balances topic."""

    async def append(self, partition: int, records: Sequence[tuple[bytes, bytes | None]]) -> int:
        """Append all in one batch; where it begins. Unavailable when it is not known to be there."""
        ...

    async def bounds(self, partition: int) -> tuple[int, int]:
        """(first offset retained, end offset). Unavailable."""
        ...

    def read(
        self, partition: int, start: int, end: int
    ) -> AsyncIterator[tuple[Sequence[Any], int]]:
        """Lists of records in [start, end), with the position after each. Unavailable."""
        ...


class CatalogView(Protocol):
    """What the worker knows of management."""

    def customer(self, id_or_key: str) -> CustomerRecord | None:
        """By id (deleted ones too), or by the key of a live one."""
        ...

    def entitlement(self, id: str) -> EntitlementRecord | None:
        """By id."""
        ...

    def entitlements_of(self, customer_id: str) -> Sequence[EntitlementRecord]:
        """All, deleted ones too."""
        ...

    def customers_in(self, partition: int) -> Iterator[str]:
        """The ids of the live customers of a balance partition."""
        ...
