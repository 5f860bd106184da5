"""Events written to Kafka at a steady rate, one a record, each with an id of its own and the time at which it was made.

`python -m tests.benchmarks.balances.kafka_load SERVERS SECONDS RATE SUBJECTS` prints one JSON object: the rate.
Subjects are `customer-00000` on, with 1/k shares. It takes less of the machine than the same over HTTP.
"""

from __future__ import annotations

import json
import random
import sys
import time
from array import array
from bisect import bisect
from itertools import accumulate

from confluent_kafka import Producer

from runtime import clock
from tests.benchmarks.stack import NAMES

_TICK_S = 0.01


def load(servers: str, seconds: float, rate: float, subjects: int) -> dict[str, float]:
    rnd = random.Random(time.time_ns())
    shares = array("d", accumulate(1 / k for k in range(1, subjects + 1)))
    life = f"{rnd.randrange(1 << 32):08x}"
    producer = Producer(
        {"bootstrap.servers": servers, "partitioner": "murmur2_random", "linger.ms": 5}
    )
    began, sent = time.perf_counter(), 0
    while (passed := time.perf_counter() - began) < seconds:
        at = clock.wall_now().strftime("%Y-%m-%dT%H:%M:%SZ")
        for _ in range(int(rate * (passed + _TICK_S)) - sent):
            subject = f"customer-{bisect(shares, rnd.random() * shares[-1]):05d}"
            event = (
                f'{{"specversion":"1.0","id":"{life}-{sent:08x}","source":"inference/gateway","type":"request",'
                f'"subject":"{subject}","time":"{at}",'
                f'"data":{{"tokens":{sent % 2000},"model":"gpt-4","route":"/v1/chat"}}}}'
            )
            producer.produce(NAMES.events, event, subject)
            sent += 1
        producer.poll(0)
        time.sleep(max(0.0, began + passed + _TICK_S - time.perf_counter()))
    assert producer.flush(30) == 0
    return {"rate": sent / (time.perf_counter() - began)}


if __name__ == "__main__":
    servers, seconds, rate, subjects = sys.argv[1:5]
    found = load(servers, float(seconds), float(rate), int(subjects))
    sys.stdout.write(json.dumps(found) + "\n")
