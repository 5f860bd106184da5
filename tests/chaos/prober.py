"""Asks the apis for balances and gives them events at a steady rate, whatever happens, and writes down each answer."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp

from tests.chaos.accounts import value_path
from tests.chaos.cluster import Cluster
from tests.chaos.events import CUSTOMERS, FEATURES, Events
from tests.chaos.load import http_client

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
        async with http_client(_TIMEOUT_S) as client:
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

    async def _read(self, client: aiohttp.ClientSession) -> None:
        path = value_path(self._random.choice(CUSTOMERS), self._random.choice(list(FEATURES)))
        await self._probe("read", lambda url: client.get(url + path))

    async def _ingest(self, client: aiohttp.ClientSession) -> None:
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
        firsts: list[int] = []
        for api in apis:
            status, headers, text = await _one(ask(api.url))
            firsts.append(status)
            if status and status < 500 and status != 429:
                break
        probe = Probe(
            at=began,
            kind=kind,
            first=firsts[0],
            status=status,
            seconds=time.monotonic() - began,
            source=headers.get("meterstream-source", ""),
            behind_ms=int(headers.get("meterstream-lag-ms", 0)),
            code="" if 200 <= status < 300 else text[:300],
            retry_after="retry-after" in headers,
        )
        self.probes.append(probe)
        return probe


async def _one(request) -> tuple[int, Mapping[str, str], str]:
    """Status, headers and body; without an answer 0, and what was wrong."""
    try:
        async with request as answer:
            return answer.status, answer.headers, await answer.text()
    except (aiohttp.ClientError, TimeoutError) as problem:
        return 0, {}, f"{type(problem).__name__} {problem}"
