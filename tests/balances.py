"""Customers with a metered entitlement each, and the process that reads their balances: as an api process does, without one."""

import asyncio
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from confluent_kafka import Producer

from domain.errors import Unavailable
from runtime import clock
from runtime.balance_reads import BalanceReads
from runtime.config import BalancesConfig, Config, KafkaConfig
from runtime.topology.parts import READ, Wires
from schemas import topics
from schemas.balances import Question
from schemas.catalog import (
    CustomerRecord,
    EntitlementRecord,
    FeatureRecord,
    GrantRecord,
    catalog_key,
    catalog_record,
    encode_catalog_record,
)
from schemas.partitioner import partition_of
from tests.builders import ULIDS, a_meter_record, an_event

PARTITIONS = 4
GRANTED = Decimal(1_000_000)
METER = a_meter_record("tokens", id=ULIDS[0], aggregation="SUM", value="$.tokens")
BEGAN = clock.wall_now().replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=3)


def customer_in(partition: int, nth: int = 0) -> str:
    """The id of the `nth` customer of a balance partition."""
    ids = (f"01J{n:023d}" for n in range(10_000))
    found = [id for id in ids if partition_of(id.encode(), PARTITIONS) == partition]
    return found[nth]


def key_of(customer: str) -> str:
    return f"key-{int(customer[3:])}"


@dataclass
class Read:
    """One answered or failed read: when it began, how long it took in seconds."""

    at: float
    took: float
    role: str
    why: str | None
    usage: Decimal | None = None
    as_of_ms: int = 0
    balance: Decimal | None = None


class Accounts:
    """What management would have written: one feature `tokens`, customers with an entitlement of 1,000,000."""

    def __init__(self, kafka: str, namespace: str):
        self.namespace = namespace
        self.version = 0
        self._topic = topics.names(namespace).catalog
        self._producer = Producer({"bootstrap.servers": kafka, "linger.ms": 0, "log_level": 0})
        self._grants: dict[str, tuple[GrantRecord, ...]] = {}

    def begin(self) -> "Accounts":
        self.publish(METER)
        self.publish(
            FeatureRecord(
                id=ULIDS[10],
                namespace=self.namespace,
                key="tokens",
                name="tokens",
                meter_id=METER.id,
                created_at=BEGAN,
                updated_at=BEGAN,
            )
        )
        return self

    def publish(self, *entities) -> int:
        """The catalog version after them."""
        for entity in entities:
            self.version += 1
            record = catalog_record(entity, self.version)
            self._producer.produce(
                self._topic, encode_catalog_record(record), catalog_key(record), 0
            )
        assert self._producer.flush(30) == 0
        return self.version

    def add_customer(self, id: str) -> int:
        customer = CustomerRecord(
            id=id,
            namespace=self.namespace,
            name=id,
            key=key_of(id),
            created_at=BEGAN,
            updated_at=BEGAN,
        )
        self.publish(customer)
        return self.grant(id, GRANTED)

    def grant(self, id: str, amount: Decimal | int) -> int:
        """One grant more; the catalog version that has it."""
        before = self._grants.get(id, ())
        grant = GrantRecord(
            id=f"01G{len(before):03d}{id[6:]}",
            amount=Decimal(amount),
            effective_at=BEGAN,
            created_at=BEGAN,
        )
        self._grants[id] = (*before, grant)
        return self.publish(
            EntitlementRecord(
                id=f"01E{id[3:]}",
                namespace=self.namespace,
                customer_id=id,
                feature_id=ULIDS[10],
                feature_key="tokens",
                type="metered",
                active_from=BEGAN,
                created_at=BEGAN,
                updated_at=BEGAN,
                measured_from=BEGAN,
                interval="P1M",
                anchor=BEGAN,
                grants=self._grants[id],
            )
        )

    def granted(self, id: str) -> Decimal:
        """All grants of a customer."""
        return sum((grant.amount for grant in self._grants[id]), Decimal(0))


def an_event_of(customer: str, n: int, tokens: int = 1):
    """An event of now."""
    at = clock.wall_now().strftime("%Y-%m-%dT%H:%M:%SZ")
    return an_event(f"{customer}-{n}", subject=key_of(customer), time=at, tokens=tokens)


class Reads:
    """`BalanceReads` of an api process."""

    def __init__(self, kafka: str, namespace: str, **balances):
        config = Config(
            namespace=namespace,
            kafka=KafkaConfig(bootstrap_servers=kafka),
            balances=BalancesConfig(**balances),
        )
        self._reads = BalanceReads(config, Wires(READ, topics.names(namespace)))

    async def __aenter__(self):
        self._reads.start()
        return self

    async def __aexit__(self, *_):
        await self._reads.stop()

    async def read(self, customer: str, catalog: int = 0) -> Read:
        began = time.monotonic()
        try:
            question = Question(customer=customer, features=("tokens",))
            ((answer, role),) = await self._reads.workers.ask([question], catalog)
        except Unavailable:
            return Read(began, time.monotonic() - began, "nobody", "unavailable")
        took = time.monotonic() - began
        value = answer.values[0] if answer.values else None
        why = answer.why or (None if value else "no value")
        usage, balance = (value.usage, value.balance) if value else (None, None)
        return Read(began, took, role, why, usage, answer.as_of_ms, balance)

    async def wait_for(self, customer: str, wanted, seconds: float = 60, catalog: int = 0) -> Read:
        """The first read that `wanted` is true of."""
        deadline = time.monotonic() + seconds
        while not wanted(found := await self.read(customer, catalog)):
            assert time.monotonic() < deadline, found
            await asyncio.sleep(0.02)
        return found

    @asynccontextmanager
    async def steadily(self, customers, rate: float = 200):
        """Reads at `rate` a second until the block ends; yields the list that they go to."""
        done: list[Read] = []
        under_way: set[asyncio.Task] = set()

        async def one(customer):
            done.append(await self.read(customer))

        async def go_on():
            began = time.monotonic()
            n = 0
            while True:
                await asyncio.sleep(max(0.0, began + n / rate - time.monotonic()))
                task = asyncio.create_task(one(customers[n % len(customers)]))
                under_way.add(task)
                task.add_done_callback(under_way.discard)
                n += 1

        going = asyncio.create_task(go_on())
        try:
            yield done
        finally:
            going.cancel()
            await asyncio.gather(going, *under_way, return_exceptions=True)
