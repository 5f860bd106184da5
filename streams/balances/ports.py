"""What running balances need from outside, as protocols; `runtime` brings the real ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Protocol

from domain.metering.filters import TextFilter
from domain.metering.meter import Meter
from domain.metering.series import Series
from schemas.catalog import (
    CatalogRecord,
    CustomerRecord,
    EntitlementRecord,
    FeatureRecord,
    MeterRecord,
)
from tables.catalog import Moved


class CatalogView(Protocol):
    """The whole catalog as this worker has it. All calls are cheap and from one thread."""

    @property
    def version(self) -> int:
        """The newest version applied."""
        ...

    def customer(self, id_or_key: str) -> CustomerRecord | None:
        """By id, deleted ones too; else the live one with this key."""
        ...

    def customer_of(self, subject: str) -> str | None:
        """The id of the live customer whose usage the subject's events are."""
        ...

    def entitlements_of(self, customer_id: str) -> Sequence[EntitlementRecord]:
        """All of the customer, deleted ones too."""
        ...

    def entitlement(self, id: str) -> EntitlementRecord | None:
        """The newest record."""
        ...

    def feature(self, id: str) -> FeatureRecord | None:
        """The newest record."""
        ...

    def meter(self, id: str) -> MeterRecord | None:
        """The newest record."""
        ...

    def version_of(self, kind: str, id: str) -> int:
        """The catalog version of an entity's newest record, 0 = there is none."""
        ...

    def customers_in(self, partition: int) -> Iterator[str]:
        """The ids of the customers of a balance partition. The catalog may change meanwhile."""
        ...

    def on_change(self, call: Callable[[CatalogRecord], None]) -> None:
        """`call` is told of every record after it was applied."""
        ...

    def on_moved(self, call: Callable[[Sequence[Moved]], None]) -> None:
        """`call` is told whose customer is another one now, before `on_change` of the same records."""
        ...


class History(Protocol):
    """Usage as ClickHouse has it; raises Unavailable when it is down, Refused when there is too much."""

    async def read(
        self,
        meter: Meter,
        subjects: Sequence[str],
        start_minute: int,
        end_minute: int | None = None,
        group_filters: Sequence[tuple[str, TextFilter]] = (),
    ) -> Series:
        """The usage of subjects in minutes `[start_minute, end_minute)`, exact below the series' `visible`."""
        ...

    async def visible(self) -> Mapping[int, int]:
        """By source partition, the position below which every event can be read."""
        ...


Held = Callable[[str, datetime], Decimal]
"""(entitlement id, now) → what holds have reserved of its balance."""

Now = Callable[[], datetime]
"""The time that rules go by."""
