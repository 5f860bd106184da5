"""What the agents need from outside, as protocols; `runtime` brings the real ones."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from schemas.catalog import MeterRecord
from schemas.sink_block import Block

if TYPE_CHECKING:
    from streams.decoded import ForwardedEvent, HandedOver, Record, RejectedEvent

LogRecord = tuple[bytes, bytes | None]
"""(key, value); a value of None is a tombstone."""


class RouteLog(Protocol):
    """The topics that events go on to."""

    async def append_rejected(
        self, partition: int, events: Sequence[RejectedEvent]
    ) -> Awaitable[None]:
        """Queue rejected events with their reasons as headers."""
        ...

    async def append_forwarded(self, events: Sequence[ForwardedEvent]) -> Awaitable[None]:
        """Queue events for the partitions that own their subjects."""
        ...


class ChunkLog(RouteLog, Protocol):
    """The topics a chunk is written to."""

    async def append_changelog(
        self, partition: int, records: Sequence[LogRecord]
    ) -> Awaitable[int]:
        """Queue one record batch, all or nothing; awaiting the result gives the offset after it. ChunkTooLarge."""
        ...

    async def append_usage(self, rows: Mapping[int, Sequence[LogRecord]]) -> Awaitable[None]:
        """Queue absolute usage rows by partition of the usage topic; one partition's in the order of the calls."""
        ...

    async def append_raw(self, partition: int, records: Sequence[HandedOver]) -> Awaitable[None]:
        """Queue records for the route agent as they are, in order."""
        ...


class PartitionReader(Protocol):
    """Reads one partition without a group."""

    async def bounds(self, topic: str, partition: int) -> tuple[int, int]:
        """(first offset retained, end offset). Unavailable when the log cannot be asked."""
        ...

    def read(
        self, topic: str, partition: int, start: int, end: int
    ) -> AsyncIterator[tuple[Sequence[Record], int]]:
        """Fetched lists of records in [start, end) with the reader's position after each; ends at `end`."""
        ...

    async def topic_id(self, topic: str) -> str:
        """The id the cluster gave the topic: another one after it was deleted and made again."""
        ...


class UsageWriter(Protocol):
    """ClickHouse as the sink sees it; raises Unavailable when it is down."""

    async def write_block(self, block: Block) -> None:
        """Write a block; writing the same one again changes nothing."""
        ...

    async def visible(self, topic: str, partition: int) -> int | None:
        """Up to which position the partition's events are readable, None before the first block."""
        ...

    def close(self) -> None:
        """Stop for good."""
        ...


class ProgressLog(Protocol):
    """The usage topic as far as progress is told there."""

    async def append_progress(self, records: Mapping[int, Sequence[LogRecord]]) -> None:
        """Append by partition, after what `append_usage` was given; returns when acknowledged. Unavailable: some may not be."""
        ...


class CatalogNow(Protocol):
    """What the catalog says now (`streams/catalog.py`). Of one version as long as nothing is awaited."""

    @property
    def version(self) -> int:
        """The newest version that subjects find their customers by, and that meters are of."""
        ...

    @property
    def meters_version(self) -> int:
        """The version of the newest change of a meter."""
        ...

    def meters(self) -> Sequence[MeterRecord]:
        """Every meter, deleted ones too."""
        ...


class Landed(Protocol):
    """Who tells others how far a partition is (`streams/progress.py`)."""

    def landed(
        self, partition: int, source_next: int, *, catalog: int, newest_ms: int, at_once: bool
    ) -> None:
        """Everything below `source_next` is durable; from there on, subjects find their customers by version `catalog` at least."""
        ...
