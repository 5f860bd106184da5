import asyncio
from types import SimpleNamespace

import pytest
from prometheus_client import REGISTRY

from domain.errors import Unavailable
from schemas.position import position
from streams.watching import Stalled, Watch


class Reader:
    def __init__(self):
        self.end = 5
        self.down = False

    async def bounds(self, topic, partition):
        if self.down:
            raise Unavailable("no broker")
        return 0, self.end


@pytest.fixture
def world():
    found = SimpleNamespace(reader=Reader(), stalls=[], clock=0.0)
    found.owned = SimpleNamespace(source_next=0)
    found.partitions = SimpleNamespace(owned={0: found.owned}, restored=asyncio.Event())
    found.partitions.restored.set()
    found.watch = Watch(
        found.partitions,
        found.reader,
        topic="events",
        on_stall=found.stalls.append,
        stall_s=120,
        now=lambda: found.clock,
    )
    return found


async def test_events_that_nobody_folds_for_too_long_stop_the_worker(world):
    for world.clock in (0.0, 60.0, 120.0):
        await world.watch.look()
    before = list(world.stalls)
    world.clock = 121.0
    await world.watch.look()

    assert before == []
    assert isinstance(world.stalls[0], Stalled)
    assert "5 records wait" in str(world.stalls[0])


@pytest.mark.parametrize("why", ["nothing waits", "no broker", "being restored", "progress"])
async def test_a_partition_that_has_a_reason_to_stand_still_is_left_alone(world, why):
    world.reader.end = 0 if why == "nothing waits" else 1_000_000
    world.reader.down = why == "no broker"
    if why == "being restored":
        world.partitions.restored.clear()

    for offset in range(20):
        world.clock += 100
        if why == "progress":
            world.owned.source_next = position(offset, 0)
        await world.watch.look()

    assert world.stalls == []


async def test_the_lag_is_shown_also_when_nothing_is_fetched(world):
    world.reader.end = 7
    world.owned.source_next = position(2, 0)

    await world.watch.look()

    assert REGISTRY.get_sample_value("meterstream_partition_lag_records", {"partition": "0"}) == 5
