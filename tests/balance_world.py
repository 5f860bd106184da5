"""A namespace in memory for balances: events folded into the usage topic by several source partitions, a catalog whose
changes each of them learns in its own time, ClickHouse that shows what it was told to show, and a balance partition on a real
RocksDB that reads the topic. `expected` is the rule over the whole log.
"""

import asyncio
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import mkdtemp

from domain.credits.engine import evaluate, open_state
from domain.entitlements.entitlement import Access, access, value_instant
from domain.entitlements.features import group_filters
from domain.entitlements.readings import readings
from domain.errors import Unavailable
from domain.metering.answer import Event
from domain.metering.filters import text_matches
from domain.metering.meter import Aggregation, Meter
from domain.metering.series import Series, SeriesRow
from domain.metering.series_fold import OWN_EPOCH, SeriesFold
from schemas.balances import Question
from schemas.catalog import (
    CatalogRecord,
    CustomerRecord,
    EntitlementRecord,
    FeatureRecord,
    MeterRecord,
    catalog_record,
    meter_of,
)
from schemas.entitlement_plans import entitlement_of, plan_of
from schemas.partitioner import partition_of
from schemas.position import position
from schemas.state import (
    encode_row,
    row_key_body,
    row_key_prefix,
    unique_key,
    usage_key,
    value_hash,
)
from schemas.usage_records import Progress, encode_progress, progress_key
from streams.balances.partition import BalanceOptions, BalancePartition
from streams.balances.route import route_of
from streams.steps import Step
from tables.balances import open_balances
from tables.catalog import Moved
from tables.options import SharedMemory, StoreOptions
from tests.builders import ULIDS, a_meter_record

T0 = datetime(2026, 3, 5, 12, 0, tzinfo=UTC)
PARTITIONS = 2
MEMORY = SharedMemory(StoreOptions(block_cache_bytes=8 << 20, write_buffer_bytes=8 << 20))
Entity = CustomerRecord | FeatureRecord | EntitlementRecord | MeterRecord


class MemoryCatalog:
    """The port CatalogView in dicts."""

    def __init__(self) -> None:
        self.version = 0
        self._records: dict[tuple[str, str], CatalogRecord] = {}
        self._calls = []
        self._moved = []

    def apply(self, record: CatalogRecord) -> None:
        customers = [*self._all("customer"), *([record.customer] if record.customer else ())]
        subjects = {s for c in customers for s in (c.key, *c.subject_keys) if s is not None}
        before = {subject: self.customer_of(subject) for subject in subjects}
        self._records[record.kind, record.entity.id] = record
        self.version = record.version
        moved = [
            Moved(subject, before[subject], now)
            for subject in sorted(subjects)
            if (now := self.customer_of(subject)) != before[subject]
        ]
        if moved:
            for call in self._moved:
                call(moved)
        for call in self._calls:
            call(record)

    def _all(self, kind: str) -> list:
        return [r.entity for (k, _), r in sorted(self._records.items()) if k == kind]

    def _one(self, kind: str, id: str):
        record = self._records.get((kind, id))
        return None if record is None else record.entity

    def customer(self, id_or_key: str) -> CustomerRecord | None:
        found = self._one("customer", id_or_key)
        live = [c for c in self._all("customer") if c.key == id_or_key and c.deleted_at is None]
        return found or next(iter(live), None)

    def customer_of(self, subject: str) -> str | None:
        live = [c for c in self._all("customer") if c.deleted_at is None]
        by_key = [c.id for c in live if c.key == subject]
        return next(iter([*by_key, *(c.id for c in live if subject in c.subject_keys)]), None)

    def entitlements_of(self, customer_id: str) -> Sequence[EntitlementRecord]:
        return [e for e in self._all("entitlement") if e.customer_id == customer_id]

    def entitlement(self, id: str) -> EntitlementRecord | None:
        return self._one("entitlement", id)

    def feature(self, id: str) -> FeatureRecord | None:
        return self._one("feature", id)

    def meter(self, id: str) -> MeterRecord | None:
        return self._one("meter", id)

    def version_of(self, kind: str, id: str) -> int:
        record = self._records.get((kind, id))
        return 0 if record is None else record.version

    def customers_in(self, partition: int) -> Iterator[str]:
        for customer in self._all("customer"):
            if partition_of(customer.id.encode(), PARTITIONS) == partition:
                yield customer.id

    def on_change(self, call) -> None:
        self._calls.append(call)

    def on_moved(self, call) -> None:
        self._moved.append(call)


@dataclass
class Counted:
    """An event in the log and the row that each meter version put it in."""

    event: Event
    epochs: dict[tuple[str, int], int] = field(default_factory=dict)


class Source:
    """A source partition: its log, the catalog as its worker knows it, where meter versions begin."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.log: list[Counted] = []
        self.catalog = MemoryCatalog()
        self.known = 0
        self.begun: dict[tuple[str, int], int] = {}
        self.rows: dict[tuple[str, int, str, int, tuple[str, ...]], int] = {}
        self.visible = 0

    @property
    def next(self) -> int:
        return position(len(self.log), 0)


class MemoryHistory:
    """The port History over the sources' logs."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self._sources = sources
        self.down = False
        self.reads = 0

    async def visible(self) -> Mapping[int, int]:
        await asyncio.sleep(0)
        if self.down:
            raise Unavailable("clickhouse is down")
        return {source.number: source.visible for source in self._sources}

    async def read(self, meter, subjects, start_minute, end_minute=None, group_filters=()):
        await asyncio.sleep(0)
        if self.down:
            raise Unavailable("clickhouse is down")
        self.reads += 1
        visible = {source.number: source.visible for source in self._sources}
        rows = rows_of(self._sources, meter, subjects, group_filters, visible)
        last = end_minute if end_minute is not None else 1 << 40
        return Series(tuple(r for r in rows if start_minute <= r.minute < last), visible)


def rows_of(
    sources: Sequence[Source],
    meter: Meter,
    subjects: Sequence[str],
    filters,
    visible: Mapping[int, int] | None = None,
) -> list[SeriesRow]:
    """Rows of the meter as it is now; with `visible` as of these positions."""
    subjects = [
        s for s in subjects if all(text_matches(t, s) for k, t in filters if k == "subject")
    ]
    filters = [(key, test) for key, test in filters if key != "subject"]
    keyed = [(key, test) for key, test in filters if key in meter.group_by]
    missing = [test for key, test in filters if key not in meter.group_by]
    if not all(text_matches(test, "") for test in missing):
        return []
    version = (meter.id, meter.version)
    found: list[SeriesRow] = []
    for source in sources:
        end = source.next if visible is None else visible[source.number]
        epochs = {one.event.position: one.epochs.get(version, OWN_EPOCH) for one in source.log}
        fold = SeriesFold(
            meter, keyed, value_hash, lambda event, _, epochs=epochs: epochs[event.position]
        )
        fold.add(
            one.event
            for one in source.log
            if one.event.position < end and one.event.subject in subjects
        )
        found += fold.rows.values()
    return found


class World:
    """Everything around one balance partition, `number`, and the partition itself."""

    def __init__(self, number: int = 0, options: BalanceOptions | None = None) -> None:
        self.number = number
        self.now = T0 + timedelta(seconds=20)  # in a minute that is counted
        self.sources = [Source(n) for n in range(PARTITIONS)]
        self.topics: list[list[tuple[bytes, bytes | None]]] = [[] for _ in range(PARTITIONS)]
        self.records: list[CatalogRecord] = []
        self.catalog = MemoryCatalog()
        self.known = 0
        self.history = MemoryHistory(self.sources)
        self.options = options or BalanceOptions(
            partitions=PARTITIONS,
            keep=timedelta(hours=2),
            accounts_max=2,
            rows_max=4,
            load_accounts_max=3,
            slice_rows=3,
            look_s=0,
            retry_max_s=0.001,
        )
        self.path = Path(mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None)) / "b"
        self.crash_at: Step | None = None
        self.changed: set[str] = set()
        self.meters: dict[str, MeterRecord] = {}
        self.open()

    # -- the partition

    def open(self) -> None:
        store = open_balances(
            self.path, MEMORY, topic_id="t", partition=self.number, partitions=PARTITIONS
        )
        self.store = store
        catalog = MemoryCatalog()
        for record in self.records[: self.known]:
            catalog.apply(record)
        self.catalog = catalog
        self.partition = BalancePartition(
            store,
            catalog,
            self.history,
            number=self.number,
            now=lambda: self.now,
            options=self.options,
            reached=self._reached,
        )
        self.partition.changed = self.changed.update
        if self.partition.next_offset is None:
            self.partition.began_at(len(self.topics[self.number]))

    def _reached(self, step: Step) -> None:
        if step is self.crash_at:
            self.crash_at = None
            raise Crash(step)

    async def kill(self) -> None:
        """The process is gone; what was not written is lost."""
        await self.partition._loader.stop()
        self.store.close()

    async def restart(self) -> None:
        await self.kill()
        self.open()

    async def lose_state(self) -> None:
        await self.kill()
        shutil.rmtree(self.path)
        self.open()

    async def close(self) -> None:
        await self.partition.close()
        shutil.rmtree(self.path.parent)

    @property
    def topic(self) -> list[tuple[bytes, bytes | None]]:
        return self.topics[self.number]

    def deliver(self, most: int = 1 << 30) -> None:
        offset = self.partition.next_offset
        assert offset is not None
        end = min(len(self.topic), offset + most)
        if end > offset:
            self.partition.take(self.topic[offset:end], end)

    async def work(self, turns: int = 1) -> None:
        for _ in range(turns):
            try:
                await self.partition.work()
                if not self.history.down:
                    await self.partition.settle()
            except Crash:
                await self.restart()

    async def drain(self) -> None:
        """Until everything is known, read, counted and begun."""
        self.history.down = False
        self.learn()
        for source in self.sources:
            self.teach(source)
            source.visible = source.next
        for _ in range(100):
            for source in self.sources:
                self.tell(source)
            before = self.history.reads
            self.deliver()
            await self.work(3)
            more = await self.partition.work()
            await self.partition.settle()
            if not more and self.history.reads == before and not self.partition._loader.anybody():
                return
        raise AssertionError("it does not come to rest")

    # -- catalog

    def change(self, entity: Entity) -> CatalogRecord:
        record = catalog_record(entity, len(self.records) + 1)
        self.records.append(record)
        return record

    def learn(self, most: int = 1 << 30) -> None:
        """The balance partition's catalog goes on."""
        for record in self.records[self.known : self.known + most]:
            self.known += 1
            self.catalog.apply(record)

    def teach(self, source: Source, most: int = 1 << 30) -> None:
        """The catalog of a source partition's worker goes on, and it tells of it."""
        for record in self.records[source.known : source.known + most]:
            source.known += 1
            source.catalog.apply(record)
            if record.meter is not None:
                source.begun.setdefault((record.meter.id, record.meter.version), source.next)
        self.tell(source)

    # -- events

    def add(self, source: Source, events: Sequence[tuple[str, int, dict]]) -> None:
        """A chunk of (subject, second, data): folded, and its rows sent to whom they belong."""
        changed: dict[tuple[str, int, str, int, tuple[str, ...]], None] = {}
        values: list[tuple[bytes, bytes, str]] = []
        meters = [meter_of(m) for m in source.catalog._all("meter")]
        for subject, second, data in events:
            at = position(len(source.log), 0)
            one = Counted(Event(subject, second, at, data, source.number))
            source.log.append(one)
            for meter in meters:
                groups = tuple(data.get(path[2:], "") for _, path in sorted(meter.group_by.items()))
                key = (meter.id, meter.version, subject, second // 60, groups)
                one.epochs[meter.id, meter.version] = source.rows.setdefault(key, at)
                changed[key] = None
                if meter.aggregation is Aggregation.UNIQUE_COUNT:
                    row_key = _row_key(key)
                    text = data.get("user", "")
                    values.append((unique_key(row_key, value_hash(text)), row_key, subject))
        for key in changed:
            self._send_row(source, key)
        for key_bytes, row_key, subject in values:
            self._send(source, subject, key_bytes, row_key)

    def _send_row(self, source: Source, key, less: int = 0) -> None:
        """The row as it is, or as it was some events before."""
        meter_id, version, subject, minute, groups = key
        epoch = source.rows[key]
        record = next(
            r.meter
            for r in self.records
            if r.meter is not None and (r.meter.id, r.meter.version) == (meter_id, version)
        )
        found = [
            one.event
            for one in source.log
            if one.epochs.get((meter_id, version)) == epoch
            and one.event.subject == subject
            and one.event.second // 60 == minute
            and tuple(
                one.event.data.get(path[2:], "") for _, path in sorted(record.group_by.items())
            )
            == groups
        ]
        fold = SeriesFold(meter_of(record), (), value_hash, lambda *_: epoch)
        fold.add(found[: max(len(found) - less, 1)])
        for row in fold.rows.values():
            self._send(source, subject, usage_key(_row_key(key), epoch), encode_row(row.row))

    def _send(self, source: Source, subject: str, key: bytes, value: bytes) -> None:
        customer = source.catalog.customer_of(subject)
        number = source.number
        if customer is not None:
            number = partition_of(customer.encode(), PARTITIONS)
        self.topics[number].append((key, value))

    def tell(self, source: Source) -> None:
        progress = Progress(
            partition=source.number,
            source_next=source.next,
            catalog=source.catalog.version,
            as_of_ms=int(self.now.timestamp() * 1000),
        )
        for topic in self.topics:
            topic.append((progress_key(source.number), encode_progress(progress)))

    def send_again(self, source: Source, place: int, less: int) -> None:
        """Another owner replays the last rows of this one, as they were then: what lies before is in its state."""
        keys = [key for key, _ in sorted(source.rows.items(), key=lambda row: row[1])]
        if keys:
            self._send_row(source, keys[-1 - place % len(keys)], less)

    def renew(self, source: Source, place: int) -> None:
        """The week of a row is over: what comes for its key opens another."""
        keys = sorted(source.rows)
        if keys:
            del source.rows[keys[place % len(keys)]]

    # -- what it should be

    def expected(self, record: EntitlementRecord, at: datetime) -> Access:
        """The rule over the whole log."""
        entitlement = entitlement_of(record)
        if record.type != "metered":
            return access(entitlement, at)
        route = route_of(record, self.catalog)
        rows: list[SeriesRow] = []
        if route.meter is not None:
            feature = self.catalog.feature(record.feature_id)
            filters = group_filters(feature.filters)
            rows = rows_of(self.sources, meter_of(route.meter), route.subjects, filters)
        assert record.measured_from is not None
        plan = plan_of(record, route.aggregation)
        known = [r for r in rows if r.minute * 60 >= record.measured_from.timestamp()]
        usage = readings(known, route.aggregation)
        done = evaluate(plan, open_state(plan, record.measured_from), usage, value_instant(at))
        return access(entitlement, at, done.standing)

    def check(self, customer_id: str, at: datetime, *, must: bool) -> int:
        """Every answer about a customer is the rule; returns how many values were compared."""
        second = None if at == self.now else int(at.timestamp())
        answer = self.partition.answer(Question(customer=customer_id, at=second), self.now)
        if answer.why is not None:
            assert not must or answer.why in ("elsewhere", "unknown", "deleted"), answer
            return 0
        records = {r.id: r for r in self.catalog.entitlements_of(customer_id)}
        asked_for = {id_ for id_, r in records.items() if entitlement_of(r).active.contains(at)}
        assert {v.entitlement_id for v in answer.values} == asked_for
        for value in answer.values:
            want = self.expected(records[value.entitlement_id], at)
            if value.type != "metered":
                continue
            got = (
                value.has_access,
                value.balance,
                value.usage,
                value.overage,
                value.total_available,
                value.grant_balances,
            )
            assert got == (
                want.has_access,
                want.balance,
                want.usage,
                want.overage,
                want.total_available,
                dict(want.grant_balances),
            ), (records[value.entitlement_id], at)
        return len(answer.values)


class Crash(Exception):
    """The process is killed at a step."""


def _row_key(key) -> bytes:
    meter_id, version, subject, minute, groups = key
    return row_key_prefix(meter_id, version) + row_key_body(subject, minute, groups)


def meters() -> list[MeterRecord]:
    """One of each kind that balances know."""
    return [
        a_meter_record("sum", id=ULIDS[0], value="$.n", groups={"model": "$.model"}),
        a_meter_record("count", id=ULIDS[1], aggregation="COUNT"),
        a_meter_record("level", id=ULIDS[2], aggregation="LATEST", value="$.n"),
        a_meter_record("users", id=ULIDS[3], aggregation="UNIQUE_COUNT", value="$.user"),
    ]


def a_customer(id: str, key: str | None = None, *subjects: str, **more) -> CustomerRecord:
    return CustomerRecord(
        id=id,
        namespace="default",
        name=id,
        key=key,
        subject_keys=tuple(sorted(subjects)),
        created_at=T0,
        updated_at=T0,
        **more,
    )


def a_feature(id: str, meter_id: str | None, **filters) -> FeatureRecord:
    return FeatureRecord(
        id=id,
        namespace="default",
        key=f"f-{id}",
        name=id,
        meter_id=meter_id,
        filters=filters,
        created_at=T0,
        updated_at=T0,
    )


def an_entitlement(id: str, customer: str, feature: FeatureRecord, **more) -> EntitlementRecord:
    fields = {
        "measured_from": T0,
        "interval": "P1D",
        "anchor": T0,
        "active_from": T0,
        "type": "metered",
    } | more
    return EntitlementRecord(
        id=id,
        namespace="default",
        customer_id=customer,
        feature_id=feature.id,
        feature_key=feature.key,
        created_at=T0,
        updated_at=T0,
        **fields,
    )
