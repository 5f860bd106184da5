"""Up to when recomputed balances are complete: looks at the ends of the log beside what ClickHouse has."""

import asyncio

import pytest

from api.balances.log_ends import LogEnds
from domain.errors import Unavailable
from schemas.partitioner import partition_of
from schemas.position import record_start


class Log:
    """A log of two partitions whose ends a test sets, and a clock."""

    def __init__(self):
        self.ends, self.now_ms, self.error, self.looks = {0: 0, 1: 0}, 0, None, 0
        self.seen = LogEnds(self._ends, partitions=2, wall_ms=lambda: self.now_ms)

    async def _ends(self):
        self.looks += 1
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        return dict(self.ends)

    async def look(self, now_ms, **ends):
        self.now_ms = now_ms
        self.ends |= {int(name.removeprefix("p")): end for name, end in ends.items()}
        await self.seen.look()

    def as_of(self, *offsets, of=(0, 1)):
        return self.seen.as_of_ms(
            {partition: record_start(offset) for partition, offset in enumerate(offsets)}, of
        )


@pytest.fixture
def log():
    return Log()


async def test_it_is_the_newest_look_whose_ends_are_there(log):
    await log.look(1_000, p0=5)
    await log.look(2_000, p0=9)
    await log.look(3_000, p0=9)

    assert log.as_of(4, 0) is None
    assert log.as_of(5, 0) == 1_000
    assert log.as_of(8, 0) == 1_000
    assert log.as_of(9, 0) == 3_000


async def test_of_several_partitions_the_oldest_counts_and_others_do_not(log):
    await log.look(1_000, p0=5, p1=2)
    await log.look(2_000, p0=9, p1=7)

    assert log.as_of(9, 2) == 1_000
    assert log.as_of(9, 2, of=(0,)) == 2_000
    assert log.as_of(9, 1) is None


async def test_without_a_look_or_a_partition_it_says_what_it_can(log):
    assert log.as_of(5, 5) is None
    assert log.seen.as_of_ms({}, ()) is None
    await log.look(1_000)
    assert log.seen.as_of_ms({}, ()) == 1_000


async def test_while_kafka_is_down_what_was_seen_stays(log):
    await log.look(1_000, p0=5)
    log.error = Unavailable("down")
    await log.look(9_000, p0=6)

    assert log.as_of(6, 0) == 1_000


async def test_looks_at_one_time_are_one(log):
    await asyncio.gather(*(log.seen.look() for _ in range(20)))

    assert log.looks == 1


async def test_old_looks_are_thinned_and_never_far_apart(log):
    for second in range(0, 3 * 3_600 + 1, 5):
        await log.look(second * 1_000, p0=second)
    now = log.now_ms

    ages = [now - log.as_of(log.ends[0] - behind, 0) for behind in (0, 5, 10, 100, 1_000, 10_000)]

    assert ages[0] == 0
    for behind, further, age in zip(
        (5, 10, 100, 1_000, 10_000), (0, 0, 10, 10, 300), ages[1:], strict=True
    ):
        assert behind * 1_000 <= age <= (behind + further) * 1_000
    assert len(log.seen._looks) < 1_000


def test_subjects_have_the_partition_that_their_events_have(log):
    assert log.seen.partition_of("é") == partition_of("é".encode(), 2)
