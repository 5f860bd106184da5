"""What holds need from outside."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from schemas.balances import Answer, Question
from schemas.catalog import CustomerRecord, EntitlementRecord, FeatureRecord, MeterRecord

Values = Callable[[Question, datetime], Answer]
"""The balances of a partition (`BalancePartition.answer`)."""

SourceNext = Callable[[], Mapping[int, int]]
"""Which events the balances have counted: by source partition, those below a position."""


class HoldsLog(Protocol):
    """The topics that holds are written to. Everything raises Unavailable when it is not known to be there."""

    async def append(
        self, partition: int, records: Sequence[tuple[bytes, bytes | None]], at: int
    ) -> int:
        """Append all in one batch that is expected to begin at offset `at`; where it begins."""
        ...

    async def append_events(self, partition: int, key: bytes, value: bytes) -> int:
        """Append a record of events; the offset after it."""
        ...


class CatalogView(Protocol):
    """What the worker knows of management."""

    @property
    def version(self) -> int:
        """The newest catalog version that was applied."""
        ...

    def customer(self, id_or_key: str) -> CustomerRecord | None:
        """By id (deleted ones too), or by the key of a live one; an id goes first."""
        ...

    def customer_of(self, subject: str) -> str | None:
        """The id of the customer that a subject's events belong to."""
        ...

    def entitlements_of(self, customer_id: str) -> Sequence[EntitlementRecord]:
        """All, deleted ones too."""
        ...

    def entitlement(self, id: str) -> EntitlementRecord | None:
        """By id."""
        ...

    def feature(self, id: str) -> FeatureRecord | None:
        """By id."""
        ...

    def meter(self, id: str) -> MeterRecord | None:
        """By id."""
        ...
