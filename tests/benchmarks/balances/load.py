"""Events over HTTP at a steady rate, each with an id of its own and the time at which it was made: what balances live on.

`python -m tests.benchmarks.balances.load PORT CONNECTIONS SECONDS RATE SUBJECTS` prints one JSON object, as `http_load` does.
Subjects are `customer-00001` on, with 1/k shares.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from array import array
from bisect import bisect
from itertools import accumulate

import uvloop

from runtime import clock
from tests.benchmarks.http_load import BATCH_EVENTS, Connection


def requests(count: int, subjects: int) -> list[bytes]:
    """Bodies of 100 events."""
    rnd = random.Random(time.time_ns())
    shares = array("d", accumulate(1 / k for k in range(1, subjects + 1)))
    life = f"{rnd.randrange(1 << 32):08x}"
    at = clock.wall_now().strftime("%Y-%m-%dT%H:%M:%SZ")
    found = []
    for number in range(count):
        events = ",".join(
            f'{{"specversion":"1.0","id":"{life}-{number:06x}-{i:02x}","source":"inference/gateway","type":"request",'
            f'"subject":"customer-{bisect(shares, rnd.random() * shares[-1]):05d}","time":"{at}",'
            f'"data":{{"tokens":{rnd.randrange(2000)},"model":"gpt-4","route":"/v1/chat"}}}}'
            for i in range(BATCH_EVENTS)
        )
        body = f"[{events}]".encode()
        head = (
            b"POST /api/v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/cloudevents-batch+json\r\n"
            b"Content-Length: %d\r\n\r\n" % len(body)
        )
        found.append(head + body)
    return found


async def load(
    port: int, connections: int, seconds: float, rate: float, subjects: int
) -> dict[str, float]:
    each = int(rate / BATCH_EVENTS / connections * seconds * 1.2) + 10
    bodies = requests(each * connections, subjects)
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    open_ = []
    for number in range(connections):
        _, one = await loop.create_connection(
            lambda first=number * each: Connection(
                bodies, first, began + seconds, connections * BATCH_EVENTS / rate
            ),
            "127.0.0.1",
            port,
        )
        open_.append(one)
    await asyncio.gather(*(one.done for one in open_))
    took = time.perf_counter() - began
    times = sorted(one_time for one in open_ for one_time in one.times)
    return {
        "rate": len(times) * BATCH_EVENTS / took,
        "p50_ms": times[len(times) // 2] * 1000,
        "p99_ms": times[len(times) * 99 // 100] * 1000,
    }


if __name__ == "__main__":
    port, connections, seconds, rate, subjects = sys.argv[1:6]
    found = uvloop.run(
        load(int(port), int(connections), float(seconds), float(rate), int(subjects))
    )
    sys.stdout.write(json.dumps(found) + "\n")
