"""The source partitions this worker owns: opened, restored, folded and given up as the group decides."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from faust.types import TP

from schemas.partitioner import partition_of
from schemas.position import offset_of, record_start
from streams import metrics
from streams.attribution import Attribution, NoCustomers
from streams.folding import Folded
from streams.partition import Chunk, Partition, PartitionOptions
from streams.ports import CatalogNow, ChunkLog, PartitionReader
from streams.progress import ProgressTeller
from streams.sink import Sink
from streams.steps import Step, StepHook
from tables.restore import Restorer
from tables.store import InvariantBroken, PartitionStore, StateCorrupt

if TYPE_CHECKING:
    from streams.app import App

log = logging.getLogger(__name__)

_REMEMBERED_LENGTH_MAX = 200
_CROWDED_S_MAX = 0.1
_SMALL_BYTES = 64 << 10
_BACKLOG_BYTES = 512 << 10
"""About 2,000 events."""


class StateDoesNotFit(Exception):
    """The state and the log contradict each other: going on would lose or repeat events. Says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Topics:
    """The names of the topics the meter agent lives on, and how many partitions the keyed ones have."""

    events: str
    changelog: str
    partitions: int


class Owners(dict[str, int]):
    """Which partition a subject belongs to, remembered for the subjects seen lately: a dict, so that asking is one lookup."""

    def __init__(self, partitions: int, remembered_max: int = 500_000) -> None:
        super().__init__()
        self._partitions = partitions
        self._max = remembered_max
        self.of: Callable[[str], int] = self.__getitem__
        """The partition of a subject (murmur2 over its UTF-8 bytes)."""

    def __missing__(self, subject: str) -> int:
        owner = partition_of(subject.encode(), self._partitions)
        if len(subject) <= _REMEMBERED_LENGTH_MAX:
            if len(self) >= self._max:
                self.clear()
            self[subject] = owner
        return owner


class Partitions:
    """Owned partitions by number, and the doors that consumer, recovery and agent use."""

    def __init__(
        self,
        *,
        topics: Topics,
        open_store: Callable[[int], PartitionStore],
        destroy_store: Callable[[int], None],
        chunk_log: ChunkLog,
        reader: PartitionReader,
        catalog: CatalogNow,
        options: PartitionOptions,
        buffer_bytes_max: int,
        sink: Sink | None,
        reached: StepHook,
        attribution: Attribution | None = None,
        progress: ProgressTeller | None = None,
        catalog_caught_up: Callable[[], Awaitable[None]] | None = None,
        on_owned: Callable[[Sequence[int], int], None] = lambda numbers, generation: None,
        pace_s: float = 0.0,
    ) -> None:
        """`catalog_caught_up` returns when all that the catalog's topic holds has been applied.

        `on_owned` is told what the group has given this worker, by which of its generations, once all of it is restored.
        """
        self.owned: dict[int, Partition] = {}
        self.restored = asyncio.Event()
        self._pace_s = pace_s
        self._fetched_at = 0.0
        self._eased = asyncio.Event()
        self._topics = topics
        self._open_store = open_store
        self._destroy_store = destroy_store
        self._log = chunk_log
        self._reader = reader
        self._catalog = catalog
        self._options = options
        self._sink = sink
        self._reached = reached
        self._on_owned = on_owned
        self._owners = Owners(topics.partitions)
        self._attribution = attribution or Attribution(NoCustomers(), topics.partitions)
        self._progress = progress
        self._catalog_caught_up = catalog_caught_up
        self._buffer_bytes_max = buffer_bytes_max
        self._buffered_bytes = 0
        self._room = asyncio.Event()
        self._room.set()
        self._app: App | None = None
        self._expiring: dict[int, asyncio.Task[None]] = {}

    def attach(self, app: App) -> None:
        """Remember the app: a failed partition crashes it."""
        self._app = app

    # -- the consumer's doors

    def unread(self, tp: TP, records: list[Any]) -> list[Any]:
        """The records at or after what the partition's state has; all of them on other topics."""
        owned = self.owned.get(tp.partition) if tp.topic == self._topics.events else None
        if owned is None or not records or record_start(records[0].offset + 1) > owned.source_next:
            return records
        return [record for record in records if record_start(record.offset + 1) > owned.source_next]

    def next_positions(self) -> dict[TP, int]:
        """Where reading goes on, for each restored partition."""
        return {
            TP(self._topics.events, number): owned.source_next
            for number, owned in self.owned.items()
        }

    def source_next(self, tp: TP) -> int | None:
        """The position of the first event of `tp` that is not on disk yet, None when `tp` is not owned."""
        owned = self.owned.get(tp.partition) if tp.topic == self._topics.events else None
        return None if owned is None else owned.source_next

    @property
    def backlogged(self) -> bool:
        """Whether events wait to be folded, more than come in live."""
        return self._buffered_bytes > _BACKLOG_BYTES

    def read_whole_at(self, number: int) -> int | None:
        """When (Unix milliseconds) everything in the log of partition `number` was on disk; None while something is left."""
        owned = self.owned.get(number)
        if owned is None or owned.closed or self._app is None:
            return None
        tp = TP(self._topics.events, number)
        return cast(
            "int | None", self._app.consumer.read_whole_at(tp, offset_of(owned.source_next))
        )

    async def wait_for_room(self, size: int) -> None:
        """Wait until `size` more bytes may wait in the stream's buffer."""
        while self._buffered_bytes and self._buffered_bytes + size > self._buffer_bytes_max:
            self._room.clear()
            await self._room.wait()
        self._buffer(self._buffered_bytes + size)

    def _buffer(self, size: int) -> None:
        self._buffered_bytes = max(0, size)
        self._room.set()
        self._eased.set()
        metrics.buffered_bytes.set(self._buffered_bytes)

    async def pace(self) -> None:
        """Wait before the next fetch until another chunk would be of use.

        A chunk costs about a millisecond and a round trip, however few events it has. So a few milliseconds pass between two
        fetches, and while small chunks wait for their acknowledgements what comes is left to be one chunk later.
        """
        rest = self._fetched_at + self._pace_s - time.monotonic()
        if rest > 0:
            await asyncio.sleep(rest)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CROWDED_S_MAX):
                while self._is_crowded():
                    self._eased.clear()
                    await self._eased.wait()
        self._fetched_at = time.monotonic()

    def _is_crowded(self) -> bool:
        waiting = 0 < self._buffered_bytes < _SMALL_BYTES
        return self._pace_s > 0 and (waiting or any(o.is_crowded for o in self.owned.values()))

    async def drain(self) -> None:
        """Take no more chunks and wait until none is under way; called before partitions are given up."""
        self.restored.clear()
        self._buffer(0)
        await asyncio.gather(*(owned.drain() for owned in self.owned.values()))

    # -- the agent's door

    async def submit(self, event: Any, acknowledge: Callable[[Any], Awaitable[object]]) -> None:
        """Give a chunk to its partition, unless the partition is another worker's by now."""
        message = event.message
        chunk: Chunk = event.value
        self._buffer(self._buffered_bytes - message.serialized_value_size)
        owned = self.owned.get(message.partition)
        if owned is None or owned.generation != message.generation_id:
            log.info("chunk of an older generation dropped", extra={"partition": message.partition})
            return
        try:
            await self._refuse_what_would_be_lost(owned, chunk)
        except (StateDoesNotFit, InvariantBroken) as error:
            await self._crash(error)
            return
        await owned.submit(chunk, lambda: acknowledge(event))

    async def _refuse_what_would_be_lost(self, owned: Partition, chunk: Chunk) -> None:
        number = owned.partition
        if owned.closed and self.restored.is_set():
            raise InvariantBroken(f"partition {number} has failed: nobody takes its chunks")
        if chunk.records[0].offset > chunk.start:
            # Offsets without records are markers of transactions, unless the log was cut off before they were read.
            first, _ = await self._reader.bounds(self._topics.events, number)
            if first > chunk.start:
                raise StateDoesNotFit(self._deleted_too_early(number, chunk.start, first))

    async def apply_catalog(self) -> None:
        """Let every owned partition go by what the catalog says now."""
        await asyncio.gather(
            *(owned.apply_catalog(self._catalog) for owned in list(self.owned.values()))
        )

    # -- recovery's door

    async def restore(self, assignment: Iterable[TP], generation: int) -> None:
        """Own exactly `assignment`: give up the rest, bring every state up to the end of its changelog."""
        mine = sorted(tp.partition for tp in assignment if tp.topic == self._topics.events)
        await self._stop_expiring()
        if self._sink is not None:
            await self._sink.give_up()
        for number, owned in self.owned.items():
            await owned.close()
            if number not in mine:
                metrics.forget_partition(number)
        self.owned.clear()
        self._buffer(0)
        if self._progress is not None:
            self._progress.keep_only(())
        for number in mine:
            await self._restore_one(number, generation)
        if self._catalog_caught_up is not None:
            # After the changelogs: what a former owner has told of the catalog was in its topic before (streams/progress.py).
            await self._catalog_caught_up()
        metrics.partitions_owned.set(len(mine))
        self.restored.set()  # from here on a catalog change is applied when it comes; those before it, now
        self._on_owned(mine, generation)
        await self.apply_catalog()
        if self._sink is not None:
            await self._sink.own([self.owned[number] for number in mine])

    async def close(self) -> None:
        """Give up everything."""
        self.restored.clear()
        await self._stop_expiring()
        for owned in self.owned.values():
            await owned.close()
        self.owned.clear()

    async def _restore_one(self, number: int, generation: int) -> None:
        self._reached(Step.RESTORE_STARTED)
        store = self._open(number)
        try:
            with metrics.restore_seconds.time():
                await self._replay_changelog(store, number)
            await self._check_against_log(store, number)
        except BaseException:
            store.close()
            raise
        partition = Partition(
            store,
            self._log,
            partition=number,
            owner_of=self._owners.of,
            attribution=self._attribution,
            progress=self._progress,
            options=self._options,
            on_applied=self._on_applied,
            on_landed=self._eased.set,
            on_failure=self._crash,
            reached=self._reached,
        )
        partition.generation = generation
        self.owned[number] = partition
        await partition.mend_changelog()
        metrics.restores.inc()
        self._reached(Step.RESTORE_DONE)
        log.info(
            "partition restored", extra={"partition": number, "source_next": store.source_next}
        )

    def _open(self, number: int) -> PartitionStore:
        try:
            return self._open_store(number)
        except StateCorrupt:
            log.exception(
                "state unreadable: deleted, to be restored from the changelog",
                extra={"partition": number},
            )
            self._destroy_store(number)
            return self._open_store(number)

    async def _replay_changelog(self, store: PartitionStore, number: int) -> None:
        _, end = await self._reader.bounds(self._topics.changelog, number)
        start = store.changelog_next
        if start > end:
            raise StateDoesNotFit(
                f"partition {number}: the state was written up to changelog offset {start}, but {self._topics.changelog} ends "
                f"at {end}: the topic was made anew or restored from a backup. Delete the state directory to rebuild from it."
            )
        restorer = Restorer(store)
        rows = 0
        async for records, position in self._reader.read(
            self._topics.changelog, number, start, end
        ):
            rows += len(records)
            restorer.feed([(r.key or b"", r.value, r.offset) for r in records], position)
            metrics.restore_remaining.labels(str(number)).set(end - position)
            metrics.restored_rows.inc(len(records))
            self._reached(Step.RESTORE_LIST_APPLIED)
            await asyncio.sleep(0)
        log.info("changelog replayed", extra={"partition": number, "records": rows, "end": end})

    async def _check_against_log(self, store: PartitionStore, number: int) -> None:
        """The log must still hold the next event, or have ended exactly there."""
        topic_id = await self._reader.topic_id(self._topics.events)
        store.claim(topic_id, number)
        first, end = await self._reader.bounds(self._topics.events, number)
        wanted = offset_of(store.source_next)
        if store.source_next == 0:
            store.begin_at(record_start(first))
        elif wanted < first:
            raise StateDoesNotFit(self._deleted_too_early(number, wanted, first))
        elif wanted > end:
            raise StateDoesNotFit(
                f"partition {number}: offset {wanted} of {self._topics.events} is next, but the log ends at {end}: "
                "the topic was made anew. Use the topic's own state, or delete the state and its changelog."
            )

    def _deleted_too_early(self, number: int, wanted: int, first: int) -> str:
        return (
            f"partition {number}: offset {wanted} of {self._topics.events} is next, but the log begins at {first}: "
            "events were deleted before they were counted. Raise the topic's retention, then rebuild from a backup."
        )

    # -- after a chunk

    def _on_applied(self, number: int, folded: Folded) -> None:
        if self._sink is not None:
            self._sink.take(number, folded)
        owned = self.owned[number]
        if number in self._expiring or not owned.store.expired_weeks():
            return
        if self._sink is None or self._sink.has_caught_up(number):
            task = asyncio.create_task(owned.expire(self._written(number)), name=f"expire-{number}")
            self._expiring[number] = task
            task.add_done_callback(lambda _: self._expiring.pop(number, None))

    def _written(self, number: int) -> Callable[[int], Awaitable[None]]:
        """What waits until the sink has written partition `number` up to a position."""
        sink = self._sink
        return _at_once if sink is None else lambda position: sink.written(number, position)

    async def _stop_expiring(self) -> None:
        tasks = list(self._expiring.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _crash(self, error: BaseException) -> None:
        if self._app is not None:
            await self._app.crash(error)


async def _at_once(position: int) -> None:
    """Without a sink nobody reads the log again."""
