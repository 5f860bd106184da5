"""Reads the rejected topic: pages of it from its newest record backwards, and all of it forwards.

The topic itself is what is asked: nothing has to be kept in step with it. Source: docs/decisions/0110.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from domain.errors import Unavailable
from domain.metering.rejected import Place, RejectedListing, RejectedPage, RejectedRecord
from schemas.binary_mode import Headers
from schemas.rejected import decode_rejected, producers_headers

_WINDOW_MIN, _WINDOW_MAX = 64, 1024
"""Records that are read at a time going backwards: few at first, because most pages are short."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """`scan_max` records are looked at for one page; of each value at most `value_bytes_max` bytes are kept; `timeout_s` bounds every wait for Kafka."""

    bootstrap_servers: str
    topic: str
    scan_max: int = 10_000
    value_bytes_max: int = 16 << 10
    fetch_bytes_max: int = 8 << 20
    timeout_s: float = 10.0


@dataclass(slots=True, eq=False)
class _Range:
    """Offsets `[low, high)` of a partition that can hold what is asked for."""

    partition: int
    low: int
    high: int


class RejectedTopic:
    """Implements the API's port RejectedEvents. One question at a time; a consumer without a group, kept between questions."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._thread = ThreadPoolExecutor(1, "rejected-topic")
        self._consumer: Consumer | None = None

    async def list_rejected(self, listing: RejectedListing) -> RejectedPage:
        """A page, newest first. It may be short, even empty, and still have a next one: then `scan_max` ended it. Unavailable."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self.page, listing)

    def close(self) -> None:
        """Disconnect, after the question under way."""
        self._thread.shutdown(cancel_futures=True)
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None

    def page(self, listing: RejectedListing) -> RejectedPage:
        """As `list_rejected`, for a program without an event loop."""
        with failing_as_unavailable():
            return self._page(listing)

    def ends(self) -> dict[int, int]:
        """Each partition's offset after its last record. Unavailable."""
        with failing_as_unavailable():
            return {number: self._watermarks(number)[1] for number in self._partitions()}

    def forwards(
        self, listing: RejectedListing, ends: Mapping[int, int]
    ) -> Iterator[tuple[RejectedRecord, Headers]]:
        """What fits and stands before `ends`, whole and with the producer's headers, partition by partition. Unavailable.

        Copies of one refusal come one by one.
        """
        with failing_as_unavailable():
            for part in self._ranges(listing):
                high = min(part.high, ends.get(part.partition, 0))
                if part.low >= high:
                    continue
                for message in messages(
                    self._connected(),
                    self._options.topic,
                    part.partition,
                    part.low,
                    high,
                    self._options.timeout_s,
                ):
                    record = _decoded(message, None)
                    if listing.fits(record):
                        yield record, producers_headers(message.headers() or ())

    def _page(self, listing: RejectedListing) -> RejectedPage:
        found: dict[str, RejectedRecord] = {}
        newest_first = heapq.merge(
            *(self._backwards(part) for part in self._ranges(listing)),
            key=lambda record: tuple(-part for part in _order(record)),
        )
        for looked_at, record in enumerate(newest_first, 1):
            if listing.fits(record):
                found.setdefault(record.id, record)
            if len(found) >= listing.limit or looked_at >= self._options.scan_max:
                return RejectedPage(records=tuple(found.values()), next=_order(record))
        return RejectedPage(records=tuple(found.values()), next=None)

    # -- where to look

    def _ranges(self, listing: RejectedListing) -> list[_Range]:
        ranges = [_Range(number, *self._watermarks(number)) for number in self._partitions()]
        if listing.since_ms is not None:
            at = self._offsets_at({part.partition: listing.since_ms for part in ranges})
            for part in ranges:
                part.low = max(part.low, at.get(part.partition, part.high))
        if listing.until_ms is not None:
            at = self._offsets_at({part.partition: listing.until_ms for part in ranges})
            for part in ranges:
                part.high = min(part.high, at.get(part.partition, part.high))
        if listing.before is not None:
            self._end_before(ranges, listing.before)
        return [part for part in ranges if part.low < part.high]

    def _end_before(self, ranges: list[_Range], before: tuple[int, int, int]) -> None:
        """Leave out what the pages before have shown: the order is time, partition, offset, descending."""
        at_ms, partition, offset = before
        ends = self._offsets_at({p.partition: at_ms + (p.partition < partition) for p in ranges})
        for part in ranges:
            end = offset if part.partition == partition else ends.get(part.partition, part.high)
            part.high = min(part.high, end)

    def _partitions(self) -> list[int]:
        topic = self._options.topic
        found = self._connected().list_topics(topic, timeout=self._options.timeout_s).topics[topic]
        if found.error is not None:
            raise Unavailable(f"Kafka: {topic}: {found.error.str()}")
        return sorted(found.partitions)

    def _watermarks(self, partition: int) -> tuple[int, int]:
        low, high = self._connected().get_watermark_offsets(
            TopicPartition(self._options.topic, partition), timeout=self._options.timeout_s
        )
        return int(low), int(high)

    def _offsets_at(self, moments: Mapping[int, int]) -> dict[int, int]:
        """The first offset of each partition whose record is not older than its moment; none for one without such a record."""
        asked = [TopicPartition(self._options.topic, n, max(0, ms)) for n, ms in moments.items()]
        if not asked:
            return {}
        found = self._connected().offsets_for_times(asked, timeout=self._options.timeout_s)
        return {tp.partition: tp.offset for tp in found if tp.offset >= 0}

    # -- reading

    def _backwards(self, part: _Range) -> Iterator[RejectedRecord]:
        """Records of `part`, the last one first, read window by window."""
        high, size = part.high, _WINDOW_MIN
        while high > part.low:
            low = max(part.low, high - size)
            yield from reversed(list(self._forwards(part.partition, low, high)))
            high, size = low, min(size * 4, _WINDOW_MAX)

    def _forwards(self, partition: int, low: int, high: int) -> Iterator[RejectedRecord]:
        for message in messages(
            self._connected(), self._options.topic, partition, low, high, self._options.timeout_s
        ):
            yield _decoded(message, self._options.value_bytes_max)

    def _connected(self) -> Consumer:
        if self._consumer is None:
            self._consumer = new_consumer(
                self._options.bootstrap_servers, self._options.fetch_bytes_max
            )
        return self._consumer


def new_consumer(bootstrap_servers: str, fetch_bytes_max: int) -> Consumer:
    """A consumer that joins no group and commits nothing; it holds about `fetch_bytes_max` bytes, and one record more."""
    return Consumer(
        {
            "bootstrap.servers": bootstrap_servers,
            "group.id": "meterstream-reads-without-a-group",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
            "fetch.message.max.bytes": fetch_bytes_max,
            "fetch.max.bytes": fetch_bytes_max,
            "queued.max.messages.kbytes": fetch_bytes_max >> 10,
            "fetch.wait.max.ms": 10,  # the next assignment waits for a fetch under way
            "reconnect.backoff.max.ms": 1000,
            "log_level": 0,
        }
    )


def messages(
    consumer: Consumer, topic: str, partition: int, low: int, high: int, timeout_s: float = 10.0
) -> Iterator[Any]:
    """The messages with offsets in `[low, high)` that are still there. Unavailable when Kafka is silent for `timeout_s`."""
    consumer.assign([TopicPartition(topic, partition, low)])
    try:
        yield from _assigned(consumer, low, high, timeout_s)
    finally:
        consumer.unassign()


def _assigned(consumer: Consumer, low: int, high: int, timeout_s: float) -> Iterator[Any]:
    give_up_at = time.monotonic() + timeout_s
    while time.monotonic() < give_up_at:
        message = consumer.poll(0.5)
        if message is None:
            continue
        give_up_at = time.monotonic() + timeout_s
        error = message.error()
        if error is not None and error.code() == KafkaError._PARTITION_EOF:
            return
        if error is not None:
            raise KafkaException(error)
        if not low <= message.offset() < high:  # below: what was asked for is not there any more
            return
        yield message
        if message.offset() == high - 1:
            return
    raise Unavailable(f"Kafka: nothing came within {timeout_s:g} s")


def _decoded(message: Any, value_bytes_max: int | None) -> RejectedRecord:
    return decode_rejected(
        Place(topic=message.topic(), partition=message.partition(), offset=message.offset()),
        message.timestamp()[1],
        message.key(),
        message.value(),
        message.headers() or (),
        value_bytes_max=value_bytes_max,
    )


def _order(record: RejectedRecord) -> tuple[int, int, int]:
    return record.rejected_ms, record.stored.partition, record.stored.offset


@contextmanager
def failing_as_unavailable() -> Iterator[None]:
    """Turns what librdkafka raises into Unavailable."""
    try:
        yield
    except KafkaException as error:
        raise Unavailable(f"Kafka: {error.args[0].str()}") from error
