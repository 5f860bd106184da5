"""The fold of one partition over its state: which events are new, which rows they change, what is written for that.

The folder remembers what is folded but not yet on disk, so that the next chunk reads its own writes; nothing here waits
for a broker. The arithmetic is domain/metering/fold.py.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import compress, repeat
from operator import eq
from typing import NamedTuple

from domain.metering.fold import BucketKey, Grouping, Measure, fill_buckets, groupings, unique_texts
from domain.metering.meter import Meter
from domain.metering.reading import Reads
from domain.metering.rows import Row
from schemas import state
from schemas.catalog import MeterRecord, meter_of
from schemas.changelog import Author, encode_chunk
from streams.attribution import Attribution
from streams.decoded import Decoded
from streams.ports import LogRecord
from tables.store import PartitionStore

_SEEN_SLICE = 4_000
_ROWS_SLICE = 1_000


class _CachedRow:
    """A row's key in the state, the week family that holds it, and the newest row."""

    __slots__ = ("key", "row", "week")

    def __init__(self, key: bytes, week: int, row: Row | None) -> None:
        self.key = key
        self.week = week
        self.row = row


_Cache = dict[BucketKey, list[_CachedRow]]
"""For each bucket key the row of each measure."""


class ChangedRows(NamedTuple):
    """Rows of one meter as of the end of a chunk: `rows[i]` is that of `buckets[i]`."""

    meter: Meter
    buckets: Sequence[BucketKey]
    rows: Sequence[Row]


@dataclass(frozen=True, slots=True)
class NewUnique:
    """A value text that its row had not seen."""

    meter: Meter
    bucket: BucketKey
    hash: bytes
    position: int


class _Value(NamedTuple):
    """A value that may be new to its row: its key in the state, the row's key and week, and what to tell the sink and where."""

    key: bytes
    row_key: bytes
    week: int
    new: NewUnique
    usage_partition: int


@dataclass(slots=True, eq=False)
class Folded:
    """A folded chunk: what to log, what to put on disk, and what the sink needs to know."""

    decoded: Decoded
    week: int
    accepted_flags: list[bool]
    accepted: int
    ids: list[tuple[bytes, bytes]]
    rows: list[ChangedRows] = field(default_factory=list)
    uniques: list[NewUnique] = field(default_factory=list)
    stored: list[tuple[int, bytes, bytes]] = field(default_factory=list)
    usage: dict[int, list[LogRecord]] = field(default_factory=lambda: defaultdict(list))
    """For the usage topic, by partition."""
    applied: list[tuple[bytes, bytes]] = field(default_factory=list)
    newest_ms: int = 0

    @property
    def row_count(self) -> int:
        """How many rows it changes."""
        return sum(len(changed.rows) for changed in self.rows)

    @property
    def changelog_bytes(self) -> int:
        """About how long its batch in the changelog is; never less than it will be."""
        stored = sum([len(key) + len(value) for _, key, value in self.stored])
        applied = sum(len(key) + len(value) for key, value in self.applied)
        return stored + applied + 32 * (len(self.stored) + len(self.applied) + len(self.ids)) + 1024

    def forget_written(self) -> None:
        """It is on disk: what is left is for the sink, where it may wait."""
        self.ids, self.stored, self.applied = [], [], []

    def changelog(self, author: Author) -> list[LogRecord]:
        """The records of the chunk's one batch in the changelog."""
        return encode_chunk(
            author,
            week=self.week,
            base=self.decoded.first,
            stored=self.stored,
            ids=self.ids,
            applied=self.applied,
            source_next=self.decoded.next,
            newest_ms=self.newest_ms,
        )


class Slices:
    """Gives the loop a turn whenever a slice of work has taken its time."""

    def __init__(self, slice_ms: float) -> None:
        self._slice_s = slice_ms / 1000
        self._turn = time.monotonic()

    async def breathe(self) -> None:
        """Yield if the slice is used up."""
        if time.monotonic() - self._turn > self._slice_s:
            await asyncio.sleep(0)
            self._turn = time.monotonic()


class Folder:
    """Folds the chunks of one partition, in order."""

    def __init__(
        self,
        store: PartitionStore,
        *,
        partition: int,
        attribution: Attribution,
        slice_ms: float,
        row_cache_max: int,
    ) -> None:
        self._store = store
        self._partition = partition
        self._attribution = attribution
        self._slice_ms = slice_ms
        self._row_cache_max = row_cache_max
        self.next = store.source_next
        self._newest_ms = store.newest_ms
        self.on_disk = store.applied()
        """Which meter versions count, or counted, from where to where, as the state and its changelog have it."""
        self._applied: dict[tuple[str, int], state.Applied] = {a.key: a for a in self.on_disk}
        self._changed: list[state.Applied] = []
        self._under_way: dict[bytes, int] = {}
        self._known_uniques: dict[bytes, int] = {}
        self._shut = set(store.expired_weeks())
        self._caches: dict[tuple[str, tuple[str, ...]], _Cache] = {}
        self._by_type: dict[str, tuple[Grouping, ...]] = {}
        self._regroup()

    # -- the catalog

    def activate(self, meters: Sequence[MeterRecord]) -> bool:
        """Stop the versions that `meters` says are over, let new ones count, from `next` on; True when that changed anything.

        A meter or version that `meters` does not know yet goes on: another owner has read more of the catalog, and what is
        stopped never counts again. Nothing may be under way.
        """
        known = {m.id: m for m in meters}
        newest: dict[str, int] = {}
        for applied in list(self._applied.values()):
            meter = applied.meter
            newest[meter.id] = max(meter.version, newest.get(meter.id, 0))
            now = known.get(meter.id, meter)
            over = now.deleted_at is not None or now.version > meter.version
            if over and applied.until is None:
                self._change(applied.stopped(self.next))
        for meter in meters:
            if meter.deleted_at is None and meter.version > newest.get(meter.id, 0):
                self._change(state.Applied(meter=meter, start=self.next, until=None))
        if self._changed:
            self._regroup()
        return bool(self._changed)

    def _change(self, applied: state.Applied) -> None:
        self._applied[applied.key] = applied
        self._changed.append(applied)

    def _regroup(self) -> None:
        self._by_type = groupings(
            meter_of(a.meter) for a in self._applied.values() if a.until is None
        )
        self._caches = {
            (g.event_type, g.paths): {} for found in self._by_type.values() for g in found
        }
        self.reads = Reads(self._by_type)
        """What has to be read of the events that are folded next."""

    # -- the fold

    async def fold(self, decoded: Decoded) -> Folded:
        """What `decoded` changes; remembered at once, on disk when `apply` is called with it."""
        slices = Slices(self._slice_ms)
        self._newest_ms = max(self._newest_ms, decoded.newest_ms)
        week = state.week_of(self._newest_ms)
        flags, ids = await self._judge(decoded, slices)
        folded = Folded(decoded, week, flags, len(ids), ids, newest_ms=self._newest_ms)
        folded.applied, self._changed = [a.encoded() for a in self._changed], []
        await self._fill(decoded, flags, slices)
        for found in self._by_type.values():
            for grouping in found:
                if grouping.buckets:
                    await self._fold_grouping(grouping, folded, slices)
        self.next = decoded.next
        return folded

    async def _judge(
        self, decoded: Decoded, slices: Slices
    ) -> tuple[list[bool], list[tuple[bytes, bytes]]]:
        """Which events count: those whose id is not known from an earlier position; the ids of these, as they are stored."""
        flags: list[bool] = []
        ids: list[tuple[bytes, bytes]] = []
        under_way = self._under_way
        hashes, positions = decoded.hashes, decoded.positions
        for start in range(0, len(hashes), _SEEN_SLICE):
            part = hashes[start : start + _SEEN_SLICE]
            at = positions[start : start + _SEEN_SLICE]
            first = [
                under_way.setdefault(key, here) if known is None or known >= here else known
                for key, here, known in zip(part, at, self._store.seen(part), strict=True)
            ]
            new = list(map(eq, first, at))
            flags += new
            ids += compress(zip(part, map(state.pack_u64, at), strict=True), new)
            await slices.breathe()
        return flags, ids

    async def _fill(self, decoded: Decoded, flags: list[bool], slices: Slices) -> None:
        by_type, types, texts = self._by_type, decoded.types, decoded.columns.texts
        minutes = [second // 60 for second in decoded.seconds]
        chosen = list(compress(range(len(flags)), flags))
        for start in range(0, len(chosen), _SEEN_SLICE):
            part = chosen[start : start + _SEEN_SLICE]
            fill_buckets(part, types, decoded.subjects, minutes, texts, by_type)
            await slices.breathe()

    async def _fold_grouping(self, grouping: Grouping, folded: Folded, slices: Slices) -> None:
        cache = self._caches[grouping.event_type, grouping.paths]
        buckets, grouping.buckets = grouping.buckets, defaultdict(list)
        items = list(buckets.items())
        values: list[_Value] = []
        for start in range(0, len(items), _ROWS_SLICE):
            keys, found = zip(*items[start : start + _ROWS_SLICE], strict=True)
            known = [cache.get(key) for key in keys]
            missing = [key for key, rows in zip(keys, known, strict=True) if rows is None]
            if missing:
                self._load(grouping, missing, cache, folded.week)
                known = [rows or cache[key] for key, rows in zip(keys, known, strict=True)]
            targets = self._attribution.partitions_of([key[0] for key in keys], self._partition)
            for measure, cached in zip(grouping.measures, zip(*known, strict=True), strict=True):
                values += self._fold_measure(measure, keys, found, cached, targets, folded)
            await slices.breathe()
        await self._fold_values(values, folded, slices)
        self._trim(cache)

    def _load(
        self, grouping: Grouping, keys: Sequence[BucketKey], cache: _Cache, week: int
    ) -> None:
        """Read the rows of bucket keys from the state; new ones will be of `week`."""
        prefixes = [state.row_key_prefix(m.meter.id, m.meter.version) for m in grouping.measures]
        size, body = len(prefixes), state.row_key_body
        shut = self._shut  # a row of a week that is about to go changes no more: a new one, with an epoch of its own, follows
        bodies = [body(*key) for key in keys]
        row_keys = [prefix + one for one in bodies for prefix in prefixes]
        found = [
            _CachedRow(state.ROW + key, week, None)
            if stored is None or stored[0] in shut
            else _CachedRow(state.ROW + key, stored[0], state.decode_row(stored[1]))
            for key, stored in zip(row_keys, self._store.rows(row_keys), strict=True)
        ]
        for i, key in enumerate(keys):
            cache[key] = found[i * size : (i + 1) * size]

    def _fold_measure(
        self,
        measure: Measure,
        keys: Sequence[BucketKey],
        buckets: Sequence[list[int]],
        cached: Sequence[_CachedRow],
        targets: Sequence[int] | None,
        folded: Folded,
    ) -> list[_Value]:
        """Fold buckets into the rows of one measure; keys, buckets, rows and `targets` run in parallel. Returns values to look up.

        `targets` are the partitions of the usage topic, None when all rows go to the partition's own number.
        """
        decoded, fold = folded.decoded, measure.fold
        positions, seconds = decoded.positions, decoded.seconds
        column = decoded.columns.values.get(measure.value_path, ())
        pack = state.pack_u64
        rows = [
            fold(known.row, bucket, positions, seconds, column)
            for known, bucket in zip(cached, buckets, strict=True)
        ]
        values_stored = state.encode_rows(rows)
        for known, row in zip(cached, rows, strict=True):
            known.row = row
        folded.stored += [
            (known.week, known.key, value)
            for known, value in zip(cached, values_stored, strict=True)
        ]
        usage = [  # state.usage_key, one by one
            (known.key[1:] + pack(row[0]), value)
            for known, row, value in zip(cached, rows, values_stored, strict=True)
        ]
        if targets is None:
            folded.usage[self._partition] += usage
        else:
            for target, record in zip(targets, usage, strict=True):
                folded.usage[target].append(record)
        folded.rows.append(ChangedRows(measure.meter, keys, rows))
        values: list[_Value] = []
        if measure.counts_uniques:
            where = repeat(self._partition, len(keys)) if targets is None else targets
            for key, bucket, known, to in zip(keys, buckets, cached, where, strict=True):
                texts = unique_texts(bucket, column)
                values += self._new_values(measure, key, known, texts, positions[bucket[-1]], to)
        return values

    def _new_values(
        self,
        measure: Measure,
        key: BucketKey,
        cached: _CachedRow,
        texts: Iterable[str],
        last: int,
        to: int,
    ) -> list[_Value]:
        """The values of a bucket that are not known from memory; whether the state has them is asked for many at once."""
        row_key = cached.key[1:]
        found = []
        for text in texts:
            value = state.value_hash(text)
            unique_key = state.unique_key(row_key, value)
            if unique_key not in self._known_uniques:
                self._known_uniques[unique_key] = last
                new = NewUnique(measure.meter, key, value, last)
                found.append(_Value(unique_key, row_key, cached.week, new, to))
        return sorted(found)

    async def _fold_values(self, values: list[_Value], folded: Folded, slices: Slices) -> None:
        for start in range(0, len(values), _SEEN_SLICE):
            part = values[start : start + _SEEN_SLICE]
            there = self._store.has_uniques([value.key for value in part])
            for value, known in zip(part, there, strict=True):
                if not known:
                    folded.uniques.append(value.new)
                    folded.stored.append((value.week, state.UNIQUE + value.key, b""))
                    folded.usage[value.usage_partition].append((value.key, value.row_key))
            await slices.breathe()

    def _trim(self, cache: _Cache) -> None:
        """Forget the oldest rows that are on disk when the cache has outgrown its bound; values of UNIQUE_COUNT likewise."""
        on_disk = self._store.source_next
        if len(self._known_uniques) > self._row_cache_max:
            self._known_uniques = {
                key: at for key, at in self._known_uniques.items() if at >= on_disk
            }
        if len(cache) <= self._row_cache_max:
            return
        for key in list(cache)[: len(cache) // 2]:
            if all(c.row is None or c.row.position < on_disk for c in cache[key]):
                del cache[key]

    # -- expiry

    def shut(self, week: int) -> None:
        """Change rows of `week` no more: it is about to be dropped. Nothing may be under way."""
        if week not in self._shut:
            self._shut.add(week)
            self._known_uniques.clear()
            for cache in self._caches.values():
                cache.clear()

    def usage_tombstones(self, week: int, keys: Sequence[bytes]) -> dict[int, list[LogRecord]]:
        """Deletions of the usage topic for store keys of `week`, by partition.

        A row may stand in its subject's own partition and in that of the customer; of a value of UNIQUE_COUNT the key
        does not say whose it is. What a former customer's partition has of a subject that has moved stays there.
        """
        rows = [key[1:] for key in keys if key[:1] == state.ROW]
        gone: dict[int, list[LogRecord]] = defaultdict(list)
        own = self._partition
        subjects = [state.decode_row_key(key).subject for key in rows]
        targets = self._attribution.partitions_of(subjects, own) or repeat(own, len(rows))
        values = self._store.rows_of(week, rows)
        for key, value, target in zip(rows, values, targets, strict=True):
            usage_key = state.usage_key(key, state.decode_row(value).epoch)
            for partition in {own, target}:
                gone[partition].append((usage_key, None))
        uniques: list[LogRecord] = [(key[1:], None) for key in keys if key[:1] == state.UNIQUE]
        for partition in self._attribution.everywhere(own) if uniques else ():
            gone[partition] += uniques
        return gone

    # -- to disk

    def apply(self, folded: Folded, *, changelog_next: int, generation: int) -> None:
        """Write the chunk to the store in one WriteBatch; its ids are then known from there."""
        self._store.apply(
            week=folded.week,
            base=folded.decoded.first,
            stored=folded.stored,
            ids=folded.ids,
            applied=folded.applied,
            source_next=folded.decoded.next,
            changelog_next=changelog_next,
            generation=generation,
            newest_ms=folded.newest_ms,
        )
        if folded.applied:
            self.on_disk = self._store.applied()
        for key, _ in folded.ids:
            del self._under_way[key]
