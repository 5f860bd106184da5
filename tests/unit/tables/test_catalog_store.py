import msgspec
import pytest

from schemas.catalog import ClockRecord, catalog_record
from schemas.partitioner import partition_of
from tables.catalog import Moved
from tables.catalog_store import CatalogStore
from tables.store import SharedMemory, StoreOptions
from tests.builders import NOON, ULIDS, a_meter_record
from tests.catalog_builders import (
    Fetched,
    a_customer_record,
    a_feature_record,
    an_entitlement_record,
    fetched,
)

MEMORY = SharedMemory(StoreOptions(block_cache_bytes=9 << 20, write_buffer_bytes=8 << 20))
FAR = 1 << 40


class Catalog:
    """A store with what it told; takes entities as the next records of the topic."""

    def __init__(self, path, *, partitions=4, **options):
        self.path, self.left_out, self.changed, self.moved = path, [], [], []
        self.store = CatalogStore(
            path,
            MEMORY,
            partitions=partitions,
            on_left_out=lambda: self.left_out.append(1),
            **options,
        )
        self.store.on_change(self.changed.append)
        self.store.on_moved(self.moved.extend)

    def open(self, topic_id="topic", end=FAR):
        self.store.open(topic_id, end)
        return self

    def take(self, *entities, version=None):
        at = self.store.next
        records = fetched(*entities, first_version=version or self.store.version + 1, at=at)
        self.store.take(records, at + len(records))
        return self


@pytest.fixture
def catalog(tmp_path):
    found = Catalog(tmp_path / "state").open()
    yield found
    found.store.close()


def test_every_entity_is_found_by_its_id_as_its_newest_record_has_it(catalog):
    meter, feature = a_meter_record(), a_feature_record(meter=ULIDS[0])
    customer, entitlement = a_customer_record(key="acme"), an_entitlement_record()
    catalog.take(meter, feature, customer, entitlement, ClockRecord(at=NOON))

    archived = msgspec.structs.replace(feature, archived_at=NOON)
    catalog.take(archived)

    store = catalog.store
    assert store.meter(meter.id) == meter
    assert store.feature("f1") == archived
    assert store.features_of(meter.id) == [archived]
    assert store.customer("c1") == customer
    assert store.entitlement("e1") == entitlement
    assert store.clock().clock.at == NOON
    assert [store.version_of(*of) for of in (("feature", "f1"), ("entitlement", "e1"))] == [6, 4]
    assert (store.version, store.next) == (6, 6)
    assert [record.kind for record in catalog.changed][-2:] == ["clock", "feature"]


def test_what_is_not_there_is_not_found(catalog):
    store = catalog.store

    assert store.customer("c1") is None
    assert store.customer_of("s1") is None
    assert store.entitlement("e1") is None
    assert store.entitlements_of("c1") == []
    assert store.meter("m1") is None
    assert store.feature("f1") is None
    assert store.features_of("m1") == []
    assert store.version_of("customer", "c1") == 0
    assert list(store.customers_in(0)) == []


def test_an_older_record_of_an_entity_changes_nothing(catalog):
    catalog.take(a_customer_record(key="new"), version=7)

    catalog.take(a_customer_record(key="old"), version=5)

    assert catalog.store.customer("c1").key == "new"
    assert catalog.store.customer_of("old") is None
    assert [record.version for record in catalog.changed] == [7]


def test_of_versions_of_one_entity_in_one_list_the_newest_stays_whatever_their_order(catalog):
    records = [
        catalog_record(a_customer_record(key=f"k{version}"), version) for version in (2, 9, 4)
    ]

    catalog.take(*records)

    assert catalog.store.customer("c1").key == "k9"
    assert [catalog.store.customer_of(f"k{n}") for n in (2, 9, 4)] == [None, "c1", None]
    assert [record.version for record in catalog.changed] == [2, 9]


def test_a_key_goes_before_another_customers_subject_key_and_gives_it_back_when_it_goes(catalog):
    catalog.take(a_customer_record("c1", subjects=["x"]))
    catalog.take(a_customer_record("c2", key="x"))
    taken_over = catalog.store.customer_of("x")

    catalog.take(a_customer_record("c2", key="x", deleted=True))

    assert taken_over == "c2"
    assert catalog.store.customer_of("x") == "c1"
    assert catalog.store.customer("x") is None
    assert catalog.moved == [
        Moved("x", None, "c1"),
        Moved("x", "c1", "c2"),
        Moved("x", "c2", "c1"),
    ]


def test_a_subject_key_that_comes_later_does_not_take_another_customers_key(catalog):
    catalog.take(a_customer_record("c1", key="x"))

    catalog.take(a_customer_record("c2", subjects=["x"]))

    assert catalog.store.customer_of("x") == "c1"


def test_a_customer_is_found_by_id_before_key_and_by_key_only_while_it_lives(catalog):
    catalog.take(a_customer_record("c1", key="acme"), a_customer_record("c2", key="c1"))
    by_both = catalog.store.customer("c1").id

    catalog.take(a_customer_record("c1", key="acme", deleted=True))

    assert by_both == "c1"
    assert catalog.store.customer("c1").deleted_at == NOON
    assert catalog.store.customer("acme") is None
    assert catalog.store.customer_of("c1") == "c2"


def test_a_key_that_is_freed_and_taken_in_one_list_is_the_new_ones(catalog):
    catalog.take(a_customer_record("c1", key="x"))

    catalog.take(a_customer_record("c1", key="y"), a_customer_record("c2", key="x"))

    assert [catalog.store.customer_of(subject) for subject in "xy"] == ["c2", "c1"]
    assert set(catalog.moved[1:]) == {Moved("x", "c1", "c2"), Moved("y", None, "c1")}


def test_the_entitlements_of_a_customer_stand_together(catalog):
    first, second = an_entitlement_record("e1"), an_entitlement_record("e2")
    catalog.take(second, first, an_entitlement_record("e3", customer="c10"))
    before = catalog.store.entitlements_of("c1")

    deleted = msgspec.structs.replace(first, deleted_at=NOON)
    catalog.take(deleted)

    assert before == [first, second]
    assert catalog.store.entitlements_of("c1") == [deleted, second]


def test_an_entitlement_that_changes_its_customer_is_the_new_ones_only(catalog):
    catalog.take(an_entitlement_record("e1"))
    assert catalog.store.entitlements_of("c1")

    catalog.take(an_entitlement_record("e1", customer="c2"))

    assert catalog.store.entitlements_of("c1") == []
    assert [e.id for e in catalog.store.entitlements_of("c2")] == ["e1"]
    assert catalog.store.entitlement("e1").customer_id == "c2"


def test_a_feature_that_changes_its_meter_is_the_new_ones_only(catalog):
    catalog.take(a_feature_record(meter="m1"))

    catalog.take(a_feature_record(meter="m2"))

    assert catalog.store.features_of("m1") == []
    assert [f.id for f in catalog.store.features_of("m2")] == ["f1"]


def test_live_customers_are_listed_by_partition_while_others_are_made(catalog):
    ids = [f"c{i}" for i in range(2_500)]
    catalog.take(*map(a_customer_record, ids))
    catalog.take(a_customer_record("c7", deleted=True))

    found = {}
    for partition in range(4):
        for id in catalog.store.customers_in(partition):
            found[id] = partition
            if len(found) == 900:
                catalog.take(a_customer_record("zzz"))

    found.pop("zzz", None)
    assert found == {id: partition_of(id.encode(), 4) for id in ids if id != "c7"}


def test_the_caches_are_bounded_and_never_wrong(tmp_path):
    catalog = Catalog(tmp_path / "state", remembered_max=3).open()
    ids = [f"c{i}" for i in range(10)]
    catalog.take(*[a_customer_record(id, key=f"k-{id}") for id in ids])
    catalog.take(*[an_entitlement_record(f"e-{id}", customer=id) for id in ids])

    store = catalog.store
    owners = store.customers_of([f"k-{id}" for id in ids] * 2)
    several = [store.customers_of(["k-c1", f"k-{id}", "nobody"]) for id in ids]

    assert owners == ids * 2
    assert several == [["c1", id, None] for id in ids]
    assert [store.customer(id).key for id in ids] == [f"k-{id}" for id in ids]
    assert [store.entitlements_of(id)[0].id for id in ids] == [f"e-{id}" for id in ids]
    assert max(map(len, (store._entities, store._entitlements, store._subjects))) <= 3
    store.close()


def test_opened_again_it_goes_on_where_it_stood(tmp_path):
    catalog = Catalog(tmp_path / "state").open()
    catalog.take(a_meter_record(), a_customer_record(key="acme"))
    catalog.store.close()

    again = Catalog(tmp_path / "state").open(end=2)

    assert (again.store.next, again.store.version) == (2, 2)
    assert [record.meter.id for record in again.store.meters()] == [ULIDS[0]]
    assert again.store.customer_of("acme") == "c1"
    assert again.store.has_customers
    assert again.changed == []
    again.store.close()


def test_opened_again_it_reads_through_the_workers_cache(tmp_path):
    for _ in range(2):
        catalog = Catalog(tmp_path / "state").open()
        capacity = catalog.store._db.property_int_value("rocksdb.block-cache-capacity")
        catalog.store.close()

    assert capacity == 9 << 20  # RocksDB's own default is 8 MiB


@pytest.mark.parametrize(
    ("topic_id", "end", "partitions"), [("other", FAR, 4), ("topic", 1, 4), ("topic", FAR, 8)]
)
def test_the_database_of_another_topic_is_deleted_and_read_whole(
    tmp_path, topic_id, end, partitions
):
    catalog = Catalog(tmp_path / "state").open()
    catalog.take(a_customer_record("c1", key="acme"), a_customer_record("c2"))
    catalog.store.close()

    again = Catalog(tmp_path / "state", partitions=partitions).open(topic_id, end)

    assert (again.store.next, again.store.version) == (0, 0)
    assert again.store.customer_of("acme") is None
    again.store.close()


def test_a_damaged_database_is_deleted_and_read_whole(tmp_path):
    catalog = Catalog(tmp_path / "state").open()
    catalog.take(a_customer_record("c1", key="acme"))
    catalog.store.close()
    (tmp_path / "state" / "CURRENT").write_text("nonsense\n")

    again = Catalog(tmp_path / "state").open()

    assert again.store.next == 0
    again.take(a_customer_record("c1", key="acme"))
    assert again.store.customer_of("acme") == "c1"
    again.store.close()


def test_records_that_cannot_be_used_are_left_out_and_the_others_go_on(catalog):
    bad_meter = a_meter_record(value="$..x", id=ULIDS[9])
    records = [
        *fetched(bad_meter, first_version=1),
        Fetched(1, b"nonsense"),
        Fetched(2, b'{"kind":"meter","version":3,"meter":{"id":"x"}}'),
        Fetched(3, b"\xff\xfe"),
        Fetched(4, None),
        *fetched(a_customer_record(key="acme"), first_version=5, at=5),
    ]

    catalog.store.take(records, 6)

    assert len(catalog.left_out) == 4
    assert [record.version for record in catalog.changed] == [5]
    assert catalog.store.customer_of("acme") == "c1"
    assert catalog.store.meter(ULIDS[9]) is None


def test_a_kind_of_a_later_program_is_kept_until_that_program_comes(tmp_path):
    catalog = Catalog(tmp_path / "state").open()
    value = fetched(a_customer_record(key="acme"))[0].value
    unknown = value.replace(b'"kind":"customer"', b'"kind":"cusTomer"')
    catalog.store.take([Fetched(0, unknown)], 1)
    catalog.store.close()
    assert len(catalog.left_out) == 1

    class Later(CatalogStore):
        """A program that knows the kind."""

        def _read(self, value, offset):
            return super()._read(value.replace(b"cusTomer", b"customer"), offset)

    later = Later(tmp_path / "state", MEMORY, partitions=4)
    later.open("topic", FAR)

    assert later.customer_of("acme") == "c1"
    assert later._stamp.left_out == 0
    later.close()
