"""A stock Faust agent that decodes every event and does nothing else: the peer that the batch design is compared with.

`python -m tests.benchmarks.stock_faust SERVERS TOPIC EVENTS DIRECTORY` reads EVENTS events of the topic, measures all but
the first tenth, and prints one JSON object: events, seconds, cpu_s, tokens (of all EVENTS), memory.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

import faust
import psutil
from faust.types import StreamT


class Count:
    """What the agent saw."""

    def __init__(self, wanted: int) -> None:
        self.wanted = wanted
        self.warm = wanted // 10
        self.seen = 0
        self.by_place: dict[tuple[int, int], int] = {}
        self.started = self.cpu = 0.0
        self.memory: list[float] = []
        self._process = psutil.Process()

    def take(self) -> bool:
        """Count one event; True when it was the last one."""
        self.seen += 1
        if self.seen == self.warm:
            self.started, self.cpu = time.monotonic(), time.process_time()
        if not self.seen % 1000:
            self.memory.append(self._process.memory_info().rss / (1 << 20))
        return self.seen == self.wanted

    def report(self) -> str:
        """The figures."""
        return json.dumps(
            {
                "events": self.wanted - self.warm,
                "seconds": time.monotonic() - self.started,
                "cpu_s": time.process_time() - self.cpu,
                "memory": self.memory,
            }
        )


def main(servers: str, topic: str, wanted: int, directory: str) -> None:
    app = faust.App(
        "stock-faust",
        broker=f"kafka://{servers}",
        store="memory://",
        datadir=directory,
        topic_disable_leader=True,
        topic_allow_declare=False,
        web_enabled=False,
    )
    count = Count(wanted)

    @app.agent(app.topic(topic, value_serializer="json"))
    async def decode(events: StreamT[Any]) -> None:
        async for event in events:
            assert event["data"]["tokens"] >= 0
            if count.take():
                print(count.report(), flush=True)  # noqa: T201
                os._exit(0)

    sys.argv = ["faust", "worker", "--without-web"]
    faust.Worker(app, loglevel="WARNING", redirect_stdouts=False).execute_from_commandline()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4])
