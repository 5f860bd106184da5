"""Which balance partitions a worker follows while the group changes its mind, workers come and die, and it restarts."""

import os

import pytest

from runtime.balances.following import Following, FollowingOptions
from runtime.balances.states import States
from schemas.owners import WorkerRecord
from tests.unit.runtime.balance_fakes import FakeFeed, FakePartition

WALL_S = 1_700_000_000.0


class Worker:
    """The worker `b`, whose partitions begin where `states` says; restartable."""

    def __init__(self, home, standbys=1):
        self.home = home
        self.standbys = standbys
        self.live = []
        self.clock = 0.0
        self.wall_s = WALL_S
        self.on_disk = {}
        """The offset that a state goes on from."""
        self.opened = []
        self.start()

    def start(self):
        self.feed = FakeFeed(dict.fromkeys(range(4), 100))
        self.following = Following(
            self.feed,
            States(self.home, "om_t_usage", lambda: self.wall_s),
            open_partition=self.open,
            live=lambda: self.live,
            wake=lambda: None,
            now_ms=lambda: 0,
            options=FollowingOptions(name="b", partitions=4, standbys=self.standbys),
            monotonic=lambda: self.clock,
        )

    def open(self, number, path):
        path.mkdir(exist_ok=True)
        self.opened.append(number)
        return FakePartition(number, self.on_disk.get(number) if any(path.iterdir()) else None)

    async def stop(self):
        for number, one in self.following.followed.items():
            (self.home / f"om_t_usage-{number}" / "CURRENT").touch()
            self.on_disk[number] = one.partition.next_offset
        await self.following.close()

    @property
    def followed(self):
        return set(self.following.followed)


def others(*owned, name="a", generation=1):
    return WorkerRecord(name=name, url="http://a", owned=owned, generation=generation)


@pytest.fixture
def worker(tmp_path):
    return Worker(tmp_path)


async def test_owned_and_standby_partitions_are_followed_from_the_end(worker):
    worker.live = [others(0, 1)]
    worker.following.own([2, 3], 1)

    await worker.following.settle()

    assert worker.followed == {0, 1, 2, 3}
    assert {number: offset for number, (offset, _) in worker.feed.following.items()} == {
        0: 100, 1: 100, 2: 100, 3: 100,
    }  # fmt: skip
    assert worker.following.followed[0].partition.began == [100]


async def test_without_standbys_only_owned_ones_are(tmp_path):
    worker = Worker(tmp_path, standbys=0)
    worker.live = [others(0, 1)]
    worker.following.own([2], 1)

    await worker.following.settle()

    assert worker.followed == {2}


async def test_what_the_group_takes_away_goes_on_and_is_not_opened_anew_when_it_comes_back(worker):
    worker.following.own([0, 1], 1)
    await worker.following.settle()
    worker.following.own([], 2)
    await worker.following.settle()
    worker.following.own([0, 1], 3)
    await worker.following.settle()

    assert worker.opened == [0, 1]
    assert not worker.following.followed[0].partition.closed


async def test_the_partitions_of_a_dead_owner_are_followed_until_another_owns_them(worker):
    worker.live = [others(0)]
    await worker.following.settle()
    worker.live = []
    worker.clock += 3600

    await worker.following.settle()

    assert worker.followed == {0}


async def test_what_others_own_and_stand_by_is_let_go_after_a_while_and_its_state_kept(worker):
    worker.following.own([0], 1)
    await worker.following.settle()
    worker.following.own([], 2)
    worker.live = [others(0, generation=2), others(name="aa", generation=2)]
    partition = worker.following.followed[0].partition

    await worker.following.settle()
    worker.clock += 29
    await worker.following.settle()
    assert worker.followed == {0}
    worker.clock += 2
    await worker.following.settle()

    assert (worker.followed, worker.feed.following, partition.closed) == (set(), {}, True)
    assert (worker.home / "om_t_usage-0").is_dir()


async def test_a_state_that_was_left_long_ago_is_deleted_one_in_use_is_not(worker):
    for number in (0, 1):
        (worker.home / f"om_t_usage-{number}").mkdir()
    states = States(worker.home, "om_t_usage", lambda: worker.wall_s)
    states.left(0)
    os.utime(worker.home / "om_t_usage-0.left", (WALL_S, WALL_S))

    states.sweep(3600)
    assert (worker.home / "om_t_usage-0").is_dir()
    worker.wall_s += 3601
    states.sweep(3600)

    assert sorted(path.name for path in worker.home.iterdir()) == ["om_t_usage-1"]


async def test_a_restart_answers_for_what_was_followed_before_the_group_decides(worker):
    worker.following.own([1, 2], 1)
    await worker.following.settle()
    worker.following.followed[1].take([(b"k", b"v")], 150)
    await worker.stop()

    worker.start()
    worker.feed.ends[1] = 170
    await worker.following.resume()

    assert worker.followed == {1, 2}
    assert worker.feed.following[1][0] == 150
    assert worker.following.followed[1].partition.began == []


async def test_a_state_ahead_of_its_topic_begins_anew(worker):
    worker.following.own([1], 1)
    await worker.following.settle()
    worker.following.followed[1].take([(b"k", b"v")], 150)
    await worker.stop()

    worker.start()
    await worker.following.resume()

    assert worker.feed.following[1][0] == 100
    assert worker.following.followed[1].partition.began == [100]


async def test_a_partition_reads_no_more_than_there_is_room_for(tmp_path):
    worker = Worker(tmp_path)
    worker.following.own([0], 1)
    await worker.following.settle()
    one = worker.following.followed[0]

    one.take([(b"k" * 10, b"v" * (16 << 20))], 101)
    assert not one.has_room()
    await one.work()

    assert one.has_room()
