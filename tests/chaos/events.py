"""Events whose fate is known: a seed gives the same ones again. Some late, some sent twice, some broken, subjects skewed."""

from __future__ import annotations

import random
import time
from collections import deque
from datetime import UTC, datetime

from tests.builders import a_meter_record

CUSTOMERS = [f"customer-{number}" for number in range(20)]
SUBJECTS = [subject for key in CUSTOMERS for subject in (key, f"{key}-app")] + [
    f"nobody-{number}" for number in range(10)
]
"""The key and a subject key of each customer, and subjects without a customer."""
METERS = {
    "tokens": a_meter_record("tokens", aggregation="SUM"),
    "calls": a_meter_record("calls", aggregation="COUNT"),
    "users": a_meter_record("users", aggregation="UNIQUE_COUNT", value="$.user"),
    "level": a_meter_record("level", aggregation="LATEST", value="$.level"),
    "peak": a_meter_record("peak", aggregation="MAX", value="$.tokens"),
    "by_model": a_meter_record("by_model", aggregation="SUM", groups={"model": "$.model"}),
}
FEATURES = {"ai_tokens": "tokens", "ai_calls": "calls", "ai_users": "users"}
"""Feature → meter; every customer is entitled to each."""
DUPLICATES, LATE, BROKEN, ASTRAY = 0.10, 0.10, 0.05, 0.02
"""Parts of the load; astray: straight to Kafka, into a partition that is not its subject's."""
LATE_S_MAX = 7200
_REMEMBERED = 20_000

BROKEN_RECORDS = (
    b"not json",
    b"",
    b'{"specversion": "1.0", "id": "x", "source": "chaos", "type": "request"}',
    b'{"specversion": "0.1", "id": "x", "source": "chaos", "type": "request", "subject": "s"}',
    b'{"specversion": "1.0", "id": "", "source": "chaos", "type": "request", "subject": "s"}',
    b'{"specversion": "1.0", "id": "x", "source": "chaos", "type": "request", "subject": "s", "time": "soon"}',
    b"\xff\xfe\x00",
)


class Events:
    """`made`: every event by id."""

    def __init__(self, seed: int):
        self.random = random.Random(seed)
        self.made: dict[str, dict] = {}
        self._recent: deque[dict] = deque(maxlen=_REMEMBERED)
        self._weights = [1 / (1 + place) for place in range(len(SUBJECTS))]

    def next(self) -> tuple[dict, bool]:
        """An event, and whether it was made before."""
        if self._recent and self.random.random() < DUPLICATES:
            return self.random.choice(self._recent), True
        return self.new(), False

    def broken(self) -> bool:
        return self.random.random() < BROKEN

    def astray(self) -> bool:
        return self.random.random() < ASTRAY

    def new(self) -> dict:
        pick = self.random
        second = time.time()
        if pick.random() < LATE:
            second -= pick.uniform(60, LATE_S_MAX)
        event = {
            "specversion": "1.0",
            "id": f"e{len(self.made)}",
            "source": "chaos",
            "type": "request",
            "subject": pick.choices(SUBJECTS, self._weights)[0],
            "time": datetime.fromtimestamp(int(second), UTC).isoformat(),
            "data": {
                "tokens": pick.choice([1, 7, "0.1", 1000]),
                "user": f"u{pick.randrange(400)}",
                "level": pick.randrange(1000),
                "model": pick.choice(["small", "large"]),
            },
        }
        self.made[event["id"]] = event
        self._recent.append(event)
        return event
