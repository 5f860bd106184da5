"""Streams of balances on a topic in memory, served over a real socket: what buffering or a shutdown would break shows."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from types import SimpleNamespace

import httpx
import httpx_sse
import uvicorn

from api.app import create_app
from api.streaming.hub import Hub, StreamBounds
from domain.errors import Unavailable
from schemas.balance_changes import Cause, Change, encode_change
from schemas.balances import Value


def a_change(customer="acme", balance=1, *, feature="tokens", cause=Cause.USAGE, **more):
    value = Value(
        entitlement_id=f"e-{customer}-{feature}",
        customer_id=f"id-{customer}",
        feature_id=f"id-{feature}",
        feature_key=feature,
        type="metered",
        has_access=True,
        balance=Decimal(balance),
        usage=Decimal(0),
        overage=Decimal(0),
        total_available=Decimal(balance),
    )
    return Change(value=value, cause=cause, as_of_ms=1_000, customer_key=customer, **more)


@dataclass
class MemoryBalancesTopic:
    """The ports BalancesLog and BalancesTail of any number of processes; `first` is what compaction or an age has left."""

    partitions: int = 2
    id: str = "topic"
    logs: list[list] = field(default_factory=lambda: [[], []])
    first: list[int] = field(default_factory=lambda: [0, 0])
    takers: list = field(default_factory=list)
    reads: int = 0
    down: bool = False

    def tell(self, change, partition=0):
        """Append, and hand it to who follows."""
        self.deliver([self.append(change, partition)], partition)

    def append(self, change, partition=0):
        """The record, which nobody is handed yet."""
        value = change if change is None else encode_change(change)
        self.logs[partition].append(value)
        return SimpleNamespace(offset=len(self.logs[partition]) - 1, value=value)

    def deliver(self, records, partition=0):
        for take in self.takers:
            take(partition, records)

    async def topic_id(self):
        if self.down:
            raise Unavailable("Kafka is down")
        return self.id

    async def bounds(self, partition):
        return self.first[partition], len(self.logs[partition])

    async def read(self, partition, start, end):
        self.reads += 1
        for offset in range(max(start, self.first[partition]), end):
            await asyncio.sleep(0)
            yield [SimpleNamespace(offset=offset, value=self.logs[partition][offset])], offset + 1

    async def start(self, begin, take):
        begin({number: len(log) for number, log in enumerate(self.logs)})
        self.takers.append(take)

    async def stop(self):
        self.takers.clear()


@dataclass
class Served:
    """A server and its clients."""

    hub: Hub
    server: uvicorn.Server
    url: str
    client: httpx.AsyncClient

    async def until(self, condition):
        async with asyncio.timeout(10):
            while not condition():  # noqa: ASYNC110  # nobody announces it
                await asyncio.sleep(0.005)

    @asynccontextmanager
    async def stream(self, last_event_id=None, **parameters) -> AsyncIterator["Stream"]:
        headers = {} if last_event_id is None else {"last-event-id": last_event_id}
        async with httpx_sse.aconnect_sse(
            self.client,
            "GET",
            f"{self.url}/api/v1/stream/balances",
            params=parameters,
            headers=headers,
        ) as source:
            assert source.response.status_code == 200, await source.response.aread()
            yield Stream(source.aiter_sse())


@dataclass
class Stream:
    """What one client gets."""

    events: AsyncIterator[httpx_sse.ServerSentEvent]
    ids: list[str] = field(default_factory=list)

    async def next(self, seconds=5) -> httpx_sse.ServerSentEvent:
        """The next event with data."""
        async with asyncio.timeout(seconds):
            while True:
                event = await anext(self.events)
                self.ids.append(event.id)
                if event.data:
                    return event

    async def begun(self) -> "Stream":
        assert (await self.next()).event == "connected"
        return self

    async def balances(self, count: int) -> list[tuple[str, int]]:
        """The next changes, as (customer key, balance)."""
        found = []
        while len(found) < count:
            event = await self.next()
            assert event.event == "balance", (event.event, event.data)
            shown = json.loads(event.data)
            found.append((shown["customerKey"], shown["value"]["balance"]))
        return found


@asynccontextmanager
async def served(topic, *, balances=None, **bounds) -> AsyncIterator[Served]:
    """A process that serves streams of `topic`."""
    hub = Hub(topic, topic, StreamBounds(**bounds))
    app = create_app(balances=balances, hub=hub)
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(
        uvicorn.Config(app, lifespan="off", log_config=None, timeout_graceful_shutdown=20)
    )
    running = asyncio.create_task(server.serve(sockets=[listening]))
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    try:
        async with httpx.AsyncClient(timeout=10) as client:
            found = Served(hub, server, url, client)
            await found.until(lambda: server.started)
            yield found
    finally:
        server.should_exit = True
        await running
        await hub.stop()
