"""The catalog topic, read whole and without a group, then followed.

A record that cannot be decoded is left out with an error in the log: one bad record must not stop all counting.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

from schemas.catalog import CatalogRecord, decode_catalog_record

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Where the catalog is."""

    bootstrap_servers: str
    topic: str


class CatalogFeed:
    """Delivers every catalog record in order, at least once."""

    def __init__(
        self,
        options: Options,
        on_failure: Callable[[BaseException], None],
        *,
        on_unreadable: Callable[[], None] = lambda: None,
    ) -> None:
        self._options = options
        self._on_failure = on_failure
        self._on_unreadable = on_unreadable
        self._consumer: Any = None
        self._follower: asyncio.Task[None] | None = None

    async def start(self, on_record: Callable[[CatalogRecord], None]) -> None:
        """Return when all that was there has been delivered; follow from then on."""
        tp = TopicPartition(self._options.topic, 0)
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=self._options.bootstrap_servers,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
        )
        await self._consumer.start()
        self._consumer.assign([tp])
        end = (await self._consumer.end_offsets([tp]))[tp]
        await self._consumer.seek_to_beginning(tp)
        while await self._consumer.position(tp) < end:
            await self._deliver(tp, on_record)
        self._follower = asyncio.create_task(self._follow(tp, on_record), name="catalog-feed")

    async def stop(self) -> None:
        """Stop following."""
        if self._follower is not None:
            self._follower.cancel()
            await asyncio.gather(self._follower, return_exceptions=True)
        if self._consumer is not None:
            await self._consumer.stop()

    async def _follow(self, tp: TopicPartition, on_record: Callable[[CatalogRecord], None]) -> None:
        try:
            while True:
                await self._deliver(tp, on_record)
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            log.exception("the catalog can no longer be followed")
            self._on_failure(error)
            raise

    async def _deliver(
        self, tp: TopicPartition, on_record: Callable[[CatalogRecord], None]
    ) -> None:
        got = await self._consumer.getmany(tp, timeout_ms=500)
        for record in got.get(tp, ()):
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
