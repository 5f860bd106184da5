"""A worker on real partitions, sinks and RocksDB, whose brokers, ClickHouse and catalog move only when a test says so.

Two partitions. What is acknowledged, inserted, learned and read is a step each, so that a history can stop the worker,
change the catalog or ask a question between any two of them. A step that makes no sense at the moment does nothing.
"""

import asyncio
import json
import shutil
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

from faust.types import TP

from domain.metering.meter import Meter, changed, new_meter
from domain.metering.query import MeterQuery, ResultRow
from schemas.partitioner import partition_of
from schemas.position import offset_of, position
from streams.catalog import Catalog
from streams.partition import Chunk, PartitionOptions
from streams.partition_sink import SinkOptions
from streams.partitions import Partitions, Topics
from streams.sink import Sink
from streams.steps import unwatched
from tables.store import PartitionStore, SharedMemory, StoreOptions
from tests import oracle
from tests.builders import NOON, ULIDS
from tests.fakes import MemoryMeters
from tests.memory_usage import MemoryReader, MemoryWriter, Tables

NUMBERS = range(2)
NAMESPACE, EVENTS, CHANGELOG = "default", "om_default_events", "om_default_meter_changelog"
STORE = StoreOptions(window_ms=10**15, block_cache_bytes=8 << 20, write_buffer_bytes=8 << 20)
MEMORY = SharedMemory(STORE)
SUBJECTS = [
    [s for s in map("s{}".format, range(40)) if partition_of(s.encode(), 2) == number][:2]
    for number in NUMBERS
]
"""Two subjects of each partition."""
_TICKS = 60
_APPENDED_MS = 1_790_000_000_000


class Gate:
    """Lets those who wait for their turn through one at a time, in the order they came; all of them when open."""

    def __init__(self) -> None:
        self.is_open = False
        self._waiting: deque[asyncio.Future] = deque()

    async def turn(self) -> None:
        if not self.is_open:
            mine = asyncio.get_running_loop().create_future()
            self._waiting.append(mine)
            await mine

    def let(self) -> None:
        """The next one's turn."""
        while self._waiting:
            first = self._waiting.popleft()
            if not first.done():
                first.set_result(None)
                return

    def open(self) -> None:
        self.is_open = True
        while self._waiting:
            self.let()


@dataclass
class Sent:
    """A batch for the changelog that the broker has not appended yet."""

    partition: int
    records: list
    end: asyncio.Future


@dataclass
class Brokers:
    """The topics: events and changelog of each partition. They stay when the worker goes."""

    events: list[list] = field(default_factory=lambda: [[] for _ in NUMBERS])
    changelog: list[list] = field(default_factory=lambda: [[] for _ in NUMBERS])
    sent: list[Sent] = field(default_factory=list)
    straight: bool = False
    """Whether batches are appended at once."""

    # -- the worker's ports

    async def append_changelog(self, partition, records):
        sent = Sent(partition, list(records), asyncio.get_running_loop().create_future())
        self.sent.append(sent)
        if self.straight:
            self.land(partition)
        return sent.end

    async def append_usage(self, rows):
        return asyncio.sleep(0)

    async def append_rejected(self, partition, events):
        return asyncio.sleep(0)

    append_raw = append_rejected

    async def append_forwarded(self, events):
        return asyncio.sleep(0)

    async def bounds(self, topic, partition):
        log = self.events if topic == EVENTS else self.changelog
        return 0, len(log[partition])

    async def read(self, topic, partition, start, end):
        log = self.events if topic == EVENTS else self.changelog
        for first in range(start, end, 3):
            records = log[partition][first : min(first + 3, end)]
            yield records, first + len(records)

    async def topic_id(self, topic):
        return "topic"

    # -- what a test does

    def land(self, partition: int, *, acknowledge: bool = True) -> None:
        """The oldest batch that was sent for `partition` is appended."""
        for sent in self.sent:
            if sent.partition == partition:
                self.sent.remove(sent)
                log = self.changelog[partition]
                log += [
                    SimpleNamespace(key=key, value=value, offset=len(log) + i)
                    for i, (key, value) in enumerate(sent.records)
                ]
                if acknowledge and not sent.end.cancelled():
                    sent.end.set_result(len(log))
                return


class Worker:
    """What runtime/worker.py wires, from `known` records of the catalog on, until it is stopped or killed."""

    def __init__(self, brokers: Brokers, writer, directory: Path, catalog, *, reached) -> None:
        self.brokers, self.writer = brokers, writer
        self.failures: list[BaseException] = []
        self._tasks: list[asyncio.Task] = []
        self.catalog = Catalog(self._changed)
        self.sink = Sink(
            writer,
            brokers,
            owner_of=lambda subject: partition_of(subject.encode(), len(NUMBERS)),
            options=SinkOptions(
                namespace=NAMESPACE,
                topic=EVENTS,
                interval_ms=0,
                block_events_max=4,
                retry_s_max=0.0,
            ),
            on_failure=self.failures.append,
            reached=reached,
        )
        self.sink.tables_made.set()
        self.partitions = Partitions(
            topics=Topics(events=EVENTS, changelog=CHANGELOG, partitions=len(NUMBERS)),
            open_store=lambda n: PartitionStore(directory / f"{n}", MEMORY, STORE),
            destroy_store=lambda n: None,
            chunk_log=brokers,
            reader=brokers,
            catalog=self.catalog,
            options=PartitionOptions(
                namespace=NAMESPACE, chunk_events_max=3, in_flight_chunks=2, slice_ms=10**6
            ),
            buffer_bytes_max=1 << 30,
            sink=self.sink,
            reached=reached,
        )
        self.partitions.attach(self)
        self._fetched = dict.fromkeys(NUMBERS, -1)
        self._chunks: asyncio.Queue = asyncio.Queue()
        for record in catalog:
            self.catalog.take(record)
        self._spawn(self._run())

    async def crash(self, error: BaseException) -> None:
        self.failures.append(error)

    async def _run(self) -> None:
        await self.partitions.restore({TP(EVENTS, n) for n in NUMBERS}, 1)
        while True:
            await self.partitions.submit(await self._chunks.get(), _acknowledge)

    def _spawn(self, work) -> None:
        self._tasks.append(asyncio.create_task(work))

    def _changed(self, record) -> None:
        if self.partitions.restored.is_set():
            self._spawn(self.partitions.apply_catalog())

    def fetch(self, number: int, count: int) -> None:
        """The next records of a partition reach the stream."""
        if not self.partitions.restored.is_set():
            return
        if self._fetched[number] < 0:
            self._fetched[number] = offset_of(self.partitions.owned[number].source_next)
        start = self._fetched[number]
        records = self.brokers.events[number][start : start + count]
        if records:
            self._fetched[number] = start + len(records)
            message = SimpleNamespace(partition=number, generation_id=1, serialized_value_size=0)
            chunk = Chunk(start, records)
            self._chunks.put_nowait(SimpleNamespace(message=message, value=chunk))

    def all_done(self) -> bool:
        """Everything there is has been folded and can be read."""
        if self.failures:
            raise AssertionError(f"the worker failed: {self.failures}")
        visible = self.sink.visible_positions()
        ends = {n: position(len(self.brokers.events[n]), 0) for n in NUMBERS}
        return visible == ends and not self.brokers.sent

    async def kill(self) -> None:
        """It is gone: what is not on disk, sent or inserted never will be."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.sink.give_up()
        await self.partitions.close()
        assert self.failures == []


async def _acknowledge(event) -> None:
    """Nobody keeps offsets."""


class World:
    """Everything that stays when the worker goes, and the one that runs; `problems` are answers that were wrong."""

    def __init__(self, directory: Path, *, tables: Tables | None = None) -> None:
        self.directory = directory
        self.brokers = Brokers()
        self.tables = Tables() if tables is None else tables
        self.inserting = Gate()
        self.writer = None
        self.worker: Worker | None = None
        self.meters = MemoryMeters(NAMESPACE, lambda: NOON)
        self.known = 0
        """Records of the catalog that the worker has learned."""
        self.late: list = []
        self.log: list[tuple[int, int, oracle.Event]] = []
        """(partition, position, event) of every event sent."""
        self.questions: list[tuple[MemoryReader, Gate, MeterQuery, dict, asyncio.Task]] = []
        self.asked = 0

    # -- the outside

    def send(self, number: int, events: list[tuple]) -> None:
        """One record; an event is (id, subject index, type, second, data text)."""
        texts, offset = [], len(self.brokers.events[number])
        for index, (id, who, kind, second, data) in enumerate(events):
            told = {"id": id, "source": "s", "type": kind, "subject": SUBJECTS[number][who]}
            at = datetime.fromtimestamp(second, UTC).isoformat()
            text = json.dumps({"specversion": "1.0", **told, "time": at})
            texts.append(f'{text[:-1]}, "data": {data}}}')
            read = json.loads(data, parse_float=oracle.Decimal)
            here = position(offset, index)
            event = oracle.Event(**told, second=second, data=read, position=here)
            self.log.append((number, here, event))
        value = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
        record = SimpleNamespace(
            offset=offset,
            timestamp=_APPENDED_MS + offset,
            key=None,
            value=value.encode(),
            headers=(),
        )
        self.brokers.events[number].append(record)

    async def create(self, slug: int, aggregation: str, groups: dict, kind: str) -> None:
        made = new_meter(
            id=ULIDS[len(self.meters._meters)], namespace=NAMESPACE, slug=f"m{slug}", aggregation=aggregation,
            event_type=kind, at=NOON, value_property=None if aggregation == "COUNT" else "$.n", group_by=groups,
        )  # fmt: skip
        if all(m.slug != made.slug for m in self.meters._live()):
            await self.meters.create(made)

    async def regroup(self, which: int, groups: dict) -> None:
        meter = self.meter(which)
        if meter is not None:
            await self.meters.update(
                meter.id,
                lambda m: changed(m, name=None, description=None, metadata=None, group_by=groups, at=NOON),
            )  # fmt: skip

    async def delete(self, which: int) -> None:
        meter = self.meter(which)
        if meter is not None:
            await self.meters.delete(meter.id)

    def all_meters(self) -> list[Meter]:
        """Every meter as it is now, the oldest first, deleted ones too."""
        return list(self.meters._meters.values())

    def meter(self, which: int) -> Meter | None:
        """The one made last, or the one before it, and so on around; None when there is none."""
        found = self.all_meters()
        return found[-1 - which % len(found)] if found else None

    # -- the worker

    def start(self, behind: int = 0, lose_disk: bool = False) -> None:
        """A worker owns both partitions: a new process, which has read the catalog whole, or one that lags behind it."""
        if self.worker is not None:
            return
        if lose_disk:
            shutil.rmtree(self.directory, ignore_errors=True)
        self.known = max(0, len(self.meters.outbox) - behind)
        self.writer = self.make_writer()
        self.worker = Worker(
            self.brokers,
            self.writer,
            self.directory,
            self.meters.outbox[: self.known],
            reached=unwatched,
        )

    def make_writer(self):
        return MemoryWriter(self.tables, self.inserting.turn)

    def learn(self) -> None:
        """The worker reads the next record of the catalog."""
        if self.worker is not None and self.known < len(self.meters.outbox):
            self.known += 1
            self.worker.catalog.take(self.meters.outbox[self.known - 1])

    def fetch(self, number: int, count: int) -> None:
        if self.worker is not None:
            self.worker.fetch(number, count)

    async def kill(self, arrives: int = 0, lands: bool = False) -> None:
        """It dies where it is; the insert under way may still arrive, and a batch be appended without its knowing."""
        if self.worker is None:
            return
        worker, self.worker = self.worker, None
        self.late += self.writer.under_way[:arrives]
        await worker.kill()
        if lands:
            for number in NUMBERS:
                self.brokers.land(number, acknowledge=False)
        self.brokers.sent.clear()

    async def stop(self) -> None:
        """It ends in order: what is under way is finished."""
        if self.worker is None or not self.worker.partitions.restored.is_set():
            return
        draining = asyncio.create_task(self.worker.partitions.drain())
        while not draining.done():
            for number in NUMBERS:
                self.brokers.land(number)
            await asyncio.sleep(0)
        await self.kill(arrives=5)
        self.arrive(5)

    def arrive(self, count: int = 1) -> None:
        """Inserts of a worker that is gone are carried out."""
        for _ in range(min(count, len(self.late))):
            self.late.pop(0)()

    # -- questions

    def ask(self, query: MeterQuery) -> None:
        gate = Gate()
        reader = MemoryReader(self.tables, gate.turn)
        task = asyncio.create_task(reader.query(query))
        self.questions.append((reader, gate, query, dict(self.tables.visible), task))

    def read_on(self) -> None:
        """Every question's next statement."""
        for _, gate, *_ in self.questions:
            gate.let()

    def check(self) -> None:
        """The answers that have come."""
        for question in [q for q in self.questions if q[-1].done()]:
            self.questions.remove(question)
            reader, _, query, before, task = question
            assert all(reader.visible.get(n, 0) >= at for n, at in before.items())
            self.check_answer(query, reader.visible, task.result())

    def check_answer(self, query: MeterQuery, visible: dict, found: list[ResultRow]) -> None:
        self.asked += 1
        expected = oracle.answer(self.truth(visible), query)
        assert oracle.same(found, expected), f"{visible} {query}\n{found}\n{expected}"

    def truth(self, visible: dict) -> list[oracle.Event]:
        """The events below `visible`."""
        return [event for number, at, event in self.log if at < visible.get(number, 0)]

    # -- time

    async def settle(self) -> None:
        """Whatever can go on without a step goes on."""
        for _ in range(_TICKS):
            await asyncio.sleep(0)

    async def finish(self) -> None:
        """Everything is fetched, acknowledged, learned and inserted."""
        self.start()
        self.brokers.straight = True
        self.inserting.open()
        for number in NUMBERS:
            while any(sent.partition == number for sent in self.brokers.sent):
                self.brokers.land(number)
        async with asyncio.timeout(20):
            while self.known < len(self.meters.outbox) or not self.worker.all_done():
                self.learn()
                for number in NUMBERS:
                    self.fetch(number, 50)
                await self.settle()
        while self.late:
            self.arrive()
        while self.questions:
            self.read_on()
            await self.settle()
            self.check()

    async def close(self) -> None:
        for *_, task in self.questions:
            task.cancel()
        await self.kill()
