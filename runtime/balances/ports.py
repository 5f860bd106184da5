"""What following, working and answering need of one balance partition, of the feed and of the catalog."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from schemas.balances import Answer, Question
from schemas.catalog import CatalogRecord, CustomerRecord

KeyValue = tuple[bytes, bytes | None]


class BalancePartition(Protocol):
    """streams/balances/partition.py: the balances of one partition, with their state on disk."""

    @property
    def next_offset(self) -> int | None:
        """Where the usage topic is read on; None: at its end, which `began_at` is then told."""
        ...

    @property
    def as_of_ms(self) -> int:
        """Events appended up to then are counted, Unix milliseconds; 0 while that is not known."""
        ...

    changed: Callable[[Sequence[str]], None] | None
    """Told the ids of entitlements whose values changed."""

    @property
    def source_next(self) -> Mapping[int, int]:
        """By source partition, the position below which every event is in what `answer` says."""
        ...

    @property
    def waiting_bytes(self) -> int:
        """Of records that were taken and wait for `work`."""
        ...

    def began_at(self, offset: int) -> None:
        """Without a state reading begins at `offset`."""
        ...

    def take(self, records: Sequence[KeyValue], next_offset: int) -> None:
        """The next records; cheap."""
        ...

    async def work(self) -> bool:
        """One slice of what is to do; False = nothing left for now. Called after `take`, and every 100 ms without."""
        ...

    def answer(self, question: Question, now: datetime) -> Answer:
        """The values asked for, by what is counted until now."""
        ...

    async def close(self) -> None:
        """Let go of the state."""
        ...


class Taker(Protocol):
    """Who takes the records of a followed partition."""

    def has_room(self) -> bool:
        """Whether more may be read now."""
        ...

    def take(self, records: Sequence[KeyValue], next_offset: int) -> None:
        """The next records, in order."""
        ...


class Feed(Protocol):
    """connectors/kafka/usage_feed.py."""

    async def end(self, partition: int) -> int:
        """The offset after the last record."""
        ...

    def follow(self, partition: int, offset: int, taker: Taker) -> None:
        """Read from `offset` on."""
        ...

    def leave(self, partition: int) -> None:
        """Read no more."""
        ...

    def wake(self) -> None:
        """There may be room again."""
        ...

    def lag(self, partition: int) -> int | None:
        """Offsets still to be read; None while that is not known."""
        ...


class Catalog(Protocol):
    """tables/catalog.py, as far as answers need it."""

    @property
    def version(self) -> int:
        """The newest catalog version that was applied."""
        ...

    def customer(self, id_or_key: str) -> CustomerRecord | None:
        """By id, deleted ones too; by key, live ones only."""
        ...

    def customer_of(self, subject: str) -> str | None:
        """The id of the live customer whose usage the subject's events are."""
        ...

    def on_change(self, call: Callable[[CatalogRecord], None]) -> None:
        """Call with each record once it was applied."""
        ...
