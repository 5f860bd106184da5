"""What a state refuses, and what it says about a disk that fails, lies or belongs to somebody else."""

import subprocess
import sys
from pathlib import Path

import pytest

from schemas import state
from schemas.state import WEEK_MS
from tables.store import (
    InvariantBroken,
    PartitionStore,
    SharedMemory,
    StateCorrupt,
    StateFull,
    StateLocked,
    StateOfAnotherVersion,
    StoreOptions,
    destroy,
)

ROOT = Path(__file__).resolve().parents[3]
MEMORY = SharedMemory(StoreOptions(block_cache_bytes=8 << 20, write_buffer_bytes=64 << 20))


def opened(path, **options):
    return PartitionStore(path, MEMORY, StoreOptions(**options))


@pytest.fixture
def store(tmp_path):
    store = opened(tmp_path / "state", ids_max=3)
    yield store
    store.close()


def apply(store, base=0, ids=1, **changes):
    """A chunk of `ids` events from `base` on."""
    placed = [((base + i).to_bytes(16, "big"), state.pack_u64(base + i)) for i in range(ids)]
    chunk = {
        "week": 0,
        "base": base,
        "stored": [],
        "ids": placed,
        "applied": [],
        "source_next": base + max(ids, 1),
        "changelog_next": store.changelog_next + bool(ids) + 1,
        "generation": 1,
        "newest_ms": 1,
    }
    store.apply(**{**chunk, **changes})


def test_a_new_state_stands_at_the_beginning(store):
    assert store.stamp == state.EMPTY
    assert store.seen([b"x" * 16]) == [None]
    assert store.rows([b"x"]) == [None]
    assert store.has_uniques([b"x"]) == [False]
    assert (store.applied(), store.sink_plan, store.expired_weeks()) == ([], None, [])


def test_more_ids_than_allowed_are_refused_and_nothing_is_written(store):
    apply(store, ids=3)

    with pytest.raises(StateFull, match=r"dedupe\.ids_max is 3"):
        apply(store, base=3)

    assert (store.ids, store.source_next) == (3, 3)
    assert store.seen([(3).to_bytes(16, "big")]) == [None]
    apply(store, base=3, ids=0)


@pytest.mark.parametrize(
    "changes",
    [
        {"base": 4},
        {"source_next": 4},
        {"base": 7, "source_next": 6},
        {"ids": [(b"x" * 16, state.pack_u64(9))]},
        {"ids": [(b"x" * 16, state.pack_u64(4))]},
        {"changelog_next": 3},
        {"changelog_next": 5},
    ],
)
def test_a_chunk_that_does_not_follow_is_refused(store, changes):
    apply(store, ids=2, source_next=5)
    before = store.stamp
    sent = {"week": 0, "base": 5, "stored": [], "ids": [(b"x" * 16, state.pack_u64(5))], "applied": [],
            "source_next": 6, "changelog_next": 4, "generation": 1, "newest_ms": 1}  # fmt: skip

    with pytest.raises(InvariantBroken):
        store.apply(**{**sent, **changes})

    assert store.stamp == before
    store.apply(**sent)


def test_a_state_belongs_to_one_topic_and_partition(store, tmp_path):
    store.claim("topic-1", 0)
    store.close()

    again = opened(tmp_path / "state")
    again.claim("topic-1", 0)
    for topic, partition in [("topic-2", 0), ("topic-1", 1)]:
        with pytest.raises(InvariantBroken, match="made anew"):
            again.claim(topic, partition)
    again.close()


def test_only_an_empty_state_is_told_where_to_begin(store):
    store.begin_at(10)

    with pytest.raises(InvariantBroken, match="begin"):
        store.begin_at(20)


def test_a_week_is_over_when_the_window_has_passed_it(tmp_path):
    store = opened(tmp_path / "state", window_ms=WEEK_MS)
    apply(store)
    for newest_ms, over in [(2 * WEEK_MS, []), (2 * WEEK_MS + 1, [0])]:
        apply(store, base=store.source_next, week=2, newest_ms=newest_ms)
        assert store.expired_weeks() == over
    store.drop_week(0)

    assert store.expired_weeks() == []
    assert store.seen([(0).to_bytes(16, "big"), (1).to_bytes(16, "big")]) == [None, 1]
    assert store.ids == 2
    store.close()


def test_the_same_state_cannot_be_opened_twice(store, tmp_path):
    with pytest.raises(StateLocked):
        opened(tmp_path / "state")


def test_a_state_of_another_format_is_not_read(store, tmp_path):
    store._db.put(b"stamp", b"\x92\x63\xa1x")
    store.close()

    with pytest.raises(StateOfAnotherVersion, match="format 99"):
        opened(tmp_path / "state")


@pytest.mark.parametrize("stamp", [b"", b"\x01", b"\x90", b"\x92\x01\x02", b"\xff"])
def test_a_stamp_that_is_none_is_damage(store, tmp_path, stamp):
    store._db.put(b"stamp", stamp)
    store.close()

    with pytest.raises(StateCorrupt):
        opened(tmp_path / "state")


def filled(path):
    store = opened(path, ids_max=10**6)
    for base in range(0, 20_000, 1000):
        apply(store, base, ids=1000)
    store.close()


@pytest.mark.parametrize("victim", ["CURRENT", "MANIFEST-*"])
def test_a_damaged_directory_is_told_from_an_empty_one(tmp_path, victim):
    filled(tmp_path / "state")
    for file in (tmp_path / "state").glob(victim):
        file.write_bytes(b"\0" * 40)

    with pytest.raises(StateCorrupt):
        opened(tmp_path / "state")


def test_damage_found_while_reading_is_reported_by_the_next_opening(tmp_path):
    filled(tmp_path / "state")
    tables = sorted((tmp_path / "state").glob("*.sst"), key=lambda file: file.stat().st_size)
    content = bytearray(tables[-1].read_bytes())
    content[100:-3000:50] = bytes(len(content[100:-3000:50]))
    tables[-1].write_bytes(content)

    store = opened(tmp_path / "state")
    with pytest.raises(StateCorrupt):
        store.seen([number.to_bytes(16, "big") for number in range(20_000)])
    store.close()

    with pytest.raises(StateCorrupt, match="damage was found"):
        opened(tmp_path / "state")
    destroy(tmp_path / "state")
    opened(tmp_path / "state").close()


FULL_DISK = """
import resource, signal
import sys
from pathlib import Path
from tables.store import StateUnavailable
from tests.unit.tables.test_store import *
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
store = opened(Path(sys.argv[1]), ids_max=10**9)
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, resource.RLIM_INFINITY))
try:
    while True:
        apply(store, store.source_next, ids=1000)
except StateUnavailable as error:
    print(store.source_next, error)
"""


def test_a_disk_that_takes_no_more_is_said_and_what_was_written_is_kept(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path / "state")],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    count = int(done.stdout.split()[0])

    store = opened(tmp_path / "state")

    assert "state" in done.stdout
    assert store.source_next == count > 0
    assert store.seen([(count - 1).to_bytes(16, "big")]) == [count - 1]
    store.close()
