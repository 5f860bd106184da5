"""From an event's 204 to the balance that has it, again and again, over two connections that are kept.

`python -m tests.benchmarks.balances.probe PORT SECONDS CUSTOMER,CUSTOMER,… FEATURE` prints one JSON object: p50_ms, p99_ms,
most_ms, probes, and how many answers came from whom. The clock starts when the 204 is there; the balance is asked for
without a pause until it has the event. A customer's usage before is read first; nobody else may send for it.
"""

from __future__ import annotations

import http.client
import json
import sys
import time
import uuid
from collections import Counter

from runtime import clock

_LATEST_S = 20.0
_PAUSE_S = 0.02


class Probe:
    """The two connections, and what was found."""

    def __init__(self, port: int, feature: str) -> None:
        self._sending = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self._asking = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self._feature = feature
        self.sources: Counter[str] = Counter()
        self.times: list[float] = []

    def usage(self, customer: str) -> float:
        self._asking.request(
            "GET", f"/api/v2/customers/{customer}/entitlements/{self._feature}/value"
        )
        answer = self._asking.getresponse()
        body = answer.read()
        assert answer.status == 200, body
        self.sources[answer.headers["meterstream-source"]] += 1
        return float(json.loads(body)["usage"])

    def one(self, customer: str) -> None:
        before = self.usage(customer)
        self._send(customer)
        accepted = time.perf_counter()
        while self.usage(customer) != before + 1:
            assert time.perf_counter() - accepted < _LATEST_S, f"{customer} is not counted"
        self.times.append(time.perf_counter() - accepted)

    def _send(self, customer: str) -> None:
        event = {
            "specversion": "1.0",
            "id": uuid.uuid4().hex,
            "source": "probe",
            "type": "request",
            "subject": customer,
            "time": clock.wall_now().isoformat(),
            "data": {"tokens": 1, "model": "gpt-4"},
        }
        self._sending.request(
            "POST",
            "/api/v1/events",
            json.dumps(event),
            {"content-type": "application/cloudevents+json"},
        )
        answer = self._sending.getresponse()
        body = answer.read()
        assert answer.status == 204, body


def main() -> None:
    port, seconds, customers, feature = sys.argv[1:5]
    probe = Probe(int(port), feature)
    until = time.perf_counter() + float(seconds)
    keys = customers.split(",")
    while time.perf_counter() < until:
        probe.one(keys[len(probe.times) % len(keys)])
        time.sleep(_PAUSE_S)
    times = sorted(probe.times)
    found = {
        "probes": len(times),
        "p50_ms": times[len(times) // 2] * 1000,
        "p99_ms": times[len(times) * 99 // 100] * 1000,
        "most_ms": times[-1] * 1000,
        "sources": dict(probe.sources),
    }
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
