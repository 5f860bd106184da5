"""Writes what a chunk produced: the changelog as exactly one record batch, usage rows, rejected and forwarded events.

aiokafka's batch API is used because it promises "these records in one batch", which brokers append all or nothing;
librdkafka cannot promise it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from connectors.kafka import metrics
from domain.errors import Unavailable
from schemas.binary_mode import Headers
from schemas.rejected import OWN_HEADERS

LogRecord = tuple[bytes, bytes | None]

_TEXT_BYTES_MAX = 2000
_KEY_BYTES_MAX = 64 << 10
_RECORD_BYTES = 64
"""More than what a record without headers takes beside its key and value."""
_HEADERS_BYTES_MAX = 128 << 10
"""Room for the headers and the key of a rejected event: bounded texts, a key of at most 64 KiB, and what the producer added."""
PRODUCERS_HEADERS_BYTES_MAX = 48 << 10


class ChunkTooLarge(Exception):
    """A chunk's changelog does not fit into one record batch: cut chunks smaller or raise the topic's bound."""


class Rejected(Protocol):
    """A rejected event with its reason."""

    @property
    def position(self) -> int: ...  # noqa: D102
    @property
    def key(self) -> bytes | None: ...  # noqa: D102
    @property
    def value(self) -> bytes: ...  # noqa: D102
    @property
    def code(self) -> str: ...  # noqa: D102
    @property
    def field(self) -> str | None: ...  # noqa: D102
    @property
    def message(self) -> str: ...  # noqa: D102
    @property
    def headers(self) -> Headers: ...  # noqa: D102


class Forwarded(Protocol):
    """An event for another partition."""

    @property
    def subject(self) -> str: ...  # noqa: D102
    @property
    def value(self) -> bytes: ...  # noqa: D102


class HandedOver(Protocol):
    """A record for the route agent."""

    @property
    def key(self) -> bytes | None: ...  # noqa: D102
    @property
    def value(self) -> bytes: ...  # noqa: D102
    @property
    def headers(self) -> Headers: ...  # noqa: D102


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Where chunks go. Neither bound may exceed the max.message.bytes of its topics, less the room for a batch's header.

    `batch_bytes_max` bounds the changelog and usage, `event_bytes_max` a batch of rejected events and the value of one.
    `source_topic` is where rejected events stood, the events topic unless given. Who only routes needs no changelog and no usage.
    """

    bootstrap_servers: str
    events_topic: str
    rejected_topic: str
    raw_topic: str
    changelog_topic: str = ""
    usage_topic: str = ""
    source_topic: str | None = None
    batch_bytes_max: int = 15 << 20
    event_bytes_max: int = 7 << 20
    request_timeout_s: float = 30.0


class ChunkLog:
    """An idempotent producer shared by the partitions of one worker."""

    def __init__(self, options: Options, owner_of: Callable[[str], int]) -> None:
        self._options = options
        self._owner_of = owner_of
        self._producer: Any = None

    async def start(self) -> None:
        """Connect."""
        self._producer = AIOKafkaProducer(
            bootstrap_servers=self._options.bootstrap_servers,
            enable_idempotence=True,
            max_batch_size=self._options.batch_bytes_max,
            max_request_size=self._options.batch_bytes_max + (1 << 20),
            request_timeout_ms=int(self._options.request_timeout_s * 1000),
            linger_ms=0,
        )
        await self._producer.start()

    async def stop(self) -> None:
        """Flush and disconnect."""
        if self._producer is not None:
            await self._producer.stop()

    async def append_changelog(
        self, partition: int, records: Sequence[LogRecord]
    ) -> Awaitable[int]:
        """Queue one record batch; the result is the offset after it."""
        batch = self._producer.create_batch()
        if _filled(batch, records) < len(records):
            raise ChunkTooLarge(
                f"changelog of one chunk: more than {self._options.batch_bytes_max} bytes"
            )
        sent = await self._send(batch, self._options.changelog_topic, partition)
        return _end_of(sent, len(records))

    async def append_usage(self, rows: Mapping[int, Sequence[LogRecord]]) -> Awaitable[None]:
        """Queue absolute rows by partition, in as many batches as they need; per partition in order with what was queued before."""
        sent = []
        for partition, records in rows.items():
            while records:
                batch = self._producer.create_batch()
                fitting = _filled(batch, records)
                if not fitting:
                    key, value = records[0]
                    length = len(key) + len(value or b"")
                    raise ChunkTooLarge(f"one row of the usage topic: {length} bytes")
                sent.append(await self._send(batch, self._options.usage_topic, partition))
                records = records[fitting:]
        return _all_of(sent)

    async def append_progress(self, records: Mapping[int, Sequence[LogRecord]]) -> None:
        """Append records to the usage topic by partition; returns when they are acknowledged. Unavailable: some may not be."""
        try:
            await (await self.append_usage(records))
        except KafkaError as error:
            raise Unavailable(f"Kafka: progress: {error}") from error

    async def append_rejected(self, partition: int, events: Sequence[Rejected]) -> Awaitable[None]:
        """Queue the original bytes with code, field, message and origin as headers; too long a value is cut, its length told."""
        bound = self._options.event_bytes_max - _HEADERS_BYTES_MAX
        origin = (
            ("topic", (self._options.source_topic or self._options.events_topic).encode()),
            ("partition", str(partition).encode()),
        )
        records = []
        for event in events:
            value, key = event.value, event.key
            cut = () if len(value) <= bound else (("cut_from", str(len(value)).encode()),)
            headers = (
                ("code", event.code.encode()),
                ("field", (event.field or "").encode()[:_TEXT_BYTES_MAX]),
                ("message", event.message.encode()[:_TEXT_BYTES_MAX]),
                *origin,
                ("offset", str(event.position >> 20).encode()),
                ("index", str(event.position & 0xFFFFF).encode()),
                *cut,
                *_producers_own(event.headers),
            )
            records.append((None if key is None else key[:_KEY_BYTES_MAX], value[:bound], headers))
        return await self._append(
            self._options.rejected_topic, partition, records, self._options.event_bytes_max
        )

    async def append_forwarded(self, events: Sequence[Forwarded]) -> Awaitable[None]:
        """Queue each event for the partition that owns its subject."""
        by_owner: dict[int, list[tuple[bytes, bytes, tuple[()]]]] = {}
        for event in events:
            found = by_owner.setdefault(self._owner_of(event.subject), [])
            found.append((event.subject.encode(), event.value, ()))
        bound = self._options.event_bytes_max
        sent = [
            await self._append(self._options.events_topic, owner, records, bound)
            for owner, records in by_owner.items()
        ]
        return _all_of(sent)

    async def append_raw(self, partition: int, records: Sequence[HandedOver]) -> Awaitable[None]:
        """Queue records for the route agent as they are, in the raw topic's partition of the same number: in order."""
        return await self._append(
            self._options.raw_topic,
            partition,
            [(record.key, record.value, record.headers) for record in records],
            self._options.event_bytes_max,
        )

    async def _append(
        self,
        topic: str,
        partition: int,
        records: Sequence[tuple[bytes | None, bytes | None, Any]],
        bytes_max: int,
    ) -> Awaitable[None]:
        """Queue records in batches of at most `bytes_max` bytes."""
        sent = []
        batch = self._producer.create_batch()
        for key, value, headers in records:
            length = len(key or b"") + len(value or b"") + _HEADERS_BYTES_MAX * bool(headers)
            length += _RECORD_BYTES
            full = batch.record_count() and batch.size() + length > bytes_max
            if full or not _added(batch, key, value, headers):
                sent.append(await self._send(batch, topic, partition))
                batch = self._producer.create_batch()
                if not _added(batch, key, value, headers):
                    raise ChunkTooLarge(f"one record for {topic}: {length} bytes")
        sent.append(await self._send(batch, topic, partition))
        return _all_of(sent)

    async def _send(self, batch: Any, topic: str, partition: int) -> asyncio.Future[Any]:
        batch.close()
        sent: asyncio.Future[Any] = await self._producer.send_batch(
            batch, topic, partition=partition
        )
        sent.add_done_callback(_count_failure)
        return sent


def _filled(batch: Any, records: Sequence[LogRecord]) -> int:
    """Append records until one does not fit; how many did.

    To the builder inside the batch: its own `append` takes as long again for each record, for the sake of serializers
    and the clock, which neither matter here. Pinned by tests/contract/test_faust_private_names.py.
    """
    append, now_ms = batch._builder.append, int(time.time() * 1000)
    headers: list[Any] = []
    count = 0
    for count, (key, value) in enumerate(records):
        if append(count, now_ms, key, value, headers) is None:
            break
    else:
        count = len(records)
    batch._relative_offset = count
    return count


def _producers_own(headers: Headers) -> list[tuple[str, bytes | None]]:
    """The headers that came with a record, as far as there is room, without those that would be taken for ours."""
    kept: list[tuple[str, bytes | None]] = []
    room = PRODUCERS_HEADERS_BYTES_MAX
    for name, value in headers:
        room -= len(name.encode()) + len(value or b"") + _RECORD_BYTES
        if name not in OWN_HEADERS and room >= 0:
            kept.append((name, value))
    return kept


def _added(batch: Any, key: bytes | None, value: bytes | None, headers: Any) -> bool:
    return batch.append(key=key, value=value, timestamp=None, headers=list(headers)) is not None


def _count_failure(sent: asyncio.Future[Any]) -> None:
    error = None if sent.cancelled() else sent.exception()
    if error is not None:
        metrics.produce_errors.labels("worker", type(error).__name__).inc()


async def _end_of(sent: asyncio.Future[Any], records: int) -> int:
    metadata = await sent
    return int(metadata.offset) + records


async def _all_of(sent: Sequence[Awaitable[Any]]) -> None:
    await asyncio.gather(*sent)
