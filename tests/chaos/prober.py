"""Asks the apis for balances and gives them events at a steady rate, whatever happens, and writes down each answer."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass

import httpx

from tests.chaos.accounts import value_path
from tests.chaos.cluster import Cluster
from tests.chaos.events import CUSTOMERS, FEATURES, Events

_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """`at`: when it began, by time.monotonic. `first`: the status of the api asked first (0: no answer). `status`: after the other api was
    asked once, when the first one failed. `source`: who knew a balance. `behind_ms`: how old it was."""

    at: float
    kind: str
    first: int
    status: int
    seconds: float
    source: str = ""
    behind_ms: int = 0
    code: str = ""
    retry_after: bool = False

    @property
    def good(self) -> bool:
        return 200 <= self.status < 300


class Prober:
    """`probes` grows until `stop`. Its events are the load's: an acknowledged one must be there."""

    def __init__(
        self, cluster: Cluster, events: Events, acknowledged: set[str], seed: int, rate: float = 10
    ):
        self.probes: list[Probe] = []
        self._cluster, self._events, self._acknowledged = cluster, events, acknowledged
        self._random = random.Random(seed)
        self._every_s = 1 / rate
        self._under_way: set[asyncio.Task] = set()
        self._going: asyncio.Task | None = None

    async def start(self) -> None:
        self._going = asyncio.create_task(self._go())

    async def stop(self) -> None:
        assert self._going is not None
        self._going.cancel()
        await asyncio.gather(self._going, return_exceptions=True)
        await asyncio.gather(*self._under_way)

    async def _go(self) -> None:
        async with httpx.AsyncClient(timeout=_TIMEOUT_S, verify=False) as client:
            due = time.monotonic()
            try:
                while True:
                    for work in (self._read(client), self._ingest(client)):
                        task = asyncio.create_task(work)
                        self._under_way.add(task)
                        task.add_done_callback(self._under_way.discard)
                    due += self._every_s
                    await asyncio.sleep(max(0, due - time.monotonic()))
            finally:
                await asyncio.gather(*self._under_way)

    async def _read(self, client: httpx.AsyncClient) -> None:
        path = value_path(self._random.choice(CUSTOMERS), self._random.choice(list(FEATURES)))
        await self._probe("read", lambda url: client.get(url + path))

    async def _ingest(self, client: httpx.AsyncClient) -> None:
        event = self._events.new()
        done = await self._probe(
            "ingest",
            lambda url: client.post(
                f"{url}/api/v1/events",
                json=event,
                headers={"content-type": "application/cloudevents+json"},
            ),
        )
        if done.good:
            self._acknowledged.add(event["id"])

    async def _probe(self, kind: str, ask) -> Probe:
        began = time.monotonic()
        apis = list(self._cluster.apis)
        self._random.shuffle(apis)
        first, answer = None, None
        for api in apis:
            try:
                answer = await ask(api.url)
            except httpx.HTTPError:
                answer = None
            status = 0 if answer is None else answer.status_code
            first = status if first is None else first
            if status and status < 500 and status != 429:
                break
        headers = {} if answer is None else answer.headers
        probe = Probe(
            at=began,
            kind=kind,
            first=first or 0,
            status=status,
            seconds=time.monotonic() - began,
            source=headers.get("meterstream-source", ""),
            behind_ms=int(headers.get("meterstream-lag-ms", 0)),
            code="" if answer is None or status < 400 else answer.text[:300],
            retry_after="retry-after" in headers,
        )
        self.probes.append(probe)
        return probe
