"""What reading balances needs from outside, as protocols; `runtime` brings the real ones."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from domain.customers.customer import Customer
from domain.metering.filters import TextFilter
from domain.metering.meter import Meter
from domain.metering.series import Series
from domain.metering.usage_events import EventPlace, UsageEvent
from schemas.balances import Answer, Question
from schemas.catalog import EntitlementRecord, FeatureRecord


class UsageHistory(Protocol):
    """Usage as ClickHouse has it, by minute: what balances are recomputed from."""

    async def read(
        self,
        meter: Meter,
        subjects: Sequence[str],
        start_minute: int,
        end_minute: int | None = None,
        group_filters: Sequence[tuple[str, TextFilter]] = (),
    ) -> Series:
        """Everything of the subjects in minutes `[start_minute, end_minute)` as of one moment; Refused when it is too much, Unavailable."""
        ...


class UsageEvents(Protocol):
    """Stored events behind usage."""

    async def events(
        self,
        meter: Meter,
        subjects: Sequence[str],
        start: int,
        end: int,
        *,
        limit: int,
        after: EventPlace | None = None,
        group_filters: Sequence[tuple[str, TextFilter]] = (),
    ) -> Sequence[UsageEvent]:
        """The first `limit` events of the meter's type in seconds `[start, end)` after a place, duplicates too; Unavailable."""
        ...


class BalanceRecords(Protocol):
    """What management has stored of customers, entitlements, features and meters; every call raises Unavailable."""

    async def customers(
        self, names: Sequence[str], *, by_subject: bool = False
    ) -> Mapping[str, Customer]:
        """By name as asked: an id (deleted ones, too) or the key of a live one; `by_subject`: a subject's, by id or key."""
        ...

    async def subjects_of(self, customers: Sequence[Customer]) -> Mapping[str, tuple[str, ...]]:
        """By customer id, the subjects whose events are theirs: a subject key that is another's key is not."""
        ...

    async def entitlements(self, customer_ids: Sequence[str]) -> Sequence[EntitlementRecord]:
        """All of theirs that are not deleted."""
        ...

    async def entitlements_by_id(self, ids: Sequence[str]) -> Mapping[str, EntitlementRecord]:
        """By id, deleted ones too, whoever's they are."""
        ...

    async def features(self, ids: Sequence[str]) -> Mapping[str, FeatureRecord]:
        """By id, archived ones too."""
        ...

    async def known_features(self, keys: Sequence[str]) -> Collection[str]:
        """Those of the keys that a feature has which is not archived."""
        ...

    async def meters_by_id(self, ids: Sequence[str]) -> Mapping[str, Meter]:
        """By id, deleted ones too."""
        ...


class WorkerBalances(Protocol):
    """The workers' running balances."""

    async def ask(
        self, questions: Sequence[Question], catalog: int
    ) -> Sequence[tuple[Answer, str]]:
        """One (answer, role) for each question, role `owner` or `standby`; Unavailable when no worker can be asked."""
        ...


class LogEnds(Protocol):
    """How far the events topic goes."""

    def as_of_ms(self, visible: Mapping[int, int], partitions: Collection[int]) -> int | None:
        """Up to when (Unix ms) everything appended to `partitions` is below `visible`; None when that is not known."""
        ...

    async def look(self) -> None:
        """See where the log ends now; what cannot be seen changes nothing."""
        ...

    def partition_of(self, subject: str) -> int:
        """The partition of a subject's events."""
        ...
