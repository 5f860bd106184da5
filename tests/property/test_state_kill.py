"""A process killed at any moment leaves a state that opens and is a prefix of what it wrote."""

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from schemas import state
from tables.store import PartitionStore, SharedMemory, StoreOptions

ROOT = Path(__file__).resolve().parents[2]
WRITER = """
import os, sys
from pathlib import Path
from tests.property.test_state_kill import open_store, write
store = open_store(Path(sys.argv[1]))
number = store.source_next
while True:
    write(store, number)
    number += 1
    sys.stdout.write(f"{number}\\n")
    sys.stdout.flush()
    if number == int(sys.argv[2]):
        os._exit(9)
"""


def open_store(path):
    memory = SharedMemory(StoreOptions(block_cache_bytes=8 << 20, write_buffer_bytes=1 << 20))
    return PartitionStore(path, memory, StoreOptions())


def write(store, number):
    """A chunk of one event: an id, a row that counts them all, and a big row of its own."""
    week = number // 50
    rows = [(0, state.ROW + b"total", state.pack_u64(number + 1))]
    rows.append((week, state.ROW + b"row" + state.pack_u64(number), os.urandom(5_000)))
    store.apply(
        week=week,
        base=number,
        stored=rows,
        ids=[(number.to_bytes(16, "big"), state.pack_u64(number))],
        applied=[],
        source_next=number + 1,
        changelog_next=store.changelog_next + 4,
        generation=1,
        newest_ms=number,
    )


def assert_is_a_prefix(store, acknowledged):
    """Everything up to its position is there, whole, and nothing beyond it."""
    count = store.source_next
    assert count >= acknowledged
    assert store.changelog_next == 4 * count
    assert store.ids == count
    ids = [number.to_bytes(16, "big") for number in range(count + 2)]
    assert store.seen(ids) == [*range(count), None, None]
    ((_, total),) = store.rows([b"total"])
    assert state.unpack_u64(total) == count
    rows = store.rows([b"row" + state.pack_u64(number) for number in range(count + 2)])
    assert [row is not None for row in rows] == [True] * count + [False, False]


def test_a_process_that_ends_between_two_writes_loses_nothing(tmp_path):
    for end in (1, 230):
        subprocess.run(
            [sys.executable, "-c", WRITER, str(tmp_path / "state"), str(end)],
            cwd=ROOT, stdout=subprocess.DEVNULL, timeout=60,
        )  # fmt: skip

        store = open_store(tmp_path / "state")
        assert_is_a_prefix(store, end)
        assert store.source_next == end
        store.close()


@pytest.mark.parametrize("seed", range(2))
def test_a_process_killed_anywhere_leaves_a_prefix(tmp_path, seed):
    chosen = random.Random(seed)
    for _ in range(2):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path / "state"), "-1"],
            cwd=ROOT, stdout=subprocess.PIPE, text=True,
        ) as child:  # fmt: skip
            acknowledged = 0
            for _ in range(chosen.randrange(1, 400)):
                acknowledged = int(child.stdout.readline())
            child.kill()

        store = open_store(tmp_path / "state")
        assert_is_a_prefix(store, acknowledged)
        store.close()
