"""One source partition as its owner sees it: fold, log, apply, acknowledge, in that order and never out of it.

Chunks overlap: while one waits for its acknowledgement the next is folded over what the first will have written.
Completions are strictly in order; the first failure poisons the partition and the worker stops, to come back through
restore. Source: docs/internals.md; design of the batch protocol, steps 1-5.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from schemas.catalog import MeterRecord
from schemas.changelog import Author, with_marker
from schemas.position import record_start
from schemas.state import Applied
from streams import metrics
from streams.decoded import Decoded, Record, decode
from streams.folding import Folded, Folder
from streams.ports import ChunkLog
from streams.steps import Step, StepHook
from tables.mending import to_mend
from tables.store import PartitionStore

log = logging.getLogger(__name__)

Acknowledge = Callable[[], Awaitable[object]]
FoldedHook = Callable[[int, Folded], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionOptions:
    """Bounds of the work on one partition."""

    namespace: str
    chunk_events_max: int = 20_000
    in_flight_chunks: int = 4
    slice_ms: float = 20.0
    row_cache_max: int = 200_000


@dataclass(slots=True, eq=False)
class _Flight:
    """A folded chunk under way and what to do when it is on disk."""

    folded: Folded
    changelog_end: Awaitable[int]
    others: list[Awaitable[None]]
    acknowledge: Acknowledge | None


class Partition:
    """The pipeline of one partition; `submit` is called by one task at a time."""

    def __init__(
        self,
        store: PartitionStore,
        chunk_log: ChunkLog,
        *,
        partition: int,
        owner_of: Callable[[str], int],
        options: PartitionOptions,
        on_applied: FoldedHook,
        on_failure: Callable[[BaseException], Awaitable[None]],
        reached: StepHook,
    ) -> None:
        self.partition = partition
        self.generation = -1
        self.store = store
        self.closed = False
        self._log = chunk_log
        self._owner_of = owner_of
        self._options = options
        self._on_applied = on_applied
        self._on_failure = on_failure
        self._reached = reached
        self._folder = Folder(store, slice_ms=options.slice_ms, row_cache_max=options.row_cache_max)
        self._log_end = store.changelog_next
        self._flights: deque[_Flight] = deque()
        self._room = asyncio.Semaphore(options.in_flight_chunks)
        self._folding = asyncio.Lock()
        self._arrived = asyncio.Event()
        self._landed = asyncio.Event()
        self._landed.set()
        self._completer = asyncio.create_task(
            self._complete_in_order(), name=f"complete-{partition}"
        )

    @property
    def source_next(self) -> int:
        """The position of the first event that is not on disk yet."""
        return self.store.source_next

    def applied(self) -> list[Applied]:
        """Which meter versions count, or counted, from where to where."""
        return self._folder.applied

    async def submit(self, records: Sequence[Record], acknowledge: Acknowledge) -> None:
        """Fold the records and start what makes them durable; `acknowledge` is called when they are."""
        async with self._folding:
            self._reached(Step.CHUNK_RECEIVED)
            folder = self._folder
            if record_start(records[-1].offset + 1) <= folder.next:
                await self._enqueue_ack_only(acknowledge)
                return
            decoded = decode(
                records,
                namespace=self._options.namespace,
                partition=self.partition,
                owner_of=self._owner_of,
                not_before=folder.next,
            )
            parts = list(decoded.cut(self._options.chunk_events_max))
            for part in parts:
                await self._start(part, acknowledge if part is parts[-1] else None)

    async def apply_catalog(self, live: Sequence[MeterRecord]) -> None:
        """Make `live` the meters that count from the next position on; recorded in state and changelog."""
        async with self._folding:
            await self.landed()
            if self.closed or not self._folder.activate(live):
                return
            at = self._folder.next
            await self._start(Decoded(at, at), None)

    async def mend_changelog(self) -> None:
        """Write again what a batch that does not count has put over; before the first chunk."""
        for keys, records in to_mend(self.store):
            stamp = self.store.stamp
            batch = with_marker(
                records, self._author(), source_next=stamp.source_next, newest_ms=stamp.newest_ms
            )
            end = await (await self._log.append_changelog(self.partition, batch))
            self._log_end += len(batch)
            self.store.mended(keys, records=len(batch), changelog_next=end)

    async def landed(self) -> None:
        """Wait until nothing is under way."""
        await self._landed.wait()

    async def close(self) -> None:
        """Stop; what is under way is abandoned (it is repeated by whoever comes next)."""
        self.closed = True
        self._completer.cancel()
        await asyncio.gather(self._completer, return_exceptions=True)
        self.store.close()

    async def _enqueue_ack_only(self, acknowledge: Acknowledge) -> None:
        await self.landed()
        await acknowledge()

    async def _start(self, decoded: Decoded, acknowledge: Acknowledge | None) -> None:
        """Fold one part and send it; returns when it is queued with the producer."""
        await self._room.acquire()
        if self.closed:
            return
        with metrics.fold_seconds.time():
            folded = await self._folder.fold(decoded)
        self._reached(Step.CHUNK_FOLDED)
        if self.closed:
            return
        others = []
        if folded.usage:
            others.append(await self._log.append_usage(self.partition, folded.usage))
        if decoded.rejected:
            others.append(await self._log.append_rejected(self.partition, decoded.rejected))
        if decoded.forwarded:
            others.append(await self._log.append_forwarded(decoded.forwarded))
        records = folded.changelog(self._author())
        changelog_end = await self._log.append_changelog(self.partition, records)
        self._log_end += len(records)
        self._reached(Step.CHUNK_SENT)
        self._landed.clear()
        self._flights.append(_Flight(folded, changelog_end, others, acknowledge))
        self._arrived.set()

    def _author(self) -> Author:
        """Who writes the next batch of the changelog, and where it must begin."""
        return Author(
            topic_id=self.store.topic_id,
            partition=self.partition,
            generation=self.generation,
            begins_at=self._log_end,
        )

    async def _complete_in_order(self) -> None:
        try:
            while True:
                await self._arrived.wait()
                while self._flights:
                    await self._complete(self._flights[0])
                    self._flights.popleft()
                    self._room.release()
                self._arrived.clear()
                self._landed.set()
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            log.exception("a chunk failed: the worker stops", extra={"partition": self.partition})
            self.closed = True
            await self._on_failure(error)
            raise

    async def _complete(self, flight: _Flight) -> None:
        """Steps 4 and 5: everything acknowledged by the brokers, then one write to disk, then the acknowledgement."""
        for other in flight.others:
            await other
        end = await flight.changelog_end
        self._reached(Step.CHUNK_LOGGED)
        folded = flight.folded
        with metrics.apply_seconds.time():
            self._folder.apply(folded, changelog_next=end, generation=self.generation)
        self._reached(Step.CHUNK_APPLIED)
        metrics.observe_chunk(self.partition, folded)
        self._on_applied(self.partition, folded)
        if flight.acknowledge is not None:
            await flight.acknowledge()
            self._reached(Step.CHUNK_ACKNOWLEDGED)
