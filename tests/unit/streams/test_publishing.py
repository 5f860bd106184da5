import asyncio
from dataclasses import dataclass, field
from decimal import Decimal
from types import SimpleNamespace

import pytest

from domain.errors import Unavailable
from schemas.balance_changes import Cause, decode_change
from schemas.balances import Answer, Value
from streams.publishing.publisher import Options, Publisher
from tests.builders import NOON
from tests.holds import CUSTOMER, FEATURE, a_customer, an_entitlement


def a_value(id, balance=10, **more):
    return Value(
        entitlement_id=id,
        customer_id=more.pop("customer_id", CUSTOMER),
        feature_id=FEATURE,
        feature_key="tokens",
        type="metered",
        has_access=True,
        balance=Decimal(balance),
        **more,
    )


@dataclass
class MemoryTopic:
    records: list = field(default_factory=list)
    appends: int = 0
    down: bool = False

    async def append(self, partition, records):
        if self.down:
            raise Unavailable("Kafka is down")
        self.appends += 1
        return self.write(records)

    def write(self, records):
        began = len(self.records)
        self.records += records
        return began

    async def bounds(self, partition):
        return 0, len(self.records)

    async def read(self, partition, start, end):
        yield [SimpleNamespace(key=k, value=v) for k, v in self.records[start:end]], end

    def of(self, id):
        """Everything that was said of an entitlement; None for a tombstone."""
        return [
            None if value is None else decode_change(value)
            for key, value in self.records
            if key == id.encode()
        ]

    def balances(self, id):
        return [change.value.balance for change in self.of(id)]


@dataclass
class World:
    """Values and a catalog of one partition."""

    values: dict[str, Value] = field(default_factory=dict)
    deleted: set = field(default_factory=set)
    loading: set = field(default_factory=set)
    asked: int = 0

    def answer(self, question, now):
        self.asked += 1
        wanted = question.features
        if wanted is None:
            wanted = [id for id, one in self.values.items() if one.customer_id == question.customer]
        if self.loading & set(wanted):
            return Answer(why="loading")
        return Answer(
            values=tuple(self.values[id] for id in wanted if id in self.values), as_of_ms=7
        )

    def customer(self, id):
        return a_customer(id, key="acme")

    def entitlement(self, id):
        return an_entitlement(id, deleted_at=NOON if id in self.deleted else None)

    def entitlements_of(self, customer_id):
        return [self.entitlement(id) for id in self.values]

    def customers_in(self, partition):
        yield from sorted({value.customer_id for value in self.values.values()})


@pytest.fixture
async def owning():
    tasks = []

    async def start(world, topic, *, own=True, **options):
        publisher = Publisher(
            3, world.answer, world, topic, now=lambda: NOON, options=Options(**options)
        )
        if own:
            tasks.append(asyncio.create_task(publisher.run()))
        return publisher

    start.tasks = tasks
    yield start
    for task in tasks:
        task.cancel()
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(one, asyncio.CancelledError) for one in ended)


async def until(condition):
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110  # a condition of a fake, which nobody announces
            await asyncio.sleep(0.005)


async def test_a_change_is_published_with_its_value_as_of_and_cause(owning):
    world, topic = World({"e": a_value("e", 10)}), MemoryTopic()
    publisher = await owning(world, topic)
    await until(lambda: topic.records)
    world.values["e"] = a_value("e", 9)

    publisher.changed(["e"], Cause.HOLD)
    await until(lambda: len(topic.records) == 2)

    change = topic.of("e")[-1]
    assert (change.value, change.as_of_ms, change.cause) == (world.values["e"], 7, "hold")
    assert change.customer_key == "acme"


async def test_changes_of_an_interval_are_one_record_with_the_newest_value(owning):
    world, topic = World({"e": a_value("e", 100)}), MemoryTopic()
    publisher = await owning(world, topic, interval_s=0.1)
    await until(lambda: topic.records)

    for balance in range(99, 0, -1):
        world.values["e"] = a_value("e", balance)
        publisher.changed(["e"])
        await asyncio.sleep(0.003)
    await until(lambda: topic.balances("e")[-1] == 1)

    assert len(topic.records) < 12


async def test_while_kafka_is_down_changes_wait_and_nobody_else_does(owning):
    world, topic = World({"e": a_value("e", 10)}), MemoryTopic()
    publisher = await owning(world, topic)
    await until(lambda: topic.records)
    topic.down = True

    world.values["e"] = a_value("e", 9)
    publisher.changed(["e"])
    await asyncio.sleep(0.1)
    topic.down = False
    await until(lambda: topic.balances("e")[-1] == 9)

    assert publisher.waiting == 0


async def test_an_owner_publishes_what_its_forerunner_left_undone_and_nothing_else(owning):
    world = World(
        {"same": a_value("same"), "changed": a_value("changed", 5), "new": a_value("new")}
    )
    topic = MemoryTopic()
    forerunner = await owning(
        World({"same": a_value("same"), "changed": a_value("changed", 6)}), topic
    )
    await until(lambda: len(topic.records) == 2)
    owning.tasks.pop().cancel()
    del forerunner

    await owning(world, topic)
    await until(lambda: len(topic.records) == 4)
    await asyncio.sleep(0.1)

    assert topic.balances("same") == [10]
    assert topic.balances("changed") == [6, 5]
    assert topic.balances("new") == [10]


async def test_what_changed_at_a_standby_is_published_when_it_takes_over(owning):
    world, topic = World({"e": a_value("e")}), MemoryTopic()
    publisher = await owning(world, topic, own=False)
    publisher.changed(["e"], Cause.GRANT)
    await asyncio.sleep(0.05)
    assert not topic.records

    owning.tasks.append(asyncio.create_task(publisher.run()))
    await until(lambda: topic.records)

    assert topic.of("e")[0].cause == "grant"


async def test_a_standby_remembers_no_more_than_its_bound_and_loses_no_last_value(owning):
    world = World({f"e{n}": a_value(f"e{n}", customer_id=f"c{n}") for n in range(100)})
    topic = MemoryTopic()
    publisher = await owning(world, topic, own=False, waiting_max=10)
    publisher.changed(list(world.values))
    assert publisher.waiting <= 10

    owning.tasks.append(asyncio.create_task(publisher.run()))

    await until(lambda: len({key for key, _ in topic.records}) == 100)


async def test_what_a_stale_owner_wrote_is_written_over(owning):
    world, topic = World({"e": a_value("e", 10), "f": a_value("f")}), MemoryTopic()
    publisher = await owning(world, topic)
    await until(lambda: len(topic.records) == 2)
    stale = topic.records[0]
    world.values["e"] = a_value("e", 9)
    publisher.changed(["e"])
    await until(lambda: len(topic.records) == 3)

    topic.write([stale])
    publisher.changed(["f"])

    await until(lambda: topic.balances("e")[-2:] == [10, 9])


async def test_a_record_that_no_owner_wrote_is_written_over_and_stops_nobody(owning):
    world, topic = World({"e": a_value("e", 10)}), MemoryTopic()
    topic.write([(b"e", b"no change"), (b"\xff\xfe", b"\x00"), (b"stranger", b"{}")])

    await owning(world, topic)

    await until(lambda: [v for k, v in topic.records[3:] if k == b"e"])
    told = [value for key, value in topic.records[3:] if key == b"e"]
    assert decode_change(told[-1]).value.balance == 10


async def test_a_deleted_entitlement_is_said_to_be_gone_and_then_forgotten(owning):
    world, topic = World({"e": a_value("e")}), MemoryTopic()
    publisher = await owning(world, topic)
    await until(lambda: topic.records)

    world.deleted.add("e")
    world.values.clear()
    publisher.changed(["e"])
    await until(lambda: len(topic.records) == 3)

    _, gone, tombstone = topic.of("e")
    assert (gone.gone, gone.value.has_access, gone.value.balance) == (True, False, None)
    assert tombstone is None


async def test_the_cause_that_management_announced_goes_with_the_next_change(owning):
    world, topic = World({"e": a_value("e", 10)}), MemoryTopic()
    publisher = await owning(world, topic)
    await until(lambda: topic.records)

    publisher.expect("e", Cause.GRANT)
    for balance in (20, 19):
        world.values["e"] = a_value("e", balance)
        publisher.changed(["e"])
        await until(lambda: topic.balances("e")[-1] == balance)  # noqa: B023

    assert [change.cause for change in topic.of("e")[1:]] == ["grant", "usage"]


async def test_a_new_period_is_a_reset(owning):
    world, topic = World({"e": a_value("e", period_start=NOON)}), MemoryTopic()
    publisher = await owning(world, topic)
    await until(lambda: topic.records)

    world.values["e"] = a_value("e", period_start=NOON.replace(hour=13))
    publisher.changed(["e"])
    await until(lambda: len(topic.records) == 2)

    assert topic.of("e")[-1].cause == "reset"


async def test_a_balance_whose_history_is_read_is_published_when_it_is_there(owning):
    world, topic = World({"e": a_value("e")}, loading={"e"}), MemoryTopic()
    publisher = await owning(world, topic)
    publisher.changed(["e"])
    await until(lambda: world.asked >= 2)
    assert not topic.records

    world.loading.clear()

    await until(lambda: topic.records)
