"""What the agents need from outside, as protocols; `runtime` brings the real ones."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from schemas.catalog import CatalogRecord
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

    async def append_usage(self, partition: int, records: Sequence[LogRecord]) -> Awaitable[None]:
        """Queue absolute usage rows."""
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


class CatalogFeed(Protocol):
    """The catalog topic, read whole."""

    async def start(self, on_record: Callable[[CatalogRecord], None]) -> None:
        """Return when all that was there has been given to `on_record`; go on with what comes."""
        ...

    async def stop(self) -> None:
        """Stop reading."""
        ...
