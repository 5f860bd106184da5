"""The catalog's database agrees with dictionaries, whatever customers take over keys and subjects of each other."""

import shutil
from pathlib import Path
from tempfile import mkdtemp

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from schemas.catalog import catalog_record
from schemas.partitioner import partition_of
from tables.catalog_store import CatalogStore
from tables.store import SharedMemory, StoreOptions
from tests.catalog_builders import (
    a_customer_record,
    a_feature_record,
    an_entitlement_record,
    fetched,
)

MEMORY = SharedMemory(StoreOptions(block_cache_bytes=8 << 20, write_buffer_bytes=32 << 20))
PARTITIONS = 2
IDS = ["a", "b", "ab", "c"]
NAMES = ["x", "y", "a", "xy", "é"]

customers = st.builds(
    a_customer_record,
    st.sampled_from(IDS),
    key=st.none() | st.sampled_from(NAMES),
    subjects=st.lists(st.sampled_from(NAMES), max_size=2),
    deleted=st.sampled_from([False, False, False, True]),
)
entitlements = st.builds(
    an_entitlement_record,
    st.sampled_from(["e1", "e2", "e3"]),
    customer=st.sampled_from(IDS),
    feature=st.sampled_from(NAMES),
)
features = st.builds(
    a_feature_record,
    st.sampled_from(["f1", "f2"]),
    meter=st.none() | st.sampled_from(["m1", "m2"]),
)


class CatalogAgreesWithDictionaries(RuleBasedStateMachine):
    @initialize()
    def make(self):
        self.path = Path(mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None)) / "state"
        self.newest, self.next, self.version = {}, 0, 0
        self.owners = dict.fromkeys(NAMES)
        self.store = None
        self.open(3)

    def open(self, remembered_max):
        if self.store is not None:
            self.store.close()
        self.store = CatalogStore(
            self.path, MEMORY, partitions=PARTITIONS, remembered_max=remembered_max
        )
        self.store.on_moved(self.follow)
        assert self.store.open("topic", self.next) == self.next

    def teardown(self):
        if getattr(self, "store", None) is not None:
            self.store.close()
            shutil.rmtree(self.path.parent)

    def follow(self, moved):
        for subject, before, after in moved:
            assert self.owners[subject] == before
            self.owners[subject] = after

    @rule(
        entities=st.lists(customers | customers | entitlements | features, max_size=5),
        back=st.sampled_from([0, 0, 0, 1, 3]),
    )
    def take(self, entities, back):
        first = max(1, self.version + 1 - back)
        records = [catalog_record(entity, first + i) for i, entity in enumerate(entities)]

        self.store.take(fetched(*records, at=self.next), self.next + len(records))

        self.next += len(records)
        for record in records:
            self.version = max(self.version, record.version)
            known = self.newest.get((record.kind, record.entity.id))
            if known is None or known.version < record.version:
                self.newest[record.kind, record.entity.id] = record

    @rule(remembered_max=st.sampled_from([1, 3, 1000]))
    def open_again(self, remembered_max):
        self.open(remembered_max)

    def of(self, kind):
        return [found for (known, _), found in self.newest.items() if known == kind]

    def owner(self, subject):
        live = [r for r in self.of("customer") if r.customer.deleted_at is None]
        claims = [(0, -r.version, r.customer.id) for r in live if r.customer.key == subject]
        claims += [
            (1, -r.version, r.customer.id) for r in live if subject in r.customer.subject_keys
        ]
        return min(claims)[2] if claims else None

    @invariant()
    def agrees(self):
        if getattr(self, "store", None) is None:
            return
        store = self.store
        owners = {name: self.owner(name) for name in NAMES}
        assert (store.version, store.next) == (self.version, self.next)
        assert dict(zip(NAMES, store.customers_of(NAMES), strict=True)) == owners
        assert self.owners == owners, "what on_moved told adds up to the whole"
        for record in self.newest.values():
            assert getattr(store, record.kind)(record.entity.id) == record.entity
            assert store.version_of(record.kind, record.entity.id) == record.version
        for id in IDS:
            theirs = [r.entitlement for r in self.of("entitlement") if r.entitlement.customer_id == id]  # fmt: skip
            assert list(store.entitlements_of(id)) == sorted(theirs, key=lambda e: e.id)
        for meter in ("m1", "m2"):
            its = [r.feature for r in self.of("feature") if r.feature.meter_id == meter]
            assert list(store.features_of(meter)) == sorted(its, key=lambda f: f.id)
        live = {r.customer.id for r in self.of("customer") if r.customer.deleted_at is None}
        for partition in range(PARTITIONS):
            here = sorted(id for id in live if partition_of(id.encode(), PARTITIONS) == partition)
            assert list(store.customers_in(partition)) == here


TestCatalog = CatalogAgreesWithDictionaries.TestCase
TestCatalog.settings = settings(max_examples=60, stateful_step_count=15, deadline=None)
