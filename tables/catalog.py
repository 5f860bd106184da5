"""The catalog of a namespace as the agents of a worker read it: what management has changed, up to some version.

Kept by `tables/catalog_store.py`. Everything is a plain call of the one thread that also applies changes, so that what is
read between two awaits is of one version.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Protocol

from schemas.catalog import (
    CatalogRecord,
    CustomerRecord,
    EntitlementRecord,
    FeatureRecord,
    MeterRecord,
)


class Moved(NamedTuple):
    """The events of `subject` were the usage of customer `before` and are now that of `after` (ids; None = nobody's)."""

    subject: str
    before: str | None
    after: str | None


class CatalogView(Protocol):
    """The read side. Records are found whether they are deleted or not, unless it says so."""

    @property
    def version(self) -> int:
        """The newest version applied; 0 before the first."""
        ...

    def customer(self, id_or_key: str) -> CustomerRecord | None:
        """The customer of this id, deleted or not, else the live one of this key."""
        ...

    def customer_of(self, subject: str) -> str | None:
        """The id of the live customer whose usage the events of `subject` are: a key goes before another's subject key."""
        ...

    def customers_of(self, subjects: Sequence[str]) -> list[str | None]:
        """`customer_of` each, read together."""
        ...

    def entitlements_of(self, customer_id: str) -> Sequence[EntitlementRecord]:
        """All entitlements of a customer, deleted ones too, by id."""
        ...

    def entitlement(self, id: str) -> EntitlementRecord | None:
        """The entitlement of this id."""
        ...

    def feature(self, id: str) -> FeatureRecord | None:
        """The feature of this id, archived or not."""
        ...

    def features_of(self, meter_id: str) -> Sequence[FeatureRecord]:
        """All features of a meter, archived ones too, by id."""
        ...

    def meter(self, id: str) -> MeterRecord | None:
        """The meter of this id."""
        ...

    def version_of(self, kind: str, id: str) -> int:
        """The catalog version of the newest record of an entity; 0 when there is none."""
        ...

    def customers_in(self, partition: int) -> Iterator[str]:
        """The ids of the live customers whose usage goes to this partition of the usage topic, in order."""
        ...

    def on_change(self, call: Callable[[CatalogRecord], None]) -> None:
        """Call for each record that changed something, after it can be read here."""
        ...

    def on_moved(self, call: Callable[[Sequence[Moved]], None]) -> None:
        """Call with the subjects whose customer is another one now, before the calls of `on_change` for the same records."""
        ...
