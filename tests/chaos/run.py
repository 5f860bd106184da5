"""A run: a cluster, a load, faults from a seed, and the truth at the end."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.accounts import make_accounts
from tests.chaos.breaks.catalogue import ALL
from tests.chaos.cluster import Cluster, a_cluster
from tests.chaos.events import Events
from tests.chaos.load import Load
from tests.chaos.prober import Probe, Prober
from tests.chaos.timeline import Happening, Timeline
from tests.chaos.truth import Check, Truth

_CALM_S = (3.0, 6.0)
"""Between two faults, when a run has no plan."""
_FIRST_S = 5.0
_SUPERVISE_S = 0.2


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """`kinds`: one after another when `once`, else drawn from them until the time is over."""

    seed: int
    seconds: float
    rate: float
    kinds: Sequence[str]
    once: bool = False
    keep: Path | None = None


@dataclass(kw_only=True)
class Outcome:
    """`ended`: when the load stopped, by time.monotonic."""

    wanted: Wanted
    timeline: Timeline
    probes: list[Probe] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    figures: dict[str, object] = field(default_factory=dict)
    ended: float = 0.0

    @property
    def exact(self) -> bool:
        return bool(self.checks) and all(check.exact for check in self.checks)


def run(wanted: Wanted) -> Outcome:
    """Everything is stopped and deleted when it returns or raises."""
    outcome = Outcome(wanted=wanted, timeline=Timeline())
    outcome.timeline.say(f"seed {wanted.seed}")
    with a_cluster(keep=wanted.keep) as cluster:
        outcome.timeline.say("cluster is ready")
        since = make_accounts(cluster.apis[0].url)
        load = Load(cluster, Events(wanted.seed), wanted.rate)
        asyncio.run(_under_load(cluster, load, outcome))
        truth = Truth(cluster, load, since)
        outcome.figures["settled after the load, s"] = round(truth.settle(), 1)
        outcome.timeline.say("at rest; comparing")
        for check in truth.checks():
            outcome.checks.append(check)
            outcome.timeline.say(_told(check))
        outcome.figures |= _figures(load)
        if load.refused:
            outcome.checks.append(
                Check(
                    name="no good request is refused",
                    compared=load.sent,
                    differing=len(load.refused),
                    wrong=tuple(load.refused[:5]),
                )
            )
    return outcome


async def _under_load(cluster: Cluster, load: Load, outcome: Outcome) -> None:
    timeline, wanted = outcome.timeline, outcome.wanted
    cluster.on_restart = lambda child: timeline.say(f"{child.name} ended by itself: started again")
    prober = Prober(cluster, load.events, load.acknowledged, wanted.seed)
    beside = [
        asyncio.create_task(timeline.watch(cluster, load)),
        asyncio.create_task(_supervise(cluster)),
    ]
    await load.start()
    await prober.start()
    try:
        await _faults(cluster, timeline, wanted)
        for task in beside:
            if task.done():
                task.result()
    finally:
        outcome.ended = time.monotonic()
        timeline.say("load ends")
        await prober.stop()
        await load.finish()
        outcome.probes = prober.probes
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)


async def _faults(cluster: Cluster, timeline: Timeline, wanted: Wanted) -> None:
    pick = random.Random(wanted.seed)
    deadline = time.monotonic() + wanted.seconds
    planned = list(wanted.kinds)
    await asyncio.sleep(_FIRST_S)
    while planned if wanted.once else time.monotonic() < deadline:
        kind = planned.pop(0) if wanted.once else pick.choice(planned)
        fault = ALL[kind]()
        happening = Happening(kind=kind, said="", began=time.monotonic())
        timeline.happenings.append(happening)
        happening.said = await fault.inject(cluster, pick)
        timeline.say(happening.said)
        await asyncio.sleep(pick.uniform(*fault.heals_after_s))
        happening.healing = time.monotonic()
        await fault.heal(cluster)
        happening.healed = time.monotonic()
        timeline.say(f"healed ({kind}, {happening.healed - happening.began:.1f} s)")
        await asyncio.sleep(pick.uniform(*_CALM_S))


async def _supervise(cluster: Cluster) -> None:
    while True:
        cluster.restart_the_dead()
        await asyncio.sleep(_SUPERVISE_S)


def _told(check: Check) -> str:
    if check.exact:
        return f"exact   {check.name} ({check.compared})"
    return f"DIFFERS {check.name} ({check.differing} of {check.compared}): {'; '.join(check.wrong)}"


def _figures(load: Load) -> dict[str, object]:
    return {
        "events sent": load.sent,
        "distinct events made": len(load.events.made),
        "distinct events acknowledged": len(load.acknowledged),
        "broken requests refused": load.broken_refused,
        "broken records in Kafka": load.broken_in_kafka,
        "tries again": dict(load.retries),
    }
