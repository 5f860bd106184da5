"""The events of the benchmark: made from a seed, with the totals that every run must reach.

1,000,000 CloudEvents of about 230 bytes, one type, times in the order of arrival over `minutes` minutes. Subjects are drawn
unevenly, as customers are: the share of subject k falls with 1/k. With `even` every subject has the same share, which
leaves about one event for each row of usage: nothing to add up, the hardest case for a fold.
"""

from __future__ import annotations

import random
from array import array
from bisect import bisect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import accumulate

MODELS = ("gpt-4", "gpt-4o-mini", "claude-3", "llama-3-70b")
PARTITIONS = 4
START = 1_772_712_000
"""2026-03-05T12:00:00Z."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What is sent. `duplicates` is the share of events that are sent a second time."""

    events: int = 1_000_000
    subjects: int = 10_000
    minutes: float = 25.0
    duplicates: float = 0.01
    even: bool = False
    seed: int = 1


@dataclass(slots=True)
class Totals:
    """What must come out: events as sent (duplicates included), events that count, the sum of their tokens."""

    sent: int = 0
    counted: int = 0
    tokens: int = 0
    bytes: int = 0


def generate(workload: Workload, totals: Totals) -> Iterator[tuple[str, bytes]]:
    """(subject, value) of every record in the order in which they are sent; `totals` is complete at the end."""
    rnd = random.Random(workload.seed)
    pick = _picker(workload, rnd)
    step = workload.minutes * 60 / workload.events
    lately: list[tuple[str, bytes]] = []
    for i in range(workload.events):
        subject = f"customer-{pick():05d}"
        tokens = rnd.randrange(2000)
        value = (
            b'{"specversion":"1.0","id":"%08x-%04x-4a4a-9c9c-%08x","source":"inference/gateway","type":"request",'
            b'"subject":"%s","time":"%s","data":{"tokens":%d,"model":"%s","route":"/v1/chat"}}'
            % (
                i,
                rnd.randrange(65_536),
                rnd.randrange(1 << 32),
                subject.encode(),
                _time_text(START + int(i * step)),
                tokens,
                rnd.choice(MODELS).encode(),
            )
        )
        totals.sent += 1
        totals.counted += 1
        totals.tokens += tokens
        totals.bytes += len(value)
        yield subject, value
        if len(lately) < 1000:
            lately.append((subject, value))
        else:
            lately[i % 1000] = (subject, value)
        if rnd.random() < workload.duplicates:
            totals.sent += 1
            again = rnd.choice(lately)
            totals.bytes += len(again[1])
            yield again


def _picker(workload: Workload, rnd: random.Random) -> Callable[[], int]:
    if workload.even:
        return lambda: rnd.randrange(workload.subjects)
    shares = array("d", accumulate(1 / k for k in range(1, workload.subjects + 1)))
    whole = shares[-1]
    return lambda: bisect(shares, rnd.random() * whole)


def _time_text(second: int) -> bytes:
    days, rest = divmod(second - START, 86_400)
    rest += 12 * 3600
    return b"2026-03-%02dT%02d:%02d:%02dZ" % (
        5 + days + rest // 86_400,
        rest // 3600 % 24,
        rest // 60 % 60,
        rest % 60,
    )
