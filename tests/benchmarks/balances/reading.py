"""Values read over HTTP at a steady rate, over connections that are kept, each answer looked at.

`python -m tests.benchmarks.balances.reading PORT CONNECTIONS SECONDS RATE CUSTOMERS FEATURES` prints one JSON object:
answered, rate, p50_ms, p99_ms, most_ms, and how many answers came from whom. A request's clock starts when it is due, sent or not.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from collections import Counter

import uvloop

_SOURCE = b"\r\nmeterstream-source: "


class Reader(asyncio.Protocol):
    """Asks for one value after the other until `until`."""

    def __init__(
        self, paths: list[bytes], until: float, pace_s: float, sources: Counter[str]
    ) -> None:
        self._paths = paths
        self._until = until
        self._pace_s = pace_s
        self._sources = sources
        self._due_at = time.perf_counter() + pace_s * random.random()
        self._answer = b""
        self.times: list[float] = []
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._when_due()

    def data_received(self, data: bytes) -> None:
        self._answer += data
        head, ended, body = self._answer.partition(b"\r\n\r\n")
        if not ended or len(body) < _length(head):
            return
        now = time.perf_counter()
        self.times.append(now - self._due_at)
        if not head.startswith(b"HTTP/1.1 200 "):
            self.done.set_exception(AssertionError(self._answer.decode()))
            return
        self._sources[_source(head)] += 1
        if now < self._until:
            self._due_at += self._pace_s
            self._when_due()
        else:
            self.done.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(error or AssertionError("the api closed the connection"))

    def _when_due(self) -> None:
        wait_s = self._due_at - time.perf_counter()
        if wait_s > 0:
            asyncio.get_running_loop().call_later(wait_s, self._send)
        else:
            self._send()

    def _send(self) -> None:
        self._answer = b""
        path = random.choice(self._paths)
        self._transport.write(b"GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" % path)


def _length(head: bytes) -> int:
    lower = head.lower()
    at = lower.index(b"content-length:") + 15
    return int(lower[at : (lower + b"\r\n").index(b"\r\n", at)])


def _source(head: bytes) -> str:
    at = head.lower().index(_SOURCE) + len(_SOURCE)
    return (head + b"\r\n")[at:].split(b"\r\n", 1)[0].decode()


async def read(
    port: int, connections: int, seconds: float, rate: float, customers: int, features: int
) -> dict:
    paths = [
        b"/api/v2/customers/customer-%05d/entitlements/feature_%03d/value" % (customer, feature)
        for customer in range(customers)
        for feature in range(features)
    ]
    loop = asyncio.get_running_loop()
    sources: Counter[str] = Counter()
    began = time.perf_counter()
    open_ = []
    for _ in range(connections):
        _, one = await loop.create_connection(
            lambda: Reader(paths, began + seconds, connections / rate, sources), "127.0.0.1", port
        )
        open_.append(one)
    await asyncio.gather(*(one.done for one in open_))
    took = time.perf_counter() - began
    times = sorted(one_time for one in open_ for one_time in one.times)
    return {
        "answered": len(times),
        "rate": len(times) / took,
        "p50_ms": times[len(times) // 2] * 1000,
        "p99_ms": times[len(times) * 99 // 100] * 1000,
        "most_ms": times[-1] * 1000,
        "sources": dict(sources),
    }


if __name__ == "__main__":
    port, connections, seconds, rate, customers, features = sys.argv[1:7]
    found = uvloop.run(
        read(
            int(port), int(connections), float(seconds), float(rate), int(customers), int(features)
        )
    )
    sys.stdout.write(json.dumps(found) + "\n")
