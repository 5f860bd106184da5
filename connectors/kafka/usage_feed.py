"""The usage topic as the balances follow it: chosen partitions, each from its own offset, without a group.

One consumer for all of them. Which ones are followed may change at any time; the others read on where they were. A
partition that has no room is not read until it has: the fetched lists that wait are bounded by whoever takes them, what
is on its way by `fetch_bytes_max` for each partition.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from aiokafka import AIOKafkaConsumer, TopicPartition

log = logging.getLogger(__name__)

KeyValue = tuple[bytes, bytes | None]


class Taker(Protocol):
    """Who takes the records of a partition."""

    def has_room(self) -> bool:
        """Whether more may be read now."""
        ...

    def take(self, records: Sequence[KeyValue], next_offset: int) -> None:
        """The next records, in order; reading goes on at `next_offset`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """`fetch_wait_ms`: how long the broker may keep a fetch that finds nothing; what comes meanwhile is sent at once.

    `pace_s`: between two looks that find something, so that what comes one by one is taken together.
    """

    bootstrap_servers: str
    topic: str
    fetch_bytes_max: int = 1 << 20
    fetch_wait_ms: int = 100
    pace_s: float = 0.005


class UsageFeed:
    """Follows partitions of the usage topic."""

    def __init__(self, options: Options, on_failure: Callable[[BaseException], None]) -> None:
        self._options = options
        self._on_failure = on_failure
        self._consumer: Any = None
        self._takers: dict[int, Taker] = {}
        self._next: dict[int, int] = {}
        self._changed = asyncio.Event()
        self._reader: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Connect; nothing is read until a partition is followed."""
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=self._options.bootstrap_servers,
            enable_auto_commit=False,
            auto_offset_reset="none",
            max_partition_fetch_bytes=self._options.fetch_bytes_max,
            fetch_max_wait_ms=self._options.fetch_wait_ms,
            check_crcs=False,
        )
        await self._consumer.start()
        self._reader = asyncio.create_task(self._read(), name="usage-feed")

    async def stop(self) -> None:
        """Read nothing more and disconnect."""
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)
        if self._consumer is not None:
            await self._consumer.stop()

    async def end(self, partition: int) -> int:
        """The offset after the last record of `partition`. KafkaError."""
        tp = self._tp(partition)
        ends = await self._consumer.end_offsets([tp])
        return int(ends[tp])

    def follow(self, partition: int, offset: int, taker: Taker) -> None:
        """Read `partition` from `offset` on into `taker`."""
        self._takers[partition] = taker
        self._next[partition] = offset
        self._assign()

    def leave(self, partition: int) -> None:
        """Read `partition` no more."""
        self._takers.pop(partition, None)
        self._next.pop(partition, None)
        self._assign()

    def wake(self) -> None:
        """A partition may have room again."""
        self._changed.set()

    def lag(self, partition: int) -> int | None:
        """How many offsets are still to be read, by what the last fetch said; None before the first."""
        end = self._consumer.highwater(self._tp(partition)) if partition in self._next else None
        return None if end is None else max(0, end - self._next[partition])

    def _assign(self) -> None:
        """aiokafka forgets all positions with each assignment: they are set anew before it can read on."""
        if self._takers:
            self._consumer.assign([self._tp(number) for number in self._takers])
        for number in self._takers:
            self._consumer.seek(self._tp(number), self._next[number])
        self._changed.set()

    async def _read(self) -> None:
        try:
            while True:
                await self._read_once()
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            log.exception("the usage topic can no longer be followed")
            self._on_failure(error)
            raise

    async def _read_once(self) -> None:
        self._changed.clear()
        wanted = [self._tp(number) for number, taker in self._takers.items() if taker.has_room()]
        if not wanted:
            await self._changed.wait()
            return
        got = await self._consumer.getmany(*wanted, timeout_ms=self._options.fetch_wait_ms)
        for tp, records in got.items():
            taker = self._takers.get(tp.partition)
            if taker is None or not records or records[0].offset < self._next[tp.partition]:
                continue
            following = self._next[tp.partition] = records[-1].offset + 1
            taker.take([(record.key or b"", record.value) for record in records], following)
        if got:
            await asyncio.sleep(self._options.pace_s)

    def _tp(self, partition: int) -> TopicPartition:
        return TopicPartition(self._options.topic, partition)
