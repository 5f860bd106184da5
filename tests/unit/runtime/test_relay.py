"""The relay on fakes: order, failures, the end."""

import asyncio
from contextlib import asynccontextmanager
from itertools import chain

import pytest

from domain.errors import Unavailable
from runtime.relay import SLICE_MAX, Relay
from schemas.catalog import CatalogRecord
from tests.builders import a_meter_record


class FakeOutbox:
    """Changes in memory; `failures` are raised first, one a call."""

    def __init__(self, count=0, failures=()):
        self.records = [a_record(n) for n in range(1, count + 1)]
        self.failures = list(failures)
        self.holders = 0
        self.empty = asyncio.Event()

    @asynccontextmanager
    async def hold(self):
        self._fail()
        self.holders += 1
        yield self
        self.holders -= 1

    async def read(self, limit):
        self._fail()
        return self.records[:limit]

    async def remove(self, versions):
        self._fail()
        self.records = [record for record in self.records if record.version not in versions]

    async def changed(self):
        self.empty.set()
        await asyncio.Event().wait()

    def _fail(self):
        if self.failures and (failure := self.failures.pop(0)):
            raise failure


class FakeTopic:
    def __init__(self, failures=()):
        self.published = []
        self.failures = list(failures)
        self.acknowledge = asyncio.Event()
        self.acknowledge.set()
        self.called = asyncio.Event()

    @asynccontextmanager
    async def write(self):
        yield self

    async def publish(self, records):
        if self.failures and (failure := self.failures.pop(0)):
            raise failure
        self.published.append([record.version for record in records])
        self.called.set()
        await self.acknowledge.wait()


def a_record(version):
    return CatalogRecord(kind="meter", version=version, meter=a_meter_record())


async def test_changes_go_in_order_and_in_slices():
    outbox, topic = FakeOutbox(2 * SLICE_MAX + 5), FakeTopic()
    relay = Relay(outbox, topic, pytest.fail)

    relay.start()
    await outbox.empty.wait()
    await relay.stop()

    assert [len(versions) for versions in topic.published] == [SLICE_MAX, SLICE_MAX, 5]
    assert list(chain(*topic.published)) == list(range(1, 2 * SLICE_MAX + 6))


async def test_what_is_down_is_tried_again_and_what_was_not_removed_is_repeated():
    down = Unavailable("down")
    outbox = FakeOutbox(2, failures=[down, None, None, down])
    topic = FakeTopic(failures=[None, down])
    relay = Relay(outbox, topic, pytest.fail)

    relay.start()
    await outbox.empty.wait()
    await relay.stop()

    assert topic.published == [[1, 2], [1, 2]]
    assert outbox.records == []


async def test_what_waiting_does_not_solve_is_told():
    told = asyncio.get_running_loop().create_future()
    relay = Relay(FakeOutbox(failures=[KeyError("damage")]), FakeTopic(), told.set_result)

    relay.start()

    assert isinstance(await told, KeyError)
    await relay.stop()


async def test_a_stop_waits_for_the_slice_under_way():
    outbox, topic = FakeOutbox(1), FakeTopic()
    topic.acknowledge.clear()
    relay = Relay(outbox, topic, pytest.fail)
    relay.start()
    await topic.called.wait()

    stopping = asyncio.create_task(relay.stop())
    await asyncio.sleep(0)
    topic.acknowledge.set()
    await stopping
    await relay.stop()

    assert outbox.records == []


async def test_a_relay_that_never_started_can_be_stopped():
    await Relay(FakeOutbox(), FakeTopic(), pytest.fail).stop()
