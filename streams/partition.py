"""One source partition as its owner sees it: fold, log, apply, acknowledge, in that order and never out of it.

Chunks overlap: while one waits for its acknowledgement the next is folded over what the first will have written.
Completions are strictly in order; the first failure, wherever it happens, poisons the partition and the worker stops, to
come back through restore. Source: docs/internals.md; design of the batch protocol, steps 1-5.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from domain.errors import Refused
from schemas.changelog import Author, encode_expiry, with_marker
from schemas.position import offset_of, record_start
from schemas.state import Applied
from streams import metrics
from streams.attribution import Attribution
from streams.decoded import Decoded, Record
from streams.decoding import decode
from streams.fates import tell_chunk
from streams.folding import Folded, Folder
from streams.ports import CatalogNow, ChunkLog, Landed, LogRecord
from streams.steps import Step, StepHook
from tables.mending import to_mend
from tables.store import InvariantBroken, PartitionStore

log = logging.getLogger(__name__)

_CROWD = 2
_SMALL_EVENTS = 500

Acknowledge = Callable[[], Awaitable[object]]
FoldedHook = Callable[[int, Folded], None]

_T = TypeVar("_T")


class Chunk(NamedTuple):
    """Records of one partition as fetched: everything that the log holds from offset `start` up to the last of them."""

    start: int
    records: Sequence[Record]


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionOptions:
    """Bounds of the work on one partition."""

    namespace: str
    chunk_events_max: int = 20_000
    in_flight_chunks: int = 4
    slice_ms: float = 20.0
    row_cache_max: int = 50_000
    changelog_bytes_max: int = 14 << 20
    hand_over: bool = False
    """Records of unknown schemas go to the route agent, which can ask a registry."""


@dataclass(slots=True, eq=False)
class _Flight:
    """A folded chunk under way and what to do when it is on disk."""

    folded: Folded
    changelog_end: Awaitable[int]
    others: Sequence[Awaitable[None]]
    acknowledge: Acknowledge | None
    catalog: int
    tell_at_once: bool
    sent_at: float

    @property
    def is_empty(self) -> bool:
        """It only shows that this worker's batches count."""
        decoded = self.folded.decoded
        return decoded.first == decoded.next and not self.folded.applied


class Partition:
    """The pipeline of one partition; `submit` is called by one task at a time."""

    def __init__(
        self,
        store: PartitionStore,
        chunk_log: ChunkLog,
        *,
        partition: int,
        owner_of: Callable[[str], int],
        attribution: Attribution,
        options: PartitionOptions,
        on_applied: FoldedHook,
        on_landed: Callable[[], None] = lambda: None,
        progress: Landed | None = None,
        on_failure: Callable[[BaseException], Awaitable[None]],
        reached: StepHook,
    ) -> None:
        self.partition = partition
        self.generation = -1
        self._writer = random.getrandbits(31)
        """Names this life of the partition in the changelog: a member that comes back keeps its group's generation."""
        self.store = store
        self.closed = False
        self.draining = False
        self._log = chunk_log
        self._owner_of = owner_of
        self._attribution = attribution
        self._options = options
        self._on_applied = on_applied
        self._on_landed = on_landed
        self._progress = progress
        self._catalog = 0
        """By this version of the catalog or a newer one subjects find their customers from the folder's position on."""
        self._meters_version = -1
        self._on_failure = on_failure
        self._reached = reached
        self._folder = self._new_folder()
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

    def _new_folder(self) -> Folder:
        options = self._options
        return Folder(
            self.store,
            partition=self.partition,
            attribution=self._attribution,
            slice_ms=options.slice_ms,
            row_cache_max=options.row_cache_max,
        )

    @property
    def source_next(self) -> int:
        """The position of the first event that is not on disk yet."""
        return self.store.source_next

    @property
    def is_crowded(self) -> bool:
        """Whether small chunks wait for their acknowledgements: another small one would only wait behind them."""
        flights = self._flights
        events = sum(flight.folded.decoded.count for flight in flights)
        return len(flights) >= _CROWD and events < _SMALL_EVENTS * len(flights)

    def applied(self) -> list[Applied]:
        """Which meter versions count, or counted, from where to where, on disk: what is under way may never be."""
        return self._folder.on_disk

    # -- what is asked of it

    async def submit(self, chunk: Chunk, acknowledge: Acknowledge) -> None:
        """Fold the chunk and start what makes it durable; `acknowledge` is called when it is.

        A partition that is being given up takes nothing: its next owner reads the chunk again.
        """
        async with self._folding:
            if not self.closed and not self.draining:
                await self._or_fail(self._submit(chunk, acknowledge))

    async def apply_catalog(self, catalog: CatalogNow) -> None:
        """From the next position on go by what the catalog says now, and let others know from where (`streams/progress.py`).

        Which meters count is recorded in state and changelog. A batch goes out in any case: that it counts shows that no
        other worker had the partition when the catalog was at this version; whoever has it later reads the catalog first.
        """
        async with self._folding:
            if self._meters_version != catalog.meters_version:
                await self._landed.wait()
            if not self.closed and not self.draining:
                await self._or_fail(self._go_by(catalog))

    async def mend_changelog(self) -> None:
        """Write again what a batch that does not count has put over; before the first chunk."""
        for keys, records in to_mend(self.store):
            stamp = self.store.stamp
            batch = with_marker(
                records, self._author(), source_next=stamp.source_next, newest_ms=stamp.newest_ms
            )
            end = await self._append(batch)
            self.store.mended(keys, records=len(batch), changelog_next=end)

    async def expire(self, written: Callable[[int], Awaitable[None]]) -> None:
        """Drop the weeks that have left the dedupe window, their tombstones first, in slices between chunks.

        A week waits until the sink has `written` all that was folded before its rows stopped changing: whoever reads
        the log again for ClickHouse needs the verdicts and the rows that the week holds.
        """
        for week in self.store.expired_weeks():
            async with self.standing_still() as mine:
                if not mine:
                    return
                self._folder.shut(week)
                folded_to = self._folder.next
            await written(folded_to)
            slices = self.store.weekly_keys(week)
            more = True
            while more:
                async with self.standing_still() as mine:
                    if not mine:
                        return
                    more = bool(await self._or_fail(self._expire_slice(week, slices)))

    async def drain(self) -> None:
        """Take no more chunks and wait until those under way are on disk, or have failed."""
        self.draining = True
        async with self._folding:
            await self._landed.wait()

    async def close(self) -> None:
        """Stop; what is under way is abandoned (it is repeated by whoever comes next)."""
        self._poison()
        self._completer.cancel()
        await asyncio.gather(self._completer, return_exceptions=True)
        self.store.close()

    @asynccontextmanager
    async def standing_still(self) -> AsyncIterator[bool]:
        """Nothing is folded or under way meanwhile; False when the partition is no longer ours to write."""
        async with self._folding:
            await self._landed.wait()
            yield not self.closed and not self.draining

    # -- the chunk

    async def _go_by(self, catalog: CatalogNow) -> None:
        changed = False
        if self._meters_version != catalog.meters_version:
            changed = self._folder.activate(catalog.meters())
            self._meters_version = catalog.meters_version
        self._catalog = catalog.version
        if changed or self._progress is not None:
            at = self._folder.next
            await self._start(Decoded(at, at), None, tell_at_once=True)

    async def _submit(self, chunk: Chunk, acknowledge: Acknowledge) -> None:
        self._reached(Step.CHUNK_RECEIVED)
        folder = self._folder
        if chunk.start > offset_of(folder.next):
            raise InvariantBroken(
                f"partition {self.partition}: records from offset {chunk.start} on after {folder.next}: some were left out"
            )
        if record_start(chunk.records[-1].offset + 1) <= folder.next:
            await self._landed.wait()
            await acknowledge()
            return
        with metrics.decode_seconds.time():
            decoded = decode(
                chunk.records,
                namespace=self._options.namespace,
                partition=self.partition,
                owner_of=self._owner_of,
                not_before=folder.next,
                reads=folder.reads,
                hand_over=self._options.hand_over,
            )
        decoded.first = folder.next
        parts = list(decoded.cut(self._options.chunk_events_max))
        for part in parts:
            await self._start(part, acknowledge if part is parts[-1] else None)

    async def _start(
        self, decoded: Decoded, acknowledge: Acknowledge | None, *, tell_at_once: bool = False
    ) -> None:
        """Fold one part and send it; returns when it is queued with the producer."""
        await self._room.acquire()
        if self.closed:
            return
        with metrics.fold_seconds.time():
            folded = await self._folder.fold(decoded)
        self._reached(Step.CHUNK_FOLDED)
        if self.closed:
            return
        if folded.changelog_bytes > self._options.changelog_bytes_max:
            self._room.release()
            await self._start_smaller(decoded, acknowledge)
            return
        decoded.forget_read()
        others = []
        if folded.usage:
            others.append(_watched(await self._log.append_usage(folded.usage)))
            folded.usage = {}
        if decoded.rejected:
            sent = await self._log.append_rejected(self.partition, decoded.rejected)
            others.append(_watched(sent))
        if decoded.forwarded:
            others.append(_watched(await self._log.append_forwarded(decoded.forwarded)))
        if decoded.handed_over:
            sent = await self._log.append_raw(self.partition, decoded.handed_over)
            others.append(_watched(sent))
        records = folded.changelog(self._author())
        changelog_end = _watched(await self._log.append_changelog(self.partition, records))
        self._log_end += len(records)
        self._reached(Step.CHUNK_SENT)
        self._landed.clear()
        self._flights.append(
            _Flight(
                folded,
                changelog_end,
                others,
                acknowledge,
                self._catalog,
                tell_at_once,
                time.monotonic(),
            )
        )
        self._arrived.set()

    async def _start_smaller(self, decoded: Decoded, acknowledge: Acknowledge | None) -> None:
        """Fold again, in halves, what does not fit into one batch of the changelog; one event that does not is rejected."""
        if not decoded.count:
            raise InvariantBroken(
                "the catalog's changes do not fit into one batch of the changelog"
            )
        await self._landed.wait()
        self._folder = self._new_folder()
        if decoded.count > 1:
            parts = list(decoded.cut((decoded.count + 1) // 2))
        else:
            bound = self._options.changelog_bytes_max
            parts = [
                decoded.refused(
                    Refused(
                        "rows_too_large", f"the rows of this event have more than {bound} bytes"
                    )
                )
            ]
        for part in parts:
            await self._start(part, acknowledge if part is parts[-1] else None)

    def _author(self) -> Author:
        """Who writes the next batch of the changelog, and where it must begin."""
        return Author(
            topic_id=self.store.topic_id,
            partition=self.partition,
            generation=self._writer,
            begins_at=self._log_end,
        )

    async def _append(self, batch: Sequence[LogRecord]) -> int:
        """Append a batch while nothing is under way; the changelog offset after it."""
        end = await (await self._log.append_changelog(self.partition, batch))
        self._log_end += len(batch)
        return end

    async def _complete_in_order(self) -> None:
        while True:
            await self._arrived.wait()
            while self._flights:
                await self._or_fail(self._complete(self._flights[0]))
                if self.closed:
                    return
                self._flights.popleft()
                self._room.release()
                self._on_landed()
            self._arrived.clear()
            self._landed.set()

    async def _complete(self, flight: _Flight) -> None:
        """Steps 4 and 5: everything acknowledged by the brokers, then one write to disk, then the acknowledgement."""
        for other in flight.others:
            await other
        end = await flight.changelog_end
        self._reached(Step.CHUNK_LOGGED)
        metrics.log_seconds.observe(time.monotonic() - flight.sent_at)
        folded = flight.folded
        with metrics.apply_seconds.time():
            self._folder.apply(folded, changelog_next=end, generation=self._writer)
        self._reached(Step.CHUNK_APPLIED)
        if not flight.is_empty:
            metrics.observe_chunk(self.partition, folded, changelog_end=end, ids=self.store.ids)
            tell_chunk(self.partition, folded)
            folded.forget_written()
            self._on_applied(self.partition, folded)
        if self._progress is not None:
            self._progress.landed(
                self.partition,
                folded.decoded.next,
                catalog=flight.catalog,
                newest_ms=folded.newest_ms,
                at_once=flight.tell_at_once,
            )
        if flight.acknowledge is not None:
            await flight.acknowledge()
            self._reached(Step.CHUNK_ACKNOWLEDGED)

    # -- a week that has left the dedupe window

    async def _expire_slice(self, week: int, slices: Iterator[list[bytes]]) -> bool:
        """Log the tombstones of the next keys of `week`; when there are none left drop it. False then."""
        folder, store = self._folder, self.store
        folder.shut(week)
        keys = next(slices, None)
        if keys is None:
            store.drop_week(week)
            metrics.weeks_dropped.inc()
            self._reached(Step.EXPIRY_DROPPED)
            return False
        usage = folder.usage_tombstones(week, keys)
        if usage:
            await (await self._log.append_usage(usage))
        stamp = store.stamp
        batch = encode_expiry(
            self._author(), week, keys, source_next=stamp.source_next, newest_ms=stamp.newest_ms
        )
        end = await self._append(batch)
        self._reached(Step.EXPIRY_LOGGED)
        store.expire(records=len(batch), changelog_next=end)
        self._reached(Step.EXPIRY_APPLIED)
        return True

    # -- failing

    async def _or_fail(self, work: Awaitable[_T]) -> _T | None:
        """The result of `work`; whatever goes wrong in it is the end of this partition, and the worker stops."""
        try:
            return await work
        except asyncio.CancelledError:
            self._poison()
            raise
        except (
            Exception
        ) as error:  # a half-done chunk must not be followed by another, whatever the reason
            log.exception("a chunk failed: the worker stops", extra={"partition": self.partition})
            self._poison()
            await self._on_failure(error)
            return None

    def _poison(self) -> None:
        """Nothing more is written or acknowledged; whoever waits for something under way goes on."""
        self.closed = True
        self._landed.set()
        for _ in self._flights:
            self._room.release()


def _watched(sent: Awaitable[_T]) -> asyncio.Future[_T]:
    """`sent` under way, and no complaint when it fails after the partition has failed for another reason."""
    future = asyncio.ensure_future(sent)
    future.add_done_callback(lambda done: done.cancelled() or done.exception())
    return future
