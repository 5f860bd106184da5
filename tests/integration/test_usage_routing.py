"""A worker on real Kafka while customers are made, moved and deleted: where every row is, and that progress never overtakes one."""

import time
from collections import defaultdict
from dataclasses import dataclass

import pytest

from connectors.kafka.catalog_feed import CatalogFeed, Options
from schemas import state
from schemas.catalog import catalog_record
from schemas.partitioner import partition_of
from schemas.usage_records import decode_progress, is_progress
from tests.builders import ULIDS, a_meter_record, an_event
from tests.catalog_builders import a_customer_record
from tests.relays import make_catalog_topic
from tests.topics import read_all
from tests.workers import EventProducer, WorkerProcess
from tests.zygote import Zygote

pytestmark = [pytest.mark.integration, pytest.mark.timeout(200)]

P = 4
METERS = {"METERSTREAM_WORKER__AGENTS": '["meter"]'}
CUSTOMERS = ["c1", "c2", "c3", "c4", "c5"]
SUBJECTS = [f"s{i}" for i in range(8)]


@dataclass(frozen=True)
class Row:
    """A row as it stands in a partition of the usage topic; `source` is the partition its events come from."""

    at: int
    partition: int
    key: bytes
    subject: str
    source: int
    position: int
    count: int


class Catalog:
    """What was published, and whose each subject is under each version."""

    def __init__(self, producer):
        self.producer, self.version = producer, 0
        self.live, self.owners = {}, [dict.fromkeys(SUBJECTS)]

    def publish(self, entity):
        self.version += 1
        self.producer.publish(catalog_record(entity, self.version))
        self.owners.append(self.owners[-1])

    def customer(self, id, *, key=None, subjects=(), deleted=False):
        self.live[id] = None if deleted else (key, subjects)
        self.publish(a_customer_record(id, key=key, subjects=subjects, deleted=deleted))
        self.owners[-1] = {subject: self._owner(subject) for subject in SUBJECTS}

    def _owner(self, subject):
        named = [(0 if key == subject else 1, id) for id, found in self.live.items() if found for key, subjects in [found] if subject == key or subject in subjects]  # fmt: skip
        return min(named)[1] if named else None

    def home(self, version, subject):
        owner = self.owners[version][subject]
        return partition_of((owner or subject).encode(), P)


@pytest.fixture(scope="module")
def zygote():
    found = Zygote()
    yield found
    found.close()


@pytest.fixture
def worker(zygote, kafka_address, clickhouse_url, unique, tmp_path):
    process = WorkerProcess(
        unique, tmp_path, kafka_address, clickhouse_url, environment=METERS, zygote=zygote
    )
    yield process
    process.stop()


@pytest.fixture
def producer(kafka_address, unique):
    return EventProducer(kafka_address, unique)


@pytest.fixture
def catalog(producer):
    return Catalog(producer)


class Sent:
    """Events of all subjects, and how many each has."""

    def __init__(self, producer):
        self.producer, self.number = producer, 0

    def some(self, times=1):
        for _ in range(times):
            for subject in SUBJECTS:
                self.producer.send(an_event(f"e{self.number}-{subject}", subject=subject))
            self.number += 1
        return self.producer.flush()


def usage(kafka, names):
    """Rows and progress in the order of each partition, and the newest progress of each (source, usage) partition."""
    rows, told = [], []
    for message in read_all(kafka, names.usage):
        key = message.key()
        if is_progress(key):
            told.append((message.partition(), message.offset(), decode_progress(message.value())))
        elif message.value() is not None:
            row_key, row = state.decode_row_key(key[:-8]), state.decode_row(message.value())
            source = partition_of(row_key.subject.encode(), P)
            where = message.offset(), message.partition(), key
            rows.append(Row(*where, row_key.subject, source, row.position, row.count))
    return rows, told


def wait_told(kafka, names, version, seconds=30):
    """Wait until every source partition has said in every usage partition that it goes by `version`."""
    deadline = time.monotonic() + seconds
    while True:
        _, told = usage(kafka, names)
        if {(at, p.partition) for at, _, p in told if p.catalog >= version} == {(at, source) for at in range(P) for source in range(P)}:  # fmt: skip
            return
        assert time.monotonic() < deadline, f"version {version} was not told: {told[-8:]}"


def assert_rows_are_where_the_catalog_says(rows, told, catalog):
    for row in rows:
        below = [p for _, _, p in told if p.partition == row.source and p.source_next <= row.position]  # fmt: skip
        oldest = max((p.catalog for p in below), default=0)
        homes = {catalog.home(v, row.subject) for v in range(oldest, catalog.version + 1)}
        assert row.partition in homes, (row, oldest, homes)


def assert_no_row_is_overtaken(rows, told):
    """What comes after a progress that covers it was there before: a repeat after a kill, older than what stood there."""
    by_key = defaultdict(list)
    for row in rows:
        by_key[row.partition, row.key].append(row)
    for found in by_key.values():
        for i, row in enumerate(found):
            covering = [at for partition, at, p in told if (partition, p.partition) == (row.partition, row.source) and p.source_next > row.position]  # fmt: skip
            if covering and min(covering) < row.at:
                before = [r.position for r in found[:i] if r.at < min(covering)]
                assert before, row
                assert max(before) >= row.position, row


def counts(rows):
    newest = {}
    for row in sorted(rows, key=lambda row: row.position):
        newest[row.key] = row
    found = defaultdict(int)
    for row in newest.values():
        found[row.subject] += row.count
    return found


def wait_folded(worker, ends):
    def folded():
        stands = {s["partition"]: s["source_next"] >> 20 for s in worker.status()}
        return all(stands.get(number, 0) >= end for number, end in ends.items())

    worker.wait_until(folded, what="events folded")


def change_much(catalog, sent, now_and_then=lambda ends: None):
    """Makes, moves and deletes customers, with events between any two changes and while they are applied."""
    for step in range(24):
        id = CUSTOMERS[step % len(CUSTOMERS)]
        first, second = SUBJECTS[step * 3 % 8], SUBJECTS[(step * 5 + 1) % 8]
        taken = [name for other, found in catalog.live.items() if found and other != id for name in found[1]]  # fmt: skip
        match step % 4:
            case 3:
                catalog.customer(id, deleted=True)
            case 1:
                catalog.customer(id, key=first)
            case _:
                free = [s for s in (first, second) if s not in taken]
                catalog.customer(id, subjects=free)
        ends = sent.some(3)
        if step % 4 == 2:
            now_and_then(ends)


def test_rows_follow_their_subjects_customer_and_progress_never_overtakes_them(
    worker, producer, catalog, kafka_address
):
    names = producer.names
    worker.start().wait_ready()
    catalog.publish(a_meter_record(id=ULIDS[0], aggregation="COUNT"))
    sent = Sent(producer)
    sent.some(5)

    change_much(catalog, sent, lambda ends: wait_folded(worker, ends))
    wait_told(kafka_address, names, catalog.version)
    before = catalog.version
    ends = sent.some(5)
    worker.wait_until(
        lambda: (
            {s["partition"]: s["source_next"] >> 20 for s in worker.status()}.items()
            >= ends.items()
        ),
        what="events folded",
    )

    rows, told = usage(kafka_address, names)
    assert_rows_are_where_the_catalog_says(rows, told, catalog)
    assert_no_row_is_overtaken(rows, told)
    assert max(len({r.partition for r in rows if r.subject == s}) for s in SUBJECTS) >= 3
    last = {row.subject: row for row in sorted(rows, key=lambda row: row.position)}
    assert {s: row.partition for s, row in last.items()} == {s: catalog.home(before, s) for s in SUBJECTS}  # fmt: skip


def test_after_kills_rows_are_still_where_the_catalog_says_and_counted_once(
    worker, producer, catalog, kafka_address
):
    names = producer.names
    worker.start().wait_ready()
    catalog.publish(a_meter_record(id=ULIDS[0], aggregation="COUNT"))
    wait_told(kafka_address, names, catalog.version)
    sent = Sent(producer)
    for step in ("chunk_sent:5", "chunk_logged:6", "restore_done:3"):
        worker.kill()
        worker.start(METERSTREAM_CRASH_AT=step)
        change_much(catalog, sent)
        worker.wait_dead()
        worker.start().wait_ready()
    wait_told(kafka_address, names, catalog.version)
    ends = sent.some(5)
    worker.wait_until(
        lambda: (
            {s["partition"]: s["source_next"] >> 20 for s in worker.status()}.items()
            >= ends.items()
        ),
        what="events folded",
    )

    rows, told = usage(kafka_address, names)
    assert_rows_are_where_the_catalog_says(rows, told, catalog)
    assert_no_row_is_overtaken(rows, told)
    assert counts(rows) == dict.fromkeys(SUBJECTS, sent.number)


async def test_the_catalog_is_read_from_an_offset_on_and_whoever_waits_for_its_end_has_it(
    producer, catalog, kafka_address
):
    make_catalog_topic(kafka_address, producer.names.catalog.split("_")[1])
    for id in CUSTOMERS[:3]:
        catalog.customer(id)
    feed = CatalogFeed(
        Options(bootstrap_servers=kafka_address, topic=producer.names.catalog), pytest.fail
    )
    taken, whole = [], []

    end = await feed.connect()
    await feed.follow(2, lambda records, at: taken.append(([r.offset for r in records], at)))
    catalog.customer(CUSTOMERS[3])
    await feed.caught_up()
    await feed.stop()
    every = CatalogFeed(
        Options(bootstrap_servers=kafka_address, topic=producer.names.catalog), pytest.fail
    )
    await every.start(lambda record: whole.append(record.entity.id))
    await every.stop()

    assert end == 3
    assert taken == [([2], 3), ([3], 4)]
    assert whole == CUSTOMERS[:4]
