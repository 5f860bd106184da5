"""Holds without Kafka: a topic in memory that may have several writers, balances and a catalog that a test sets."""

import asyncio
import itertools
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

from domain.errors import Unavailable
from schemas.balances import Answer, Question, Value
from schemas.catalog import CustomerRecord, EntitlementRecord, FeatureRecord, MeterRecord
from schemas.cloudevents import decode_record
from schemas.holds import Confirm, Create, HoldCall, HoldRecord, List, Read, Release
from schemas.position import record_start
from streams.holds.holds import Clock, Holds, Options
from streams.holds.judging import Rules
from streams.steps import unwatched
from tables.holds import HoldsStore
from tables.options import SharedMemory, StoreOptions
from tests.builders import NOON, ULIDS, a_meter_record

CUSTOMER, FEATURE, ENTITLEMENT = ULIDS[20], ULIDS[21], ULIDS[22]


@dataclass
class MemoryLog:
    """The ports HoldsLog and HoldsFeed of any number of workers on one topic."""

    holds: dict[int, list[HoldRecord]] = field(default_factory=lambda: defaultdict(list))
    events: list[tuple[int, bytes, bytes]] = field(default_factory=list)
    followers: list[tuple[int, list[int], object]] = field(default_factory=list)
    between: list = field(default_factory=list)
    """Called, one for each append, before the append: what another writer does meanwhile."""
    down: bool = False
    events_down: bool = False
    lost_answers: int = 0
    """Appends that are done, but whose answer does not come."""

    async def append(self, partition, records, at):
        if self.down:
            raise Unavailable("Kafka is down")
        if self.between:
            self.between.pop(0)()
        began = self.write(partition, records, at)
        await asyncio.sleep(0)
        if self.lost_answers:
            self.lost_answers -= 1
            raise Unavailable("no answer")
        return began

    def write(self, partition, records, at):
        log = self.holds[partition]
        began = len(log)
        log += [
            HoldRecord(began + number, key, value, at + number)
            for number, (key, value) in enumerate(records)
        ]
        asyncio.get_running_loop().call_soon(self.deliver)
        return began

    def deliver(self):
        for partition, position, take in self.followers:
            records = self.holds[partition][position[0] :]
            if records:
                position[0] += len(records)
                take(records, position[0])

    async def append_events(self, partition, key, value):
        if self.events_down:
            raise Unavailable("Kafka is down")
        self.events.append((partition, key, value))
        return len(self.events)

    async def end(self, partition):
        return len(self.holds[partition])

    def follow(self, partition, offset, take):
        self.followers.append((partition, [offset], take))
        asyncio.get_running_loop().call_soon(self.deliver)

    def leave(self, partition):
        self.followers = [one for one in self.followers if one[0] != partition]

    @property
    def sent(self):
        return [event for _, _, value in self.events for event in decode_record(value)]

    @property
    def events_end(self):
        """The position after everything that was sent."""
        return record_start(len(self.events))


@dataclass
class FixedCatalog:
    """A customer with one metered entitlement, unless a test says otherwise."""

    version: int = 1
    customers: list[CustomerRecord] = field(default_factory=list)
    entitlements: list[EntitlementRecord] = field(default_factory=list)
    features: list[FeatureRecord] = field(default_factory=list)
    meters: list[MeterRecord] = field(default_factory=list)

    def customer(self, id_or_key):
        by_id = (one for one in self.customers if one.id == id_or_key)
        by_key = (one for one in self.customers if one.key == id_or_key and one.deleted_at is None)
        return next(by_id, None) or next(by_key, None)

    def customer_of(self, subject):
        for one in self.customers:
            if subject in (one.key, *one.subject_keys):
                return one.id
        return None

    def entitlements_of(self, customer_id):
        return [one for one in self.entitlements if one.customer_id == customer_id]

    def entitlement(self, id):
        return next((one for one in self.entitlements if one.id == id), None)

    def feature(self, id):
        return next((one for one in self.features if one.id == id), None)

    def meter(self, id):
        return next((one for one in self.meters if one.id == id), None)


def a_customer(id=CUSTOMER, key="acme", **more):
    return CustomerRecord(
        id=id, namespace="default", name=id, created_at=NOON, updated_at=NOON, key=key, **more
    )


def a_feature(id=FEATURE, key="tokens", meter_id=ULIDS[0], **more):
    return FeatureRecord(
        id=id,
        namespace="default",
        key=key,
        name=key,
        created_at=NOON,
        updated_at=NOON,
        meter_id=meter_id,
        **more,
    )


def an_entitlement(id=ENTITLEMENT, type="metered", **more):
    return EntitlementRecord(
        **{
            "id": id,
            "namespace": "default",
            "customer_id": CUSTOMER,
            "feature_id": FEATURE,
            "feature_key": "tokens",
            "type": type,
            "active_from": NOON - timedelta(days=1),
            "created_at": NOON,
            "updated_at": NOON,
            **more,
        }
    )


def a_catalog(**more):
    return FixedCatalog(
        **{
            "customers": [a_customer()],
            "entitlements": [an_entitlement()],
            "features": [a_feature()],
            "meters": [a_meter_record()],
            **more,
        }
    )


def create(key="job-1", amount=10, *, digest=None, customer="acme", entitlement="tokens", **more):
    body = Create(key=key, amount=Decimal(amount), digest=digest or f"{amount} {more}", **more)
    return HoldCall(customer=customer, entitlement=entitlement, request=body)


def confirm(key="job-1", used=None, *, event=None, customer="acme", entitlement="tokens"):
    body = Confirm(
        key=key,
        digest=f"{used} {event}",
        used=None if used is None else Decimal(used),
        event=event,
    )
    return HoldCall(customer=customer, entitlement=entitlement, request=body)


def release(key="job-1", customer="acme", entitlement="tokens"):
    return HoldCall(customer=customer, entitlement=entitlement, request=Release(key=key))


def read(key="job-1", customer="acme", entitlement="tokens"):
    return HoldCall(customer=customer, entitlement=entitlement, request=Read(key=key))


def list_all(limit=100, after=None, customer="acme", entitlement="tokens"):
    return HoldCall(
        customer=customer, entitlement=entitlement, request=List(limit=limit, after=after)
    )


@dataclass
class AWorker:
    """One worker's holds of partition 0, over `log`; its balances are what the test says, less what is held."""

    path: Path
    log: MemoryLog = field(default_factory=MemoryLog)
    catalog: FixedCatalog = field(default_factory=a_catalog)
    balances: dict[str, Decimal] = field(default_factory=lambda: {ENTITLEMENT: Decimal(100)})
    counted: dict[int, int] = field(default_factory=dict)
    """source_next"""
    why: str | None = None
    as_of_ms: int | None = None
    now: datetime = NOON
    rules: Rules = field(default_factory=Rules)
    kept: timedelta = timedelta(hours=24)
    reached: object = unwatched
    failures: list = field(default_factory=list)
    changed: list = field(default_factory=list)

    def __post_init__(self):
        ids = itertools.count()
        self.memory = SharedMemory(StoreOptions(block_cache_bytes=1 << 20))
        self.holds = Holds(
            self.log,
            self.log,
            self.catalog,
            open_store=lambda number: HoldsStore(
                self.path / str(number), self.memory, topic_id="t", now_ms=0, age_ms_max=1
            ),
            clock=Clock(now=lambda: self.now, wall_ms=self.wall_ms),
            new_id=lambda: f"{id(self):x}-{next(ids)}",
            options=Options(partitions=1, rules=self.rules, kept=self.kept, append_s_max=2.0),
            reached=lambda step: self.reached(step),
            on_failure=self.failures.append,
        )

    def wall_ms(self):
        return int(self.now.timestamp() * 1000)

    async def start(self, *, own=True):
        self.holds.start()
        self.holds.follow(0, lambda: self.counted, self.changed.extend)
        if own:
            self.own()
        return self

    def own(self):
        self.holds.own(0, self.answer)

    async def stop(self):
        await self.holds.stop()
        assert not self.failures

    def balance(self, entitlement_id=ENTITLEMENT):
        """As it would be read."""
        held = self.holds.held(0, entitlement_id, self.now)
        return max(self.balances[entitlement_id] - held, Decimal(0))

    def answer(self, question: Question, now) -> Answer:
        if self.why is not None:
            return Answer(why=self.why)
        (id,) = question.features
        value = Value(
            entitlement_id=id,
            customer_id=question.customer,
            feature_id=FEATURE,
            feature_key="tokens",
            type="metered",
            has_access=True,
            balance=self.balance(id),
        )
        as_of_ms = self.wall_ms() if self.as_of_ms is None else self.as_of_ms
        return Answer(values=(value,), as_of_ms=as_of_ms)

    async def ask(self, call):
        """The answer, as soon as the partition is ready."""
        async with asyncio.timeout(10):
            while True:
                told = await self.holds.ask(call)
                if told.message != "the holds are being read":
                    return told
                await asyncio.sleep(0)

    async def one(self, call):
        """The hold that a call leads to."""
        told = await self.ask(call)
        assert told.why is None, told
        return told.holds[0]

    async def code(self, call):
        """What stands against a call."""
        told = await self.ask(call)
        return told.code or told.why
