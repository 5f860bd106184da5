"""A load of known events, half by HTTP as a good client sends it, half straight to Kafka; it remembers what was acknowledged."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import Counter

import aiohttp
from confluent_kafka import Producer

from tests.chaos.cluster import PARTITIONS, Cluster
from tests.chaos.events import BROKEN_RECORDS, Events

_BATCH = 20
_SENDERS = 24
_HTTP_TIMEOUT_S = 15.0
_RETRY_S = 0.2
_TICK_S = 0.05
_GIVE_UP_S = 120.0
"""After the load's end: what is not acknowledged by then may be there or not."""


def http_client(timeout_s: float) -> aiohttp.ClientSession:
    """Any number of connections: a slow answer must not hold up the next request."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=timeout_s)
    )


class Load:
    """Runs between `start` and `finish`; figures may be read at any time.

    `acknowledged`: ids that must be there. `refused`: answers that a good client cannot do anything about: a defect.
    """

    def __init__(self, cluster: Cluster, events: Events, rate: float):
        self.events = events
        self.acknowledged: set[str] = set()
        self.refused: list[str] = []
        self.retries: Counter[str] = Counter()
        self.sent = 0
        self.acks = 0
        self.broken_refused = 0
        self.broken_in_kafka = 0
        self.ends: dict[int, int] = {}
        """Past the last acknowledged record of each partition, of those sent straight to Kafka."""
        self.outstanding_http = 0
        self._cluster, self._rate = cluster, rate
        self._topic = cluster.names.events
        self._going = False
        self._tasks: list[asyncio.Task] = []
        self._batches: asyncio.Queue[list[dict] | bytes] = asyncio.Queue()
        self._producer = Producer(
            {
                "bootstrap.servers": cluster.bootstrap,
                "partitioner": "murmur2_random",
                "enable.idempotence": True,
                "linger.ms": 10,
                "message.timeout.ms": 300_000,
                "queue.buffering.max.messages": 1_000_000,
                "log_level": 0,
            }
        )
        self._polling = threading.Event()
        self._poller = threading.Thread(target=self._poll, name="load-poll", daemon=True)

    async def start(self) -> None:
        self._going = True
        self._poller.start()
        self._tasks = [
            asyncio.create_task(self._make()),
            *(asyncio.create_task(self._send(number)) for number in range(_SENDERS)),
        ]

    async def finish(self) -> None:
        """Stop making events; wait until what was sent is acknowledged, or given up."""
        self._going = False
        making, *senders = self._tasks
        await making
        deadline = time.monotonic() + _GIVE_UP_S
        while (self.outstanding_http or len(self._producer)) and time.monotonic() < deadline:
            for task in senders:
                if task.done():
                    task.result()
            await asyncio.sleep(0.05)
        for task in senders:
            task.cancel()
        await asyncio.gather(*senders, return_exceptions=True)
        self._polling.set()
        await asyncio.to_thread(self._poller.join)
        self._producer.purge()
        self._producer.flush(5)

    async def _make(self) -> None:
        """At `rate` events a second, whatever happens to them."""
        began, made, batch = time.monotonic(), 0, []
        while self._going:
            due = int((time.monotonic() - began) * self._rate)
            for _ in range(due - made):
                by_http = self.events.random.random() < 0.5
                if self.events.broken():
                    self._make_broken(by_http)
                    continue
                event, _ = self.events.next()
                self.sent += 1
                if not by_http:
                    self._produce(event)
                    continue
                batch.append(event)
                if len(batch) >= _BATCH:
                    self._queue(batch)
                    batch = []
            made = due
            await asyncio.sleep(_TICK_S)
        if batch:
            self._queue(batch)

    def _make_broken(self, by_http: bool) -> None:
        body = self.events.random.choice(BROKEN_RECORDS)
        if by_http:
            self._queue(body)
        else:
            key = f"broken-{self.events.random.randrange(100)}"
            self._producer.produce(self._topic, body, key, on_delivery=self._broken_delivered)

    def _queue(self, batch: list[dict] | bytes) -> None:
        self.outstanding_http += 1
        self._batches.put_nowait(batch)

    async def _send(self, number: int) -> None:
        """One connection at a time to one of the apis; after a failure the other one is tried, with the same ids."""
        async with http_client(_HTTP_TIMEOUT_S) as client:
            while True:
                batch = await self._batches.get()
                whole = isinstance(batch, list)
                body = json.dumps(batch).encode() if whole else batch
                kind = "application/cloudevents-batch+json" if whole else "application/json"
                while True:
                    number += 1
                    status = await self._post(client, number, body, kind)
                    if status == 204 and whole:
                        self.acknowledged.update(event["id"] for event in batch)
                        self.acks += len(batch)
                        break
                    if status == 400 and not whole:
                        self.broken_refused += 1
                        break
                    if 200 <= status < 500 and status != 429:
                        self.refused.append(f"{status} for {body[:200]!r}")
                        break
                    self.retries[str(status or "no answer")] += 1
                    await asyncio.sleep(_RETRY_S)
                self.outstanding_http -= 1

    async def _post(
        self, client: aiohttp.ClientSession, number: int, body: bytes, kind: str
    ) -> int:
        """The status; 0 = none."""
        api = self._cluster.apis[number % len(self._cluster.apis)]
        url = f"{api.url}/api/v1/events"
        try:
            async with client.post(url, data=body, headers={"content-type": kind}) as answer:
                await answer.read()
                return answer.status
        except (aiohttp.ClientError, TimeoutError):
            return 0

    def _produce(self, event: dict) -> None:
        where = {}
        if self.events.astray():
            where["partition"] = self.events.random.randrange(PARTITIONS)
        self._producer.produce(
            self._topic,
            json.dumps(event),
            event["subject"],
            **where,
            on_delivery=lambda error, message, id=event["id"]: self._delivered(error, message, id),
        )

    def _delivered(self, error, message, id: str) -> None:
        if error is not None:
            self.retries[f"kafka {error.name()}"] += 1
            return
        self.acknowledged.add(id)
        self.acks += 1
        self._remember(message)

    def _broken_delivered(self, error, message) -> None:
        if error is None:
            self.broken_in_kafka += 1
            self._remember(message)

    def _remember(self, message) -> None:
        number = message.partition()
        self.ends[number] = max(self.ends.get(number, 0), message.offset() + 1)

    def _poll(self) -> None:
        while not self._polling.is_set():
            self._producer.poll(0.1)
