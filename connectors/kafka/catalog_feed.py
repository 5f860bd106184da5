"""The catalog topic without a group: read from an offset on to its end, then followed.

Who keeps what it has read goes on from there (`connect`, `follow`); who does not reads it whole, record by record (`start`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from domain.errors import Unavailable
from schemas.catalog import CatalogRecord, decode_catalog_record

log = logging.getLogger(__name__)

Take = Callable[[Sequence[Any], int], None]
"""Called with records as they were fetched (offset, key, value) and the offset after them, which holes may have moved on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Where the catalog is."""

    bootstrap_servers: str
    topic: str


class CatalogFeed:
    """Delivers the catalog's records in order, at least once."""

    def __init__(
        self,
        options: Options,
        on_failure: Callable[[BaseException], None],
        *,
        on_unreadable: Callable[[], None] = lambda: None,
    ) -> None:
        self._tp = TopicPartition(options.topic, 0)
        self._options = options
        self._on_failure = on_failure
        self._on_unreadable = on_unreadable
        self._consumer: Any = None
        self._follower: asyncio.Task[None] | None = None
        self._next = 0
        self._advanced = asyncio.Event()

    async def start(self, on_record: Callable[[CatalogRecord], None]) -> None:
        """Read the topic whole: return when all that was there has been delivered, go on with what comes.

        A record that cannot be decoded is left out with an error in the log: one bad record must not stop all counting.
        """
        await self.connect()
        await self.follow(0, lambda records, _: self._decode_each(records, on_record))

    async def connect(self) -> int:
        """Connect; returns the offset at which the topic ends now."""
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=self._options.bootstrap_servers,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
        )
        await self._consumer.start()
        self._consumer.assign([self._tp])
        return await self._end()

    async def follow(self, offset: int, take: Take) -> None:
        """Return when all that is there has been given to `take`; go on with what comes. `connect` comes first."""
        self._next = offset
        end = await self._end()
        if offset:
            self._consumer.seek(self._tp, offset)
        else:
            await self._consumer.seek_to_beginning(self._tp)
        while self._next < end:
            await self._deliver(take)
        self._follower = asyncio.create_task(self._follow(take), name="catalog-feed")

    async def caught_up(self) -> None:
        """Return when all that the topic holds at the time of the call has been delivered. Unavailable."""
        try:
            end = await self._end()
        except KafkaError as error:
            raise Unavailable(f"Kafka: where {self._options.topic} ends: {error}") from error
        while self._next < end:
            if self._follower is not None and self._follower.done():
                raise Unavailable(f"{self._options.topic} can no longer be followed")
            self._advanced.clear()
            await self._advanced.wait()

    async def stop(self) -> None:
        """Stop following."""
        if self._follower is not None:
            self._follower.cancel()
            await asyncio.gather(self._follower, return_exceptions=True)
        if self._consumer is not None:
            await self._consumer.stop()

    async def _end(self) -> int:
        found: int = (await self._consumer.end_offsets([self._tp]))[self._tp]
        return found

    async def _follow(self, take: Take) -> None:
        try:
            while True:
                await self._deliver(take)
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            log.exception("the catalog can no longer be followed")
            self._on_failure(error)
            raise
        finally:
            self._advanced.set()

    async def _deliver(self, take: Take) -> None:
        got = await self._consumer.getmany(self._tp, timeout_ms=500)
        records = got.get(self._tp, ())
        position = await self._consumer.position(self._tp)
        if records or position > self._next:
            take(records, position)
            self._next = position
            self._advanced.set()

    def _decode_each(
        self, records: Sequence[Any], on_record: Callable[[CatalogRecord], None]
    ) -> None:
        for record in records:
            if record.value is None:
                continue
            try:
                decoded = decode_catalog_record(record.value)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                self._on_unreadable()
                log.error(
                    "catalog record left out: it cannot be read",
                    extra={"offset": record.offset, "key": str(record.key), "error": str(error)},
                )
            else:
                on_record(decoded)
