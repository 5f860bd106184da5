"""Two workers share the partitions: one dies, stops, or wakes up after the group has given its partitions away."""

import os
import signal
import time

import pytest

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]

ALL = {0, 1, 2, 3}


@pytest.fixture
def pair(cluster):
    cluster.work.publish_meters()
    cluster.worker("a").start().wait_ready()
    cluster.worker("b").start().wait_ready()
    cluster.worker("a").wait_until(lambda: shared(cluster), what="two workers with partitions")
    cluster.work.burst(300)
    return cluster


def shared(cluster) -> bool:
    a, b = cluster.owned("a"), cluster.owned("b")
    return bool(a) and bool(b) and a | b == ALL and not a & b


def takes_over(cluster, name: str, seconds: float) -> float:
    """How long it takes until one worker has everything; fails when that is longer than `seconds`."""
    began = time.monotonic()
    worker = cluster.worker(name)
    worker.wait_until(lambda: cluster.owned(name) == ALL and worker.ready(), seconds, "take-over")
    return time.monotonic() - began


def test_partitions_of_a_killed_worker_move_and_come_back_exact(pair):
    pair.worker("a").kill()
    pair.work.burst(200)
    takes_over(pair, "b", 30)
    pair.work.burst(200)

    pair.worker("a").start()
    pair.worker("b").wait_until(lambda: shared(pair), what="partitions that come back")
    pair.work.burst(200)

    pair.wait_exact()


def test_partitions_of_a_stopped_worker_move_at_once(pair):
    pair.worker("a").stop()
    took = takes_over(pair, "b", 30)
    pair.work.burst(200)

    pair.wait_exact()
    assert took < 6, "the session time-out was waited for"


def test_a_worker_that_sleeps_past_its_session_and_wakes_up_corrupts_nothing(pair):
    sleeper = pair.worker("a")
    pair.work.burst(400)
    os.kill(sleeper.process.pid, signal.SIGSTOP)
    pair.work.burst(200)
    worker = pair.worker("b")
    worker.wait_until(lambda: pair.owned("b") == ALL, 60, "take-over from the sleeper")
    pair.work.burst(200)

    os.kill(sleeper.process.pid, signal.SIGCONT)
    pair.work.burst(200)

    pair.wait_exact(90)
