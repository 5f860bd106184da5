"""The load of `http_ingest.py`: requests made beforehand, raw sockets, so that it takes little of the machine.

`python -m tests.benchmarks.http_load PORT CONNECTIONS SECONDS RATE` prints one JSON object: answered, seconds, p50_ms, p99_ms,
cpu_s. Each connection sends its next request when the answer to the one before has arrived. With a RATE (events a second of
all connections, 0 = none) not before its time, and the clock of a request starts at that time, sent or not.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from itertools import islice

import uvloop

from tests.benchmarks.events import Totals, Workload, generate

BATCH_EVENTS = 100
_REQUESTS = 400
_ACCEPTED = b"HTTP/1.1 204 "


def requests() -> list[bytes]:
    """What is sent, in turn."""
    events = (
        value
        for _, value in generate(Workload(events=_REQUESTS * BATCH_EVENTS, duplicates=0), Totals())
    )
    found = []
    while batch := list(islice(events, BATCH_EVENTS)):
        body = b"[" + b",".join(batch) + b"]"
        head = (
            b"POST /api/v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/cloudevents-batch+json\r\n"
            b"Content-Length: %d\r\n\r\n" % len(body)
        )
        found.append(head + body)
    return found


class Connection(asyncio.Protocol):
    """Sends and waits in turn until `until`; the times of its requests go to `times`."""

    def __init__(self, bodies: list[bytes], first: int, until: float, pace_s: float) -> None:
        self._bodies = bodies
        self._next = first
        self._until = until
        self._pace_s = pace_s
        self._due_at = time.perf_counter() + pace_s * random.random()
        self._answer = b""
        self.times: list[float] = []
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._send_when_due()

    def data_received(self, data: bytes) -> None:
        self._answer += data
        if not self._answer.endswith(b"\r\n\r\n"):
            return
        now = time.perf_counter()
        self.times.append(now - self._due_at)
        if not self._answer.startswith(_ACCEPTED):
            self.done.set_exception(AssertionError(self._answer.decode()))
        elif now < self._until:
            self._due_at = self._due_at + self._pace_s if self._pace_s else now
            self._send_when_due()
        else:
            self.done.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(error or AssertionError("the api closed the connection"))

    def _send_when_due(self) -> None:
        wait_s = self._due_at - time.perf_counter()
        if wait_s > 0:
            asyncio.get_running_loop().call_later(wait_s, self._send)
        else:
            self._send()

    def _send(self) -> None:
        self._answer = b""
        self._next += 1
        self._transport.write(self._bodies[self._next % len(self._bodies)])


async def load(port: int, connections: int, seconds: float, rate: float) -> dict[str, float]:
    pace_s = connections * BATCH_EVENTS / rate if rate else 0.0
    bodies = requests()
    loop = asyncio.get_running_loop()
    cpu, began = time.process_time(), time.perf_counter()
    open_ = []
    for number in range(connections):
        first = number * len(bodies) // connections
        _, one = await loop.create_connection(
            lambda first=first: Connection(bodies, first, began + seconds, pace_s),
            "127.0.0.1",
            port,
        )
        open_.append(one)
    await asyncio.gather(*(one.done for one in open_))
    took, spent = time.perf_counter() - began, time.process_time() - cpu
    times = sorted(one_time for one in open_ for one_time in one.times)
    return {
        "answered": len(times),
        "seconds": took,
        "p50_ms": times[len(times) // 2] * 1000,
        "p99_ms": times[len(times) * 99 // 100] * 1000,
        "cpu_s": spent,
    }


if __name__ == "__main__":
    found = uvloop.run(load(int(sys.argv[1]), int(sys.argv[2]), *map(float, sys.argv[3:5])))
    sys.stdout.write(json.dumps(found) + "\n")
