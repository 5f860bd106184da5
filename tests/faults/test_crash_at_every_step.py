"""`kill -9` of the worker at every numbered step of the protocol: what was sent is counted once, whenever it dies."""

import pytest

from streams.steps import Step

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

ON_THE_WAY = [step for step in Step if step.value.startswith(("chunk_", "block_"))]
SMALL = {
    "METERSTREAM_WORKER__CHUNK_EVENTS_MAX": "2",
    "METERSTREAM_SINK__BLOCK_EVENTS_MAX": "50",
}
"""Chunks and blocks end inside records, and there are many of them."""
RESTORING = [step for step in Step if step.value.startswith("restore_")]


def test_totals_are_exact_after_a_kill_at_every_step_of_a_chunk_and_a_block(cluster):
    cluster.environment = SMALL
    cluster.work.publish_meters()
    cluster.work.burst(100)

    for step in ON_THE_WAY:
        for times in (1, 6):
            cluster.run_until_dead(f"{step.value}:{times}")
    cluster.worker().start().wait_ready()

    cluster.wait_exact()
    cluster.check_state()


def test_totals_are_exact_after_a_kill_at_every_step_of_a_restore(cluster):
    cluster.work.publish_meters()
    cluster.worker().start().wait_ready()
    cluster.work.burst(200)
    cluster.wait_exact()
    cluster.worker().kill()

    for step in RESTORING:
        for times in (1, 3):
            cluster.work.burst(50)
            cluster.forget_state()
            cluster.run_until_dead(f"{step.value}:{times}")
    cluster.worker().start().wait_ready()

    cluster.wait_exact()
    cluster.check_state()


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("step", ON_THE_WAY)
def test_totals_are_exact_after_each_of_many_kills_at_one_step(cluster, step):
    cluster.environment = SMALL
    cluster.work.publish_meters()

    for times in (1, 2, 3, 5, 8, 13, 21, 34):
        cluster.work.burst(20)
        cluster.run_until_dead(f"{step.value}:{times}", seconds=120)
        cluster.worker().start().wait_ready()
        cluster.wait_exact()
        cluster.worker().kill()
    cluster.worker().start().wait_ready()

    cluster.wait_exact()
    cluster.check_state()
