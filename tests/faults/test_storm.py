"""Long: two workers under load, one of them killed, stopped, put to sleep or robbed of its state, again and again."""

import os
import random
import signal
import time

import pytest

pytestmark = [pytest.mark.faults, pytest.mark.long, pytest.mark.timeout(1200)]

ROUNDS = 25


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_totals_are_exact_after_a_storm(cluster, seed):
    print(f"seed {seed}")  # noqa: T201 - to run it again
    pick = random.Random(seed)
    cluster.work.publish_meters()
    for name in ("a", "b"):
        cluster.worker(name).start().wait_ready()

    for _ in range(ROUNDS):
        victim = cluster.worker(pick.choice("ab"))
        kind = pick.choice(["kill", "stop", "sleep", "rob"])
        cluster.work.burst(pick.randrange(20, 200))
        if kind == "sleep":
            os.kill(victim.process.pid, signal.SIGSTOP)
            until = time.monotonic() + pick.choice([1, 9])
            while time.monotonic() < until:
                cluster.work.burst(10)
            os.kill(victim.process.pid, signal.SIGCONT)
        elif kind == "stop":
            victim.stop()
        else:
            victim.kill()
            if kind == "rob":
                cluster.forget_state(victim.name)
        cluster.work.burst(pick.randrange(20, 100))
        cluster.restart_the_dead()
        if pick.random() < 0.3:
            cluster.wait_exact(120)

    cluster.wait_exact(180)
