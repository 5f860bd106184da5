"""What the API needs from outside, as protocols; `runtime` brings the real ones."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from domain.customers.customer import Customer
from domain.customers.listing import CustomerListing, CustomerPage
from domain.customers.subject import Subject, SubjectUpsert
from domain.entitlements.finding import (
    EntitlementFilter,
    FeatureName,
    GrantFilter,
    OfOwner,
    Owner,
    Place,
    Slice,
)
from domain.entitlements.managed import Aggregate, Holder, ManagedEntitlement, ManagedGrant
from domain.entitlements.managing import Opening
from domain.features.feature import Feature
from domain.features.listing import FeatureListing, FeaturePage
from domain.metering.listing import EventListing as EventListing
from domain.metering.listing import StoredEvent as StoredEvent
from domain.metering.meter import Meter
from domain.metering.query import MeterQuery, ResultRow
from domain.metering.rejected import RejectedListing, RejectedPage
from domain.metering.verdicts import StoredVerdict, VerdictListing
from schemas.catalog import CatalogRecord, ClockRecord, CustomerRecord, EntitlementRecord


class EventLog(Protocol):
    """Where accepted events go: returns when every record is acknowledged, raises Unavailable otherwise."""

    async def append(
        self, records: Sequence[tuple[int, bytes, bytes]]
    ) -> Sequence[tuple[int, int]]:
        """Append (partition, key, value) records; (partition, offset) of each, as they were acknowledged."""
        ...

    @property
    def partitions(self) -> int:
        """The partition count of the events topic."""
        ...


class EventStore(Protocol):
    """Stored events."""

    async def list_events(self, listing: EventListing) -> list[StoredEvent]:
        """The visible accepted events that fit."""
        ...


class RejectedEvents(Protocol):
    """What was refused on its way through Kafka."""

    async def list_rejected(self, listing: RejectedListing) -> RejectedPage:
        """A page; Unavailable."""
        ...


class Verdicts(Protocol):
    """Stored events with what was decided of them."""

    @property
    def topic(self) -> str:
        """The topic that their positions belong to."""
        ...

    async def find(self, listing: VerdictListing) -> Sequence[StoredVerdict]:
        """The first `limit` by place; Unavailable."""
        ...

    async def counted_since(self, second: int, limit: int) -> Sequence[tuple[str, int]]:
        """Visible accepted events at or after `second` by subject, the `limit` subjects with the most; Unavailable."""
        ...


class Redrives(Protocol):
    """Which refused records were sent again."""

    async def done_at(self, ids: Sequence[str]) -> Mapping[str, datetime]:
        """When, by id; those that were not are left out. Unavailable."""
        ...


class Customers(Protocol):
    """Customers, and whose events are whose: a subject belongs to at most one. Changes write the outbox in the same transaction."""

    async def create(self, customer: Customer) -> Customer:
        """Store a new customer, and make the subjects that it names and that are not managed yet.

        Conflict when its key or a subject key is another's; Refused when a subject key is the id of a subject.
        """
        ...

    async def find(self, id_or_key: str) -> Customer:
        """By id (deleted ones too) or by the key of a live one; NotFound."""
        ...

    async def update(self, id_or_key: str, change: Callable[[Customer], Customer]) -> Customer:
        """Store what `change` makes of the customer as it is now, no other change in between. As `create`, NotFound, what `change` raises."""
        ...

    async def delete(self, id_or_key: str) -> None:
        """Soft: its key and subjects are free. NotFound, PreconditionFailed for a deleted one, Conflict with active entitlements."""
        ...

    async def list_customers(self, listing: CustomerListing) -> CustomerPage:
        """A page."""
        ...

    async def of_subjects(self, subjects: Sequence[str]) -> Mapping[str, str]:
        """The customer's id by subject; subjects that belong to nobody are left out."""
        ...

    async def subjects_of(self, customer_id: str) -> Sequence[str]:
        """The subjects of a live customer: its key and its subject keys, except those that are another's key. NotFound."""
        ...


class Subjects(Protocol):
    """Subjects as something that is managed; events need none."""

    async def upsert(self, upserts: Sequence[SubjectUpsert]) -> Sequence[Subject]:
        """Make or change each, all or none. Refused; Conflict when a new key is given twice."""
        ...

    async def find(self, id_or_key: str) -> Subject:
        """By id (deleted ones too) or by the key of a live one; NotFound."""
        ...

    async def delete(self, id_or_key: str) -> None:
        """Soft; its customer keeps the key. Deleting a deleted one by id changes nothing. NotFound."""
        ...

    def pages(self, page_size: int) -> AsyncIterator[Sequence[Subject]]:
        """All live subjects by id, a page at a time."""
        ...

    async def display_names(self, keys: Sequence[str]) -> Mapping[str, str | None]:
        """The display names by key of those live subjects that there are."""
        ...


class Features(Protocol):
    """The features of a namespace; changes write the outbox in the same transaction."""

    async def create(self, feature: Feature) -> Feature:
        """Store a new feature; Conflict when a live one has its key, NotFound when its meter is gone."""
        ...

    async def find(self, id_or_key: str) -> Feature:
        """A live one by id or key; NotFound."""
        ...

    async def archive(self, id_or_key: str) -> None:
        """Its key is free; its entitlements live on. NotFound, also for an archived one."""
        ...

    async def list_features(self, listing: FeatureListing) -> FeaturePage:
        """A part of those that fit."""
        ...


class MeterUsage(Protocol):
    """Answers to questions about a meter; raises Unavailable."""

    async def query(self, query: MeterQuery) -> list[ResultRow]:
        """Rows ordered by window start, subject, groups; windows without events are absent."""
        ...

    async def subjects(self, meter: Meter, start: int | None, end: int | None) -> list[str]:
        """Distinct subjects of the events of the meter's type in `[start, end)`, by code point."""
        ...

    async def group_values(
        self, meter: Meter, key: str, start: int | None, end: int | None
    ) -> list[str]:
        """Distinct values of group `key` in `[start, end)`, sorted."""
        ...


class Meters(Protocol):
    """The meters of a namespace; changes write the outbox in the same transaction."""

    async def create(self, meter: Meter) -> Meter:
        """Store a new meter; Conflict when a live one has its slug."""
        ...

    async def find(self, id_or_slug: str) -> Meter:
        """By id (deleted ones too) or by slug of a live one; NotFound."""
        ...

    async def update(self, id_or_slug: str, change: Callable[[Meter], Meter]) -> Meter:
        """Store what `change` makes of the meter as it is now, no other change in between. NotFound, what `change` raises.

        Conflict when a live feature filters on a group that the meter would lose.
        """
        ...

    async def delete(self, id_or_slug: str) -> None:
        """Soft; deleting a deleted one by id is fine; NotFound, Conflict while live features or active entitlements use it."""
        ...

    async def list_meters(
        self, *, order_by: str, descending: bool, include_deleted: bool, limit: int
    ) -> list[Meter]:
        """Up to `limit` meters."""
        ...

    async def of_types(self, event_types: Sequence[str]) -> list[Meter]:
        """Live meters whose event type is one of these."""
        ...


class Entitlements(Protocol):
    """Entitlements with their grants and resets; changes write the outbox in the same transaction. All raise Unavailable.

    What `change` and `make` are given is read in the transaction, which no other change can slip into; so is the time.
    Owners: NotFound when unknown, PreconditionFailed when deleted; a subject that is nobody's is NotFound.
    """

    @property
    def catalog_version(self) -> int:
        """The newest version of the catalog that this process has committed: what a worker must have seen; 0 = none."""
        ...

    async def of_customer(
        self, customer_id_or_key: str
    ) -> tuple[CustomerRecord, Sequence[EntitlementRecord]]:
        """A customer and its entitlements that are not deleted, ended ones too, with grants and resets."""
        ...

    async def of_subject(
        self, subject_id_or_key: str
    ) -> tuple[CustomerRecord, Sequence[EntitlementRecord]]:
        """The same of the customer whose usage the subject's events are."""
        ...

    async def record(self, entitlement_id: str) -> EntitlementRecord:
        """By id; NotFound, also when it is deleted."""
        ...

    async def create(
        self, owner: Owner, feature: FeatureName, make: Callable[[Opening], Aggregate]
    ) -> tuple[ManagedEntitlement, Holder]:
        """Store what `make` makes for owner and feature; NotFound, what `make` raises."""
        ...

    async def override(
        self,
        place: OfOwner,
        feature: FeatureName,
        make: Callable[[Aggregate, Opening], tuple[Aggregate, Aggregate]],
    ) -> tuple[ManagedEntitlement, Holder]:
        """Store what `make` makes of the entitlement and of its successor; the successor. NotFound, what `make` raises."""
        ...

    async def change(
        self, place: Place, change: Callable[[Aggregate, datetime], Aggregate]
    ) -> Aggregate:
        """Store what `change` makes of the entitlement as it is now; NotFound, what `change` raises."""
        ...

    async def change_grant(
        self, grant_id: str, change: Callable[[Aggregate, datetime], Aggregate]
    ) -> None:
        """Store what `change` makes of the entitlement that has this grant; NotFound, what `change` raises."""
        ...

    async def find(self, place: Place) -> tuple[ManagedEntitlement, Holder]:
        """NotFound."""
        ...

    async def list_entitlements(
        self, wanted: EntitlementFilter, part: Slice
    ) -> tuple[Sequence[tuple[ManagedEntitlement, Holder]], int]:
        """A part, and how many there are in all; NotFound for its owner."""
        ...

    async def list_grants(
        self, wanted: GrantFilter, part: Slice
    ) -> tuple[Sequence[ManagedGrant], int]:
        """A part, and how many there are in all; NotFound for its place or customers."""
        ...


class TestingClock(Protocol):
    """The time that every process goes by, as tests set it."""

    async def read(self) -> CatalogRecord | None:
        """The newest change; None when it was never set. Unavailable."""
        ...

    async def set(self, at: datetime | None, *, frozen: bool) -> ClockRecord:
        """It is `at` now, None: the real time. This process goes by it when the call returns. Unavailable."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Everything the API is given. `now` is the clock (aware, UTC), `new_id` makes a ULID."""

    event_log: EventLog
    events: EventStore
    usage: MeterUsage
    meters: Meters
    customers: Customers
    subjects: Subjects
    features: Features
    entitlements: Entitlements
    rejected: RejectedEvents
    redrives: Redrives
    verdicts: Verdicts
    now: Callable[[], datetime]
    new_id: Callable[[], str]
    testing_clock: TestingClock | None = None
