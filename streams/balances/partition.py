"""The running balances of one balance partition, as owner or standby: fed with usage records, asked for values.

Everything is done in one thread. History is read beside the rest (`loading.py`) and never holds it up.
Source: metering §6.11; docs/decisions/0160; stored formats: docs/internals.md, "Balances".
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice

import msgspec

from domain.errors import Refused
from domain.metering.ulid import ulid_text
from schemas import balance_state as stored
from schemas.balance_state import BalanceStamp, ProgressWire
from schemas.balances import Answer, Question
from schemas.catalog import CatalogRecord, CustomerRecord, EntitlementRecord
from schemas.partitioner import partition_of
from schemas.usage_records import Progress, is_progress, is_unique, progress_in
from streams.balances import metrics
from streams.balances.accounts import Accounts, minute_of
from streams.balances.answers import Answers
from streams.balances.beginning import Beginning
from streams.balances.kept import Kept
from streams.balances.loading import Loader
from streams.balances.options import BalanceOptions
from streams.balances.ports import CatalogView, Held, History, Now
from streams.balances.rows import Rows
from streams.steps import Step, StepHook, unwatched
from tables.balances import BalanceStore
from tables.catalog import Moved

__all__ = ["BalanceOptions", "BalancePartition"]

_SLICE_TIMERS = 200
_SLICE_ENTITIES = 100
_SLICE_USELESS = 2_000
_CHANGES_MAX = 50_000
"""Entities whose change waits to be worked in; past it all accounts are gone through."""


class BalancePartition:
    """One balance partition. `take` and `answer` may be called between any two steps of `work`, which is called by one task."""

    def __init__(
        self,
        store: BalanceStore,
        catalog: CatalogView,
        history: History,
        *,
        number: int,
        now: Now,
        options: BalanceOptions,
        held: Held | None = None,
        reached: StepHook = unwatched,
    ) -> None:
        self.number = number
        self.changed: Callable[[Sequence[str]], None] | None = None
        """Told the ids of entitlements whose values changed in a batch, after it is on disk."""
        self._store = store
        self._catalog = catalog
        self._now = now
        self._options = options
        self._reached = reached
        stamp = store.stamp()
        assert stamp is not None  # `open_balances` writes one
        self._stamp: BalanceStamp = stamp
        self._progress = self._known_progress()
        self._accounts = Accounts(store, catalog, now, options)
        self._rows = Rows(store, catalog, self._accounts, number=number, now=now, options=options)
        self._beginning = Beginning(store, self._accounts)
        self._loader = Loader(
            store, self._accounts, history, self._progress, number=number, options=options
        )
        self._answers = Answers(
            store,
            catalog,
            self._accounts,
            self._progress,
            number=number,
            partitions=options.partitions,
            held=held,
        )
        self._waiting: dict[bytes, bytes] = {}
        self._waiting_progress: dict[int, tuple[Progress, int]] = {}
        self._waiting_bytes = 0
        self._accounts.taken_offset = stamp.next_offset or 0
        self._next_offset = stamp.next_offset
        self._changes: dict[tuple[str, str], None] = {}
        self._sweep: Iterator[str] | None = None
        if stamp.catalog != catalog.version or stamp.next_offset is None:
            self._sweep = catalog.customers_in(number)
        catalog.on_moved(self._subjects_moved)
        catalog.on_change(self._catalog_changed)
        self._closed = False

    def _known_progress(self) -> dict[int, ProgressWire]:
        end = stored.after(stored.PROGRESS)
        return {
            stored.partition_in(key): stored.decode_progress(raw)
            for key, raw in self._store.items(stored.PROGRESS, end)
        }

    # -- what comes in

    @property
    def next_offset(self) -> int | None:
        """Where to read the usage topic on from; None = begin at its end, then call `began_at`."""
        return self._next_offset

    @property
    def as_of_ms(self) -> int:
        """Events of all source partitions appended up to then are counted; 0 = not known yet."""
        if len(self._progress) < self._options.partitions:
            return 0
        return min(one.as_of_ms for one in self._progress.values())

    @property
    def source_next(self) -> Mapping[int, int]:
        """By source partition, the position below which every event is in what `answer` says: confirmed holds wait for it."""
        return {number: told.source_next for number, told in self._progress.items()}

    @property
    def waiting_bytes(self) -> int:
        """Of records that were taken and wait for `work`: who feeds stops at a bound."""
        return self._waiting_bytes

    def began_at(self, offset: int) -> None:
        """The usage topic is read from `offset` on: its end when a state begins."""
        self._next_offset = self._accounts.taken_offset = offset
        self._accounts.flush(self._stamped(offset))

    def take(self, records: Sequence[tuple[bytes, bytes | None]], next_offset: int) -> None:
        """Records of the usage topic, in order; the next one has `next_offset`. The newest of each key waits for `work`."""
        waiting = self._waiting
        for key, value in records:
            if value is None:
                continue
            if is_progress(key):
                progress = progress_in(value)
                if progress is not None:
                    self._waiting_progress[progress.partition] = (progress, next_offset)
                continue
            known = waiting.get(key)
            if known is None:
                self._waiting_bytes += len(key) + len(value)
            elif not is_unique(key):
                if not _is_newer(value, known):
                    continue
                self._waiting_bytes += len(value) - len(known)
            waiting[key] = value
        self._next_offset = self._accounts.taken_offset = next_offset

    def _subjects_moved(self, moved: Sequence[Moved]) -> None:
        """Called by the catalog when subjects have other customers: their accounts begin anew."""
        if self._closed:
            return
        for one in moved:
            self._rows.forget_subject(one.subject)
            for customer in (one.before, one.after):
                if customer is not None and self._is_ours(customer):
                    self._accounts.reroute([customer])
                    self._note("customer", customer)

    def _catalog_changed(self, record: CatalogRecord) -> None:
        """Called by the catalog after each record it applied."""
        if self._closed:
            return
        self._rows.forget_matches(record)
        entity = record.entity
        if isinstance(entity, EntitlementRecord):
            if self._is_ours(entity.customer_id):
                self._note("entitlement", entity.id)
        elif isinstance(entity, CustomerRecord):
            if self._is_ours(entity.id):
                self._note("customer", entity.id)
        elif record.kind in ("feature", "meter"):
            self._accounts.reroute()
            self._go_through_all()

    def _is_ours(self, customer_id: str) -> bool:
        return partition_of(customer_id.encode(), self._options.partitions) == self.number

    def _note(self, kind: str, id_: str) -> None:
        """An entity's accounts are to be looked at."""
        if len(self._changes) >= _CHANGES_MAX:
            self._changes.clear()
            self._go_through_all()
        self._changes[kind, id_] = None

    def _go_through_all(self) -> None:
        self._sweep = self._catalog.customers_in(self.number)

    # -- work

    async def work(self) -> bool:
        """One turn: what was taken, due timers, changes of the catalog, histories that have come. False = nothing is left.

        Nothing left does not mean nothing to come: call it after `take`, and every 100 ms without.
        """
        began = time.perf_counter()
        await self._count_taken()
        more = self._move_timers()
        more = self._work_in_changes() or more
        more = self._begin_loaded() or more
        self._accounts.delete_useless(_SLICE_USELESS)
        more = bool(self._accounts.useless) or more
        self._write()
        self._loader.start()
        self._tell_changes()
        metrics.accounts.labels(str(self.number)).set(len(self._accounts))
        metrics.round_seconds.observe(time.perf_counter() - began)
        return more or bool(self._waiting) or bool(self._loader.loaded)

    async def _count_taken(self) -> None:
        if not self._waiting and not self._waiting_progress:
            return
        offset = self._next_offset
        waiting, self._waiting, self._waiting_bytes = self._waiting, {}, 0
        progress, self._waiting_progress = self._waiting_progress, {}
        records = list(waiting.items())
        size = self._options.slice_rows
        for first in range(0, len(records), size):
            if first:
                await asyncio.sleep(0)
            self._reached(Step.BALANCES_TAKEN)
            self._rows.apply(records[first : first + size], self._now())
        self._reached(Step.BALANCES_COUNTED)
        for number, (told, read) in progress.items():
            wire = ProgressWire(told.source_next, told.catalog, told.as_of_ms, read)
            self._progress[number] = wire
            self._accounts.batch.put(stored.progress_key(number), stored.encode(wire))
        self._accounts.flush(self._stamped(offset))
        self._reached(Step.BALANCES_WRITTEN)

    def _stamped(self, offset: int | None) -> BalanceStamp:
        done = not self._changes and self._sweep is None
        catalog = self._catalog.version if done else self._stamp.catalog
        self._stamp = msgspec.structs.replace(self._stamp, next_offset=offset, catalog=catalog)
        return self._stamp

    def _move_timers(self) -> bool:
        """Accounts whose minute is over go through their cut points and count what waited."""
        minute = minute_of(self._now())
        items = self._store.items(stored.TIMER, stored.timer_minute(minute))
        due = [key for key, _ in islice(items, _SLICE_TIMERS)]
        if not due:
            return False
        ids = [ulid_text(key[9:]) for key in due]
        self._accounts.prepare(ids)
        for key, id_ in zip(due, ids, strict=True):
            kept = self._accounts.find(id_)
            if kept is None:
                self._accounts.batch.delete(key)
            elif kept.let_go_at is not None and kept.let_go_at <= self._now():
                self._accounts.let_go(kept)
            else:
                self._move(kept, key, minute)
        metrics.timers.inc(len(due))
        self._accounts.flush()
        self._reached(Step.BALANCES_MOVED)
        return len(due) == _SLICE_TIMERS

    def _move(self, kept: Kept, key: bytes, minute: int) -> None:
        self._accounts.reach(kept, minute)
        kept.retime = True
        self._accounts.touch(kept)
        if kept.timer is None or stored.timer_key(kept.timer, kept.key) != key:
            self._accounts.batch.delete(key)

    def _work_in_changes(self) -> bool:
        """A slice of what the catalog has changed: accounts are made, changed, or begin to load again."""
        changes = list(islice(self._changes, _SLICE_ENTITIES))
        for kind, id_ in changes:
            if kind == "entitlement":
                self._accounts.find(id_)
            else:
                self._find_all(id_)
            del self._changes[kind, id_]
        swept = self._sweep_slice()
        if changes or swept:
            self._accounts.flush()
            self._reached(Step.BALANCES_CHANGED)
        return bool(self._changes) or self._sweep is not None

    def _sweep_slice(self) -> bool:
        if self._sweep is None:
            return False
        ids = list(islice(self._sweep, _SLICE_ENTITIES))
        for id_ in ids:
            self._find_all(id_)
        if len(ids) < _SLICE_ENTITIES:
            self._sweep = None
        return True

    def _find_all(self, customer_id: str) -> None:
        for record in self._catalog.entitlements_of(customer_id):
            if record.type == "metered":
                self._accounts.find(record.id)

    def _begin_loaded(self) -> bool:
        """Accounts whose history has come begin, for about a slice of time."""
        until = time.perf_counter() + self._options.slice_ms / 1000
        begun = False
        while self._loader.loaded and (not begun or time.perf_counter() < until):
            if not begun:
                self._reached(Step.BALANCES_READ)
            begun = True
            loaded = self._loader.loaded.popleft()
            kept = self._accounts.find(loaded.id)
            if kept is None or kept.loading != loaded.loading:
                continue
            try:
                self._beginning.begin(kept, loaded.rows, loaded.covered, self._now())
            except Refused as refused:
                self._loader.refuse(kept, refused)
                continue
            metrics.loaded.inc()
        if begun:
            self._accounts.flush()
            self._reached(Step.BALANCES_BEGUN)
        return bool(self._loader.loaded)

    def _write(self) -> None:
        stamp = self._stamp
        if self._stamped(stamp.next_offset) != stamp:
            self._accounts.flush(self._stamp)
        self._accounts.make_room()

    def _tell_changes(self) -> None:
        if self._accounts.changed:
            ids = list(self._accounts.changed)
            self._accounts.changed.clear()
            if self.changed is not None:
                self.changed(ids)

    # -- what goes out

    def answer(self, question: Question, now: datetime) -> Answer:
        """The values asked for; see `schemas.balances.Answer` for why there may be none."""
        return self._answers.answer(question, now)

    async def settle(self) -> None:
        """Until a look for histories that is under way is over."""
        await self._loader.wait()

    async def close(self) -> None:
        """Stop loading, write what is to be written, close the store."""
        if self._closed:
            return
        self._closed = True
        await self._loader.stop()
        self._accounts.flush()
        self._store.close()
        metrics.forget_partition(self.number)


def _is_newer(value: bytes, known: bytes) -> bool:
    """Whether a row goes before another of its key. What is no row goes before nothing, and every row before it."""
    try:
        newer = stored.decode_head(value).position
    except msgspec.DecodeError:
        return False
    try:
        return newer > stored.decode_head(known).position
    except msgspec.DecodeError:
        return True
