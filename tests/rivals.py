"""One partition's source log, its changelog, and any number of workers that all believe they own it.

Nothing here fences anybody: the changelog alone must decide. Compaction keeps the newest record of a key, as Kafka's does,
but not past a left-out batch that nobody has mended yet (the product sets `min.compaction.lag.ms` for that).
"""

import asyncio
import shutil
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import msgspec

from schemas import changelog
from schemas.changelog import Author
from schemas.position import offset_of, record_start
from schemas.state import decode_marker
from streams.attribution import Attribution, NoCustomers
from streams.decoded import Decoded
from streams.decoding import NOTHING_READ, decode
from streams.folding import Folded, Folder
from tables.mending import to_mend
from tables.restore import Restorer
from tables.store import InvariantBroken, PartitionStore, SharedMemory, StoreOptions
from tests.builders import NOON

NAMESPACE, PARTITION, TOPIC_ID = "default", 0, "topic-1"
ELSEWHERE = "subject of another partition"
MEMORY = SharedMemory(StoreOptions(block_cache_bytes=8 << 20, write_buffer_bytes=8 << 20))
NO_EXPIRY = StoreOptions(window_ms=10**15)


@dataclass
class Changelog:
    """A compacted topic's partition."""

    records: list[tuple[bytes, bytes | None, int]] = field(default_factory=list)
    end: int = 0
    hidden: dict[bytes, int] = field(default_factory=dict)
    """Keys whose newest record does not count, and since which offset."""
    left_out: int = 0

    def append(self, batch) -> int:
        """Append a batch; the offset after it."""
        counts = decode_marker(batch[-1][1]).begins_at == self.end
        self.left_out += not counts
        for key, value in batch:
            if counts:
                self.hidden.pop(key, None)
            else:
                self.hidden.setdefault(key, self.end)
            self.records.append((key, value, self.end))
            self.end += 1
        return self.end

    def compact(self, upto: int) -> None:
        """Keep only the newest record of each key below `upto`."""
        upto = min([upto, *self.hidden.values()])
        newest = {key: offset for key, _, offset in self.records if offset < upto}
        self.records = [r for r in self.records if r[2] >= upto or newest[r[0]] == r[2]]


@dataclass
class Flight:
    """A folded chunk: not sent, or sent and ending at `end`."""

    folded: Folded
    batch: list
    end: int | None = None


class Dead(Exception):
    """The worker stopped itself."""


class Worker:
    """What streams/partition.py and partitions.py do, one step at a time."""

    def __init__(self, world: "World", path: Path, generation: int) -> None:
        self.world, self.path, self.generation = world, path, generation
        self.store = PartitionStore(path, MEMORY, NO_EXPIRY)
        self.flights: deque[Flight] = deque()
        self.log_end = 0
        self.folder = None

    def start(self, list_sizes, stop_after: int | None) -> None:
        """Restore, mend, be ready. Dead after `stop_after` lists or mending batches, if there are so many."""
        log = self.world.changelog
        restorer, sizes = Restorer(self.store), iter(list_sizes)
        records = [r for r in log.records if r[2] >= self.store.changelog_next]
        while records:
            size = next(sizes, len(records))
            part, records = records[:size], records[size:]
            stop_after = self._nearer(stop_after)
            restorer.feed(part, part[-1][2] + 1 if records else log.end)
        self.store.claim(TOPIC_ID, PARTITION)
        self.log_end = self.store.changelog_next
        assert self.log_end == log.end
        for keys, records in to_mend(self.store):
            stamp = self.store.stamp
            batch = changelog.with_marker(
                records, self._author(), source_next=stamp.source_next, newest_ms=stamp.newest_ms
            )
            self.log_end += len(batch)
            end = log.append(batch)
            stop_after = self._nearer(stop_after)
            self.store.mended(keys, records=len(batch), changelog_next=end)
        self.folder = Folder(
            self.store,
            partition=0,
            attribution=Attribution(NoCustomers(), 1),
            slice_ms=1000,
            row_cache_max=self.world.row_cache_max,
        )

    def _nearer(self, stop_after: int | None) -> int | None:
        if stop_after == 0:
            raise Dead
        return None if stop_after is None else stop_after - 1

    def _author(self) -> Author:
        return Author(
            topic_id=TOPIC_ID,
            partition=PARTITION,
            generation=self.generation,
            begins_at=self.log_end,
        )

    def fold(self, records: int, cut: int) -> None:
        """Fold the next records, in parts of `cut` events; nothing is sent yet."""
        start = offset_of(self.folder.next)
        source = [r for r in self.world.source if r.offset >= start][:records]
        if source:
            for part in self.world.decode(source, self.folder.next, self.folder.reads).cut(cut):
                self._fold(part)

    def activate(self, meters) -> None:
        """These meters count from here on, others are deleted; as the product does, only when nothing is under way."""
        known = {meter.id for meter in meters}
        gone = [
            msgspec.structs.replace(a.meter, deleted_at=NOON)
            for a in self.store.applied()
            if a.meter.id not in known
        ]
        if not self.flights and self.folder.activate([*meters, *gone]):
            self._fold(Decoded(self.folder.next, self.folder.next))

    def _fold(self, decoded: Decoded) -> None:
        folded = asyncio.run(self.folder.fold(decoded))
        batch = folded.changelog(self._author())
        self.log_end += len(batch)
        self.flights.append(Flight(folded, batch))

    def send(self) -> None:
        """The oldest chunk that is not sent reaches the changelog."""
        for flight in self.flights:
            if flight.end is None:
                flight.end = self.world.changelog.append(flight.batch)
                return

    def apply(self) -> None:
        """The oldest chunk is acknowledged: write it to disk. Dead when somebody else wrote in between."""
        if self.flights and self.flights[0].end is not None:
            flight = self.flights.popleft()
            try:
                self.folder.apply(
                    flight.folded, changelog_next=flight.end, generation=self.generation
                )
            except InvariantBroken as error:
                raise Dead from error

    def unsent(self) -> list:
        return [flight.batch for flight in self.flights if flight.end is None]


class World:
    """The log, the changelog and the workers."""

    def __init__(self, directory: Path, source, *, row_cache_max: int = 10_000) -> None:
        self.directory, self.source, self.row_cache_max = directory, source, row_cache_max
        self.changelog = Changelog()
        self.workers: dict[str, Worker] = {}
        self.late: list = []
        """Batches of dead workers that may still arrive."""
        self.deaths = 0
        self._made = 0

    def decode(self, records, not_before=0, reads=NOTHING_READ) -> Decoded:
        return decode(
            records,
            namespace=NAMESPACE,
            partition=PARTITION,
            owner_of=lambda subject: PARTITION + (subject == ELSEWHERE),
            not_before=not_before,
            reads=reads,
        )

    def start(
        self, name: str, list_sizes=(), *, lose_disk: bool = False, stop_after: int | None = None
    ) -> None:
        """Start the worker `name` on the disk it left, or on an empty one."""
        if name in self.workers:
            return
        self._made += 1
        path = self.directory / name
        if lose_disk:
            shutil.rmtree(path, ignore_errors=True)
        worker = Worker(self, path, self._made)
        self.workers[name] = worker
        try:
            worker.start(list_sizes, stop_after)
        except Dead:
            self.kill(name)

    def kill(self, name: str) -> None:
        """Stop the worker `name` where it is: what it has written is on its disk, what it has not sent may still arrive.

        A store that is closed and one whose process was killed hold the same (tests/property/test_state_kill.py).
        """
        worker = self.workers.pop(name, None)
        if worker is not None:
            self.late += worker.unsent()
            worker.store.close()

    def step(self, name: str, what: str, *arguments) -> None:
        """Let a worker do something; it may find that it has to stop."""
        worker = self.workers.get(name)
        if worker is None:
            return
        try:
            getattr(worker, what)(*arguments)
        except Dead:
            self.deaths += 1
            self.kill(name)

    def arrive(self) -> None:
        """The oldest batch of a dead worker reaches the changelog."""
        if self.late:
            self.changelog.append(self.late.pop(0))

    def finish(self, meters=None) -> Worker:
        """A worker that nobody disturbs, on an empty disk, up to the end of the log.

        Before it, another one mends what there is to mend, and everything is compacted.
        """
        for name in list(self.workers):
            self.kill(name)
        self.start("A", (5,) * 50)
        self.kill("A")
        self.changelog.compact(self.changelog.end)
        self.start("last", (7,) * 50)
        worker = self.workers["last"]
        if meters is not None:
            worker.activate(meters)
        while worker.flights or worker.folder.next < record_start(self.source[-1].offset + 1):
            if not worker.flights:
                worker.fold(50, 20)
            worker.send()
            worker.apply()
        return worker

    def close(self) -> None:
        for worker in self.workers.values():
            worker.store.close()


def a_record(offset: int, timestamp: int, value: bytes, key: bytes | None = None):
    """A Kafka record."""
    return SimpleNamespace(offset=offset, timestamp=timestamp, key=key, value=value, headers=())
