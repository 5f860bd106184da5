"""A partition on a real store with a log that only remembers."""

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field
from itertools import count

from schemas import changelog
from streams.attribution import Attribution, NoCustomers
from streams.partition import Chunk, Partition, PartitionOptions
from streams.steps import unwatched
from tables.catalog import Moved
from tables.store import PartitionStore, SharedMemory, StoreOptions


@dataclass(frozen=True)
class ARecord:
    offset: int
    value: bytes | None
    timestamp: int = 1_790_000_000_000
    key: bytes | None = None
    headers: tuple[tuple[str, bytes | None], ...] = ()


def a_chunk(
    *values: bytes | None, at: int = 0, start: int | None = None, timestamp=1_790_000_000_000
):
    records = [ARecord(at + i, value, timestamp) for i, value in enumerate(values)]
    return Chunk(at if start is None else start, records)


_versions = count(1)


@dataclass(frozen=True)
class CatalogSays:
    """A catalog with these meters, newer than every one before it."""

    found: list
    version: int = field(default_factory=lambda: next(_versions))

    @property
    def meters_version(self):
        return self.version

    def meters(self):
        return self.found


@dataclass
class FakeLog:
    """Acknowledges when `gate` is open; fails when told to."""

    changelog: list = field(default_factory=list)
    batches: list = field(default_factory=list)
    usage: dict = field(default_factory=dict)
    usage_of: dict = field(default_factory=lambda: defaultdict(dict))
    """The newest value of each key in each partition of the usage topic."""
    usage_batches: list = field(default_factory=list)
    told: list = field(default_factory=list)
    """Everything that the usage topic was given, in order: rows and progress, by partition."""
    rejected: list = field(default_factory=list)
    forwarded: list = field(default_factory=list)
    raw: list = field(default_factory=list)
    fails: BaseException | None = None
    refuses: BaseException | None = None
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    raw_gate: asyncio.Event = field(default_factory=asyncio.Event)
    """What the raw topic waits for beside `gate`."""

    def __post_init__(self):
        self.gate.set()
        self.raw_gate.set()

    async def append_changelog(self, partition, records):
        self.batches.append(list(records))
        self.changelog += records
        return self._acknowledged(len(self.changelog))

    async def append_usage(self, rows):
        if self.refuses:
            raise self.refuses
        self.told.append({number: list(records) for number, records in rows.items()})
        for number, records in rows.items():
            self.usage.update(records)
            self.usage_of[number].update(records)
            self.usage_batches.append(dict(records))
        return self._acknowledged(None)

    async def append_progress(self, records):
        if self.refuses:
            raise self.refuses
        self.told.append({number: list(found) for number, found in records.items()})

    async def append_rejected(self, partition, events):
        self.rejected += events
        return self._acknowledged(None)

    async def append_forwarded(self, events):
        self.forwarded += events
        return self._acknowledged(None)

    async def append_raw(self, partition, records):
        self.raw += records
        return self._acknowledged_raw()

    async def _acknowledged_raw(self):
        await self.raw_gate.wait()
        await self._acknowledged(None)

    async def _acknowledged(self, result):
        await self.gate.wait()
        if self.fails:
            raise self.fails
        return result

    def live_keys(self) -> set[bytes]:
        newest = dict(self.changelog)
        return {
            key for key, value in newest.items() if value is not None and key != changelog.MARKER
        }


class Owned:
    """A partition with what it told: acknowledgements, failures, what the sink would get."""

    def __init__(
        self,
        path,
        log: FakeLog,
        *,
        window_ms: int = 32 * 86_400_000,
        reached=unwatched,
        attribution=None,
        progress=None,
        **options,
    ):
        self.failures: list[BaseException] = []
        self.acknowledged: list[int] = []
        self.folded = []
        store_options = StoreOptions(window_ms=window_ms)
        self.store = PartitionStore(path, SharedMemory(store_options), store_options)
        self.store.claim("topic", 0)
        self.partition = Partition(
            self.store,
            log,
            partition=0,
            owner_of=lambda subject: 0,
            attribution=attribution or Attribution(NoCustomers(), 1),
            progress=progress,
            options=PartitionOptions(namespace="default", **options),
            on_applied=lambda number, folded: self.folded.append(folded),
            on_failure=self._fail,
            reached=reached,
        )

    async def _fail(self, error):
        self.failures.append(error)

    async def submit(self, chunk):
        async def acknowledge():
            self.acknowledged.append(chunk.records[-1].offset)

        await self.partition.submit(chunk, acknowledge)

    async def settle(self):
        async with self.partition.standing_still():
            pass


class FakeCustomers:
    """Whose each subject is, as the catalog says now."""

    def __init__(self, **owners):
        self.owners, self.asked, self._calls = owners, [], []

    @property
    def has_customers(self):
        return bool(self.owners)

    def customers_of(self, subjects):
        self.asked += subjects
        return [self.owners.get(subject) for subject in subjects]

    def on_moved(self, call):
        self._calls.append(call)

    def move(self, subject, to):
        before, self.owners[subject] = self.owners.get(subject), to
        for call in self._calls:
            call([Moved(subject, before, to)])
