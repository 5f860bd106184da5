"""A store is a dictionary that remembers where it stands: any history of writes, closings and drops agrees with one."""

import shutil
from collections import defaultdict
from pathlib import Path
from tempfile import mkdtemp

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from schemas import changelog, state
from schemas.state import ROW, UNIQUE, WEEK_MS, SinkPlan
from tables.store import PartitionStore, SharedMemory, StoreOptions
from tests.builders import a_meter_record

MEMORY = SharedMemory(StoreOptions(block_cache_bytes=8 << 20, write_buffer_bytes=32 << 20))
OPTIONS = StoreOptions(window_ms=2 * WEEK_MS)
HASHES = [bytes([i]) * 16 for i in range(12)]
KEYS = [b"a", b"b", b"\0", b"", b"c" * 300]


class StoreAgreesWithADictionary(RuleBasedStateMachine):
    @initialize()
    def make(self):
        self.path = Path(mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None)) / "state"
        self.ids, self.entries = defaultdict(dict), defaultdict(dict)
        self.chunks, self.applied, self.plan = defaultdict(set), {}, None
        self.newest_ms, self.source_next, self.changelog_next, self.generation = 0, 0, 0, -1
        self.store = PartitionStore(self.path, MEMORY, OPTIONS)

    def teardown(self):
        if hasattr(self, "store"):
            self.store.close()
            shutil.rmtree(self.path.parent)

    @rule(
        ids=st.lists(st.sampled_from(HASHES), unique=True, max_size=4),
        entries=st.dictionaries(
            st.tuples(st.sampled_from([ROW, UNIQUE]), st.sampled_from(KEYS)),
            st.binary(max_size=3),
            max_size=4,
        ),
        weeks_on=st.sampled_from([0, 0, 0, 1, 2]),
        gap=st.integers(0, 3),
        version=st.none() | st.integers(1, 3),
    )
    def apply(self, ids, entries, weeks_on, gap, version):
        self.newest_ms += weeks_on * WEEK_MS
        week = state.week_of(self.newest_ms)
        base = self.source_next + gap
        placed = [(key, state.pack_u64(base + i)) for i, key in enumerate(ids)]
        stored = [(week, kind + key, value) for (kind, key), value in entries.items()]
        applied = []
        if version is not None:
            meter = state.Applied(a_meter_record(version=version), base, None)
            applied, self.applied[meter.key] = [meter.encoded()], meter
        self.source_next = base + len(ids)
        self.changelog_next += len(stored) + bool(ids) + len(applied) + 1
        self.generation += 1

        self.store.apply(
            week=week,
            base=base,
            stored=stored,
            ids=placed,
            applied=applied,
            source_next=self.source_next,
            changelog_next=self.changelog_next,
            generation=self.generation,
            newest_ms=self.newest_ms,
        )

        self.ids[week].update((key, state.unpack_u64(at)) for key, at in placed)
        self.entries[week].update({key: value for _, key, value in stored})
        if ids:
            self.chunks[week].add(changelog.chunk_key(base, self.generation))

    @rule()
    def reopen(self):
        self.store.close()
        self.store = PartitionStore(self.path, MEMORY, OPTIONS)

    @rule(first=st.integers(0, 9))
    def plan_a_block(self, first):
        self.plan = SinkPlan(first, first + 1)
        self.store.plan_block(self.plan)

    @precondition(lambda self: self.store.expired_weeks())
    @rule(slice_size=st.integers(1, 3))
    def expire_the_oldest_week(self, slice_size):
        week = self.store.expired_weeks()[0]
        keys = [k for part in self.store.weekly_keys(week, slice_size) for k in part]
        self.changelog_next += len(keys) + 1
        self.store.expire(records=len(keys) + 1, changelog_next=self.changelog_next)
        self.store.drop_week(week)

        chunks = {b"i" + chunk for chunk in self.chunks.pop(week, set())}
        assert len(keys) == len(set(keys))
        assert set(keys) == self.entries.pop(week, {}).keys() | chunks
        self.ids.pop(week, None)

    @invariant()
    def it_stands_where_it_should(self):
        if not hasattr(self, "store"):
            return
        stamp = self.store.stamp
        assert (stamp.source_next, stamp.changelog_next) == (self.source_next, self.changelog_next)
        assert (stamp.newest_ms, stamp.generation) == (self.newest_ms, self.generation)
        assert self.store.sink_plan == self.plan
        assert {a.key: a for a in self.store.applied()} == self.applied

    @invariant()
    def it_finds_what_the_newest_week_has(self):
        if not hasattr(self, "store"):
            return
        ids = {key: at for week in sorted(self.ids) for key, at in self.ids[week].items()}
        found = {k: (w, v) for w in sorted(self.entries) for k, v in self.entries[w].items()}
        assert self.store.seen(HASHES) == [ids.get(key) for key in HASHES]
        assert self.store.rows(KEYS) == [found.get(ROW + key) for key in KEYS]
        assert self.store.has_uniques(KEYS) == [UNIQUE + key in found for key in KEYS]

    @invariant()
    def it_knows_which_weeks_are_over(self):
        if not hasattr(self, "store"):
            return
        live = {w for w in {*self.ids, *self.entries} if self.ids[w] or self.entries[w]}
        over = {w for w in live if (w + 1) * WEEK_MS + OPTIONS.window_ms < self.newest_ms}
        assert over <= set(self.store.expired_weeks())


StoreAgreesWithADictionary.TestCase.settings = settings(
    max_examples=25, stateful_step_count=20, deadline=None
)
test_store_agrees_with_a_dictionary = StoreAgreesWithADictionary.TestCase
