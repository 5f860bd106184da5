"""The one tail of the balances topic in an api process, however many clients: each change is decoded and placed once.

It begins with the first client. What a client has missed before is not here: that is read from the topic.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from api import metrics
from api.streaming.ports import BalancesLog, BalancesTail
from api.streaming.position import Position, topic_mark
from api.streaming.subscriber import Subscriber, Told, Wanted
from domain.errors import Unavailable
from schemas.balance_changes import Change, decode_change

if TYPE_CHECKING:
    from collections.abc import Iterator

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamBounds:
    """Clients of a process; changes that wait for one; records that one may read again; how many do that at a time.

    `heartbeat_s` between two comments on a quiet stream; `send_s_max` is how long a client may take nothing.
    """

    clients_max: int = 1_000
    backlog_max: int = 1_000
    resume_records_max: int = 1_000_000
    resuming_max: int = 4
    heartbeat_s: float = 15.0
    send_s_max: float = 30.0
    start_s_max: float = 5.0


class Hub:
    """Subscribers and where following is."""

    def __init__(self, topic: BalancesLog, tail: BalancesTail, bounds: StreamBounds) -> None:
        self.topic = topic
        self.bounds = bounds
        self.resuming = asyncio.Semaphore(bounds.resuming_max)
        self._tail = tail
        self._mark = b""
        self._next: list[int] = []
        self._by_customer: dict[str, set[Subscriber]] = {}
        self._of_all: set[Subscriber] = set()
        self._clients = 0
        self._starting: asyncio.Task[None] | None = None
        self._began = asyncio.Event()
        self._closed = False

    @property
    def clients(self) -> int:
        """How many streams are open."""
        return self._clients

    @property
    def position(self) -> Position:
        """What following has seen."""
        return Position(self._mark, tuple(self._next))

    async def begin(self) -> None:
        """Returns when the topic is followed. Unavailable."""
        if self._starting is None or (self._starting.done() and self._starting.exception()):
            self._starting = asyncio.create_task(self._start(), name="balances-hub")
        try:
            async with asyncio.timeout(self.bounds.start_s_max):
                await asyncio.shield(self._starting)
                await self._began.wait()
        except TimeoutError:
            raise Unavailable("the balances topic does not answer") from None

    @contextmanager
    def subscribed(self, wanted: Wanted) -> Iterator[Subscriber]:
        """Everything from `position` on that the client wants."""
        subscriber = Subscriber(wanted, self.bounds.backlog_max)
        if self._closed:
            subscriber.close()
        for group in self._groups(wanted):
            group.add(subscriber)
        try:
            yield subscriber
        finally:
            for group in self._groups(wanted):
                group.discard(subscriber)
            for name in wanted.customers or ():
                if not self._by_customer[name]:
                    del self._by_customer[name]

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """A client's place. Unavailable when there is none."""
        if self._clients >= self.bounds.clients_max:
            raise Unavailable(f"{self.bounds.clients_max} streams are open: no more")
        self._clients += 1
        metrics.streams.set(self._clients)
        try:
            yield
        finally:
            self._clients -= 1
            metrics.streams.set(self._clients)

    async def stop(self) -> None:
        """End all streams and stop following."""
        self.close()
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.gather(self._starting, return_exceptions=True)
        await self._tail.stop()

    def close(self) -> None:
        """End all streams."""
        self._closed = True
        for group in (self._of_all, *self._by_customer.values()):
            for subscriber in group:
                subscriber.close()

    # -- following

    async def _start(self) -> None:
        self._mark = topic_mark(await self.topic.topic_id())
        await self._tail.start(self._begin, self._take)

    def _begin(self, ends: dict[int, int]) -> None:
        self._next = [ends.get(number, 0) for number in range(self.topic.partitions)]
        self._began.set()

    def _take(self, partition: int, records: Sequence[Any]) -> None:
        for record in records:
            self._next[partition] = record.offset + 1
            change = read_change(record)
            if change is None:
                continue
            interested = list(self._interested(change))
            if interested:
                told = Told(partition, record.offset, change, tuple(self._next))
                for subscriber in interested:
                    subscriber.tell(told)

    def _interested(self, change: Change) -> Iterable[Subscriber]:
        found = set(self._of_all)
        for name in (change.value.customer_id, change.customer_key):
            if name is not None:
                found |= self._by_customer.get(name, set())
        return (one for one in found if one.wanted.has(change))

    def _groups(self, wanted: Wanted) -> Iterable[set[Subscriber]]:
        if wanted.customers is None:
            return [self._of_all]
        return [self._by_customer.setdefault(name, set()) for name in wanted.customers]


def read_change(record: Any) -> Change | None:
    """What a record says; nothing for a tombstone, and for what this program cannot read."""
    if record.value is None:
        return None
    try:
        return decode_change(record.value)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        log.error("a balance left out", extra={"offset": record.offset, "error": str(error)})
        return None
