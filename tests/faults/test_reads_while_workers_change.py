"""Balances are read all the time while workers are killed, stopped and put to sleep: somebody answers, and says how old it is."""

import asyncio
import os
import signal
import time
from datetime import timedelta

import pytest

from runtime.config import Config, KafkaConfig
from runtime.topics import ensure_topics
from tests.balances import PARTITIONS, Accounts, Reads, an_event_of, customer_in
from tests.workers import EventProducer, WorkerProcess

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]

CUSTOMERS = [customer_in(number) for number in range(PARTITIONS)]
EVENTS = 20
PATIENT_S = 5.0
"""For tests of whom is asked, not of how long: a machine with other work may be slow to answer."""


class Pair:
    """The workers `a` and `b` share the partitions; each customer has used `sent`."""

    def __init__(self, kafka, clickhouse, namespace, directory, zygote):
        ensure_topics(Config(namespace=namespace, kafka=KafkaConfig(bootstrap_servers=kafka)))
        self.kafka, self.namespace = kafka, namespace
        self.accounts = Accounts(kafka, namespace)
        self.producer = EventProducer(kafka, namespace)
        self.workers = {
            name: WorkerProcess(
                namespace,
                directory,
                kafka,
                clickhouse,
                name=name,
                zygote=zygote,
                environment={"METERSTREAM_WORKER__AGENTS": "[meter, sink, balance]"},
            )
            for name in ("a", "b")
        }
        self.sent = 0

    def start(self):
        self.accounts.begin()
        for customer in CUSTOMERS:
            self.accounts.add_customer(customer)
        for worker in self.workers.values():
            worker.start()
        for worker in self.workers.values():
            worker.wait_ready()
        a = self.workers["a"]
        a.wait_until(lambda: self.owned("a") and self.owned("b"), what="two owners")
        return self

    def owned(self, name):
        return {partition["partition"] for partition in self.workers[name].status()}

    def use(self, count=1):
        for _ in range(count):
            self.sent += 1
            for customer in CUSTOMERS:
                self.producer.send(an_event_of(customer, self.sent))
        self.producer.flush()

    def reads(self, timeout_s=0.5):
        return Reads(self.kafka, self.namespace, read_timeout=timedelta(seconds=timeout_s))

    def stop(self):
        for worker in self.workers.values():
            worker.kill()


@pytest.fixture
def pair(kafka_address, clickhouse_url, unique, tmp_path, zygote):
    found = Pair(kafka_address, clickhouse_url, unique, tmp_path, zygote)
    yield found
    found.stop()


@pytest.fixture(scope="module")
def undisturbed(kafka_address, clickhouse_url, zygote, tmp_path_factory):
    """For tests that leave the workers alone."""
    found = Pair(
        kafka_address, clickhouse_url, "undisturbed", tmp_path_factory.mktemp("pair"), zygote
    )
    yield found.start()
    found.stop()


async def settled(pair, reads):
    """Both workers have everything, each partition has an owner and a standby that has loaded."""
    pair.use(EVENTS)
    for customer in CUSTOMERS:
        await reads.wait_for(customer, lambda r: (r.usage, r.role) == (pair.sent, "owner"))
    for worker in pair.workers.values():
        await asyncio.to_thread(
            worker.wait_until,
            lambda worker=worker: (
                len(worker.balances()) == PARTITIONS
                and all(one["as_of_ms"] for one in worker.balances())
            ),
            what="owned and standby partitions",
        )


async def test_a_killed_owner_is_answered_for_by_its_standby_before_the_group_knows(pair):
    await asyncio.to_thread(pair.start)
    async with pair.reads(PATIENT_S) as reads:
        await settled(pair, reads)
        killed = {customer_in(number) for number in pair.owned("a")}
        async with reads.steadily(sorted(killed)) as done:
            await asyncio.sleep(0.5)
            pair.workers["a"].kill()
            at = time.monotonic()
            await asyncio.sleep(2)
            before_rebalance = [read for read in done if at + 0.1 < read.at < at + 2]
            b = pair.workers["b"]
            await asyncio.to_thread(
                b.wait_until, lambda: len(pair.owned("b")) == PARTITIONS, 30, "take-over"
            )
            took_over_s = time.monotonic() - at
            await reads.wait_for(sorted(killed)[0], lambda read: read.role == "owner", 10)

    assert took_over_s > 3, "the group knew at once: nothing was shown"
    assert {(read.role, read.why, read.usage) for read in before_rebalance} == {
        ("standby", None, EVENTS)
    }
    assert {read.why for read in done} == {None}
    assert {read.usage for read in done} == {EVENTS}


async def test_a_worker_that_stops_fails_no_read(pair):
    await asyncio.to_thread(pair.start)
    async with pair.reads(PATIENT_S) as reads:
        await settled(pair, reads)
        async with reads.steadily(CUSTOMERS) as done:
            await asyncio.sleep(0.5)
            await asyncio.to_thread(pair.workers["a"].stop)
            b = pair.workers["b"]
            await asyncio.to_thread(
                b.wait_until, lambda: len(pair.owned("b")) == PARTITIONS, 30, "take-over"
            )
            await asyncio.sleep(0.5)
        last = [await reads.read(customer) for customer in CUSTOMERS]

    assert {(read.why, read.usage) for read in done} == {(None, EVENTS)}
    assert {read.role for read in last} == {"owner"}


async def test_a_worker_that_sleeps_holds_reads_once_and_not_longer_than_the_timeout(pair):
    await asyncio.to_thread(pair.start)
    sleeper = pair.workers["a"]
    async with pair.reads() as reads:
        await settled(pair, reads)
        sleepers = [customer_in(number) for number in sorted(pair.owned("a"))]
        async with reads.steadily(sleepers) as done:
            await asyncio.sleep(0.5)
            os.kill(sleeper.process.pid, signal.SIGSTOP)
            at = time.monotonic()
            await asyncio.sleep(3)
            later = [read for read in done if read.at > at + 0.6]
            os.kill(sleeper.process.pid, signal.SIGCONT)
            await asyncio.sleep(0.2)

    assert {(read.why, read.usage) for read in done} == {(None, EVENTS)}
    assert max(read.took for read in done) < 0.8
    held = [read for read in later if read.took > 0.4]
    assert len(later) > 100
    assert len(held) * 20 < len(later), "reads went on waiting for the sleeper"


async def test_a_standby_is_not_more_than_a_second_behind_its_owner(undisturbed):
    pair = undisturbed
    async with pair.reads() as reads:
        await settled(pair, reads)
        ages = []
        for _ in range(10):
            pair.use()
            await asyncio.sleep(0.2)
            now_ms = int(time.time() * 1000)
            for worker in pair.workers.values():
                ages += [
                    now_ms - b["as_of_ms"] for b in worker.balances() if b["role"] == "standby"
                ]

    assert len(ages) >= 10
    assert max(ages) < 1000, ages


async def test_a_read_sees_what_its_writer_has_committed(undisturbed):
    pair = undisturbed
    async with pair.reads() as reads:
        await settled(pair, reads)
        for n in range(1, 21):
            customer = CUSTOMERS[n % PARTITIONS]
            version = pair.accounts.grant(customer, 100)
            read = await reads.read(customer, catalog=version)

            assert (read.why, read.balance) == (None, pair.accounts.granted(customer) - pair.sent)
