"""Speed of the credit engine: five years at once, and one step of a running balance. Prints figures, judges nothing.

python -m tests.benchmarks.credits
"""

import random
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from statistics import median, quantiles

from domain.credits.cuts import Plan
from domain.credits.engine import Evaluation, evaluate, open_state
from domain.credits.grant import Grant, GrantId
from domain.credits.readings import Readings
from domain.credits.roster import Roster
from domain.credits.running import advance, begin, count, value
from domain.credits.usage import Reading
from domain.entitlements.usage_period import new_timeline
from domain.metering.meter import Aggregation
from domain.time.duration import parse_duration
from domain.time.recurrence import Recurrence

START = datetime(2020, 1, 1, tzinfo=UTC)
DAYS = 5 * 365
GRANTS = 1_000
MINUTES = 1_000_000
ACTIVE_MAX = 20


def five_years(recurring: float) -> Plan:
    """A daily entitlement; 1,000 grants that follow each other so that at most 20 are active; a share of them recurs daily."""
    chance = random.Random(7)
    step = timedelta(days=DAYS) / GRANTS
    grants = []
    for index in range(GRANTS):
        begins = START + index * step
        recurrence = None
        if chance.random() < recurring:
            recurrence = Recurrence(interval=parse_duration("P1D"), anchor=begins)
        grants.append(
            Grant(
                id=GrantId(f"g{index}"),
                amount=Decimal(chance.randrange(100, 2_000)),
                priority=chance.randrange(3),
                effective_at=begins,
                created_at=begins,
                expires_at=begins + (ACTIVE_MAX - 1) * step,
                recurrence=recurrence,
                max_rollover=Decimal(500),
            )
        )
    timeline = new_timeline(
        interval=parse_duration("P1D"), anchor=START, measured_from=START, preserve_overage=True
    )
    return Plan(Roster(grants), timeline, Aggregation.SUM)


def minutes() -> list[Reading]:
    """A million readings, one a minute, over the five years."""
    chance = random.Random(8)
    spread = sorted(chance.sample(range(DAYS * 1_440), MINUTES))
    return [
        Reading(START + timedelta(minutes=n), Decimal(chance.randrange(1, 400)) / 100)
        for n in spread
    ]


def timed(work: Callable[[], object]) -> float:
    """The best of three, in seconds."""
    best = float("inf")
    for _ in range(3):
        began = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - began)
    return best


def say(line: str) -> None:
    sys.stdout.write(line + "\n")


def main() -> None:
    used = minutes()
    built = timed(lambda: Readings(Aggregation.SUM, used))
    readings = Readings(Aggregation.SUM, used)
    say(f"readings, 1 M: {built:.2f} s to build")
    for share in (0.0, 0.1, 1.0):
        at_once(share, readings)
    step(used)


def at_once(share: float, readings: Readings) -> None:
    """The whole evaluation, making the plan included; `share` of the grants recurs daily."""
    until = START + timedelta(days=DAYS)

    def work() -> Evaluation:
        plan = five_years(share)
        return evaluate(plan, open_state(plan, START), readings, until)

    roster, took, done = five_years(share).roster, timed(work), work()
    most = max(len(roster.active_at(START + timedelta(hours=h))) for h in range(DAYS * 24))
    say(
        f"5 years, {share:.0%} of the grants recurring daily, at most {most} active: "
        f"{took:.2f} s, {len(done.segments)} segments"
    )


def step(used: list[Reading]) -> None:
    """One reading and the balance after it, 20 grants active, most phases of the period kept."""
    plan = five_years(0.5)
    running = begin(plan, START + timedelta(days=900))
    spent = []
    inside = [r for r in used if START + timedelta(days=900) <= r.at < START + timedelta(days=903)]
    crossings = []
    for reading in inside:
        cuts = running.next_cut_at is not None and reading.at >= running.next_cut_at
        began = time.perf_counter()
        running = count(plan, running, reading)
        value(plan, running)
        (crossings if cuts else spent).append((time.perf_counter() - began) * 1e6)
    say(
        f"one step in a phase: median {median(spent):.0f} µs, p99 {quantiles(spent, n=100)[98]:.0f} µs "
        f"({len(plan.roster.active_at(running.state.at))} active); past a cut point: median {median(crossings):.0f} µs"
    )
    began = time.perf_counter()
    for hours in range(200):
        advance(plan, running, running.state.at + timedelta(hours=hours))
    say(f"time moved on by up to 200 h: {(time.perf_counter() - began) / 200 * 1e6:.0f} µs")


if __name__ == "__main__":
    main()
