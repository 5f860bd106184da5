"""What a restore makes of a changelog: markers, batches that do not count, compaction, and what it refuses."""

import pytest

from schemas import changelog, state
from schemas.changelog import Author, encode_chunk, with_marker
from tables.mending import to_mend
from tables.restore import Restorer
from tables.store import (
    InvariantBroken,
    PartitionStore,
    SharedMemory,
    StateOfAnotherVersion,
    StoreOptions,
)

MEMORY = SharedMemory(StoreOptions(block_cache_bytes=8 << 20, write_buffer_bytes=64 << 20))


@pytest.fixture
def store(tmp_path):
    store = PartitionStore(tmp_path / "state", MEMORY, StoreOptions())
    yield store
    store.close()


def a_batch(at, base, *, begins_at=None, rows=(), ids=1, generation=1, topic_id="t", applied=()):
    """A chunk as fetched at offset `at`."""
    author = Author(topic_id=topic_id, partition=0, generation=generation, begins_at=at if begins_at is None else begins_at)  # fmt: skip
    batch = encode_chunk(
        author,
        week=0,
        base=base,
        stored=[(0, state.ROW + key, value) for key, value in rows],
        ids=[((base + i).to_bytes(16, "big"), state.pack_u64(base + i)) for i in range(ids)],
        applied=applied,
        source_next=base + 10,
        newest_ms=base,
    )
    return [(key, value, at + i) for i, (key, value) in enumerate(batch)]


def feed(store, records, position=None):
    Restorer(store).feed(records, records[-1][2] + 1 if position is None else position)


def row(store, key):
    (found,) = store.rows([key])
    return found and found[1]


def test_batches_bring_rows_ids_and_the_position(store):
    feed(store, a_batch(0, 0, rows=[(b"a", b"1")]) + a_batch(3, 10, rows=[(b"a", b"2")]))

    assert row(store, b"a") == b"2"
    assert store.seen([(0).to_bytes(16, "big"), (10).to_bytes(16, "big")]) == [0, 10]
    assert (store.source_next, store.changelog_next, store.newest_ms) == (20, 6, 10)
    assert store.stamp.complete


def test_a_batch_that_begins_elsewhere_is_left_out_and_mended(store):
    kept = a_batch(0, 0, rows=[(b"a", b"new"), (b"b", b"")])
    late = a_batch(4, 0, begins_at=0, rows=[(b"a", b"old"), (b"z", b"?")], generation=7, applied=[(b"m", b"{}")])  # fmt: skip

    feed(store, kept + late)
    ((keys, records),) = to_mend(store)

    assert row(store, b"a") == b"new"
    assert row(store, b"z") is None
    assert (store.source_next, store.changelog_next) == (10, 9)
    assert set(keys) == {key for key, _, _ in late}
    assert dict(records) == {b"w\0\0ra": b"new", b"w\0\0rz": None, b"cm": None, late[2][0]: None}

    author = Author(topic_id="t", partition=0, generation=8, begins_at=9)
    batch = with_marker(records, author, source_next=10, newest_ms=0)
    store.mended(keys, records=len(batch), changelog_next=9 + len(batch))
    assert store.left_out() == []


def test_a_mending_batch_settles_what_a_reader_had_left_out(store):
    late = a_batch(3, 0, begins_at=0, rows=[(b"a", b"old")], generation=7)
    feed(store, a_batch(0, 0, rows=[(b"a", b"new")]) + late)
    assert len(store.left_out()) == 3
    mending = with_marker(
        [(b"w\0\0ra", b"new"), (late[1][0], None)],
        Author(topic_id="t", partition=0, generation=8, begins_at=6),
        source_next=10,
        newest_ms=0,
    )

    feed(store, [(key, value, 6 + i) for i, (key, value) in enumerate(mending)])

    assert store.left_out() == []
    assert row(store, b"a") == b"new"


def test_a_left_out_marker_alone_is_mended_by_another_marker(store):
    feed(store, a_batch(0, 0) + a_batch(2, 10, begins_at=0, ids=0))

    assert list(to_mend(store)) == [([changelog.MARKER], [])]


def test_mending_is_cut_into_slices(store):
    rows = [(b"%d" % i, b"x" * 1000) for i in range(12_000)]
    mine = a_batch(0, 0, rows=rows)
    feed(store, mine + a_batch(len(mine), 0, begins_at=0, rows=rows, generation=2))

    slices = list(to_mend(store))

    assert len(slices) == 3
    assert sum(len(keys) for keys, _ in slices) == 12_002
    assert max(len(key) + len(value or b"") for _, part in slices for key, value in part) < 2000


def test_tombstones_delete_rows_chunks_and_applied_meters(store):
    feed(store, a_batch(0, 0, rows=[(b"a", b"1")], applied=[(b"m", b"{}")]))
    ids = a_batch(0, 0)[0][0]
    assert store.logged(ids) is not None
    tombstones = [(b"w\0\0ra", None), (ids, None), (b"cm", None)]
    author = Author(topic_id="t", partition=0, generation=1, begins_at=4)
    batch = with_marker(tombstones, author, source_next=10, newest_ms=0)

    feed(store, [(key, value, 4 + i) for i, (key, value) in enumerate(batch)])

    assert row(store, b"a") is None
    assert store.logged(ids) is None
    assert store.logged(b"cm") is None


def test_records_wait_for_their_marker_across_fetched_lists(store):
    batch = a_batch(0, 0, rows=[(b"a", b"1")])
    restorer = Restorer(store)

    restorer.feed(batch[:2], 2)
    assert row(store, b"a") is None
    restorer.feed(batch[2:], 3)

    assert row(store, b"a") == b"1"


def test_a_compacted_changelog_gives_the_same_state(store):
    old, new = a_batch(0, 0, rows=[(b"a", b"1"), (b"b", b"1")]), a_batch(4, 10, rows=[(b"a", b"2")])

    feed(store, [old[1], old[2], *new])

    assert (row(store, b"a"), row(store, b"b")) == (b"2", b"1")
    assert store.seen([(0).to_bytes(16, "big")]) == [0]
    assert (store.source_next, store.stamp.complete) == (20, True)


def test_a_state_without_the_last_marker_takes_no_chunk(store):
    batch = a_batch(0, 0, rows=[(b"a", b"1")])
    far = (batch[1][0], batch[1][1], changelog.RECORDS_MAX + 5)

    feed(store, [batch[0], far])

    assert not store.stamp.complete
    with pytest.raises(InvariantBroken, match="marker"):
        list(to_mend(store))
    with pytest.raises(InvariantBroken, match="marker"):
        store.apply(week=0, base=0, stored=[], ids=[], applied=[], source_next=1,
                    changelog_next=store.changelog_next + 1, generation=1, newest_ms=0)  # fmt: skip


def test_the_changelog_of_another_topic_is_refused(store):
    feed(store, a_batch(0, 0))

    with pytest.raises(InvariantBroken, match="topic u"):
        feed(store, a_batch(2, 10, topic_id="u"))


def test_a_changelog_that_goes_backwards_is_refused(store):
    feed(store, a_batch(0, 50))

    with pytest.raises(InvariantBroken):
        feed(store, a_batch(2, 10))


def test_a_changelog_of_another_format_is_refused(store):
    with pytest.raises(StateOfAnotherVersion, match="format 9"):
        feed(store, [(b"m", bytes.fromhex("9209a174"), 0)])


def test_an_empty_list_moves_the_position_over_compacted_holes(store):
    Restorer(store).feed([], 70)

    assert store.changelog_next == 70


@pytest.mark.parametrize("key", [b"poison", b"", b"marker"])
def test_records_that_no_worker_wrote_are_left_out_wherever_they_stand(store, key):
    feed(
        store,
        [
            (key, b"?", 0),
            *a_batch(1, 0, rows=[(b"a", b"1")]),
            (key, b"?", 4),
            *a_batch(5, 10, rows=[(b"a", b"2")]),
            (key, None, 8),
        ],
    )

    assert row(store, b"a") == b"2"
    assert (store.source_next, store.changelog_next) == (20, 9)
    assert store.stamp.complete
