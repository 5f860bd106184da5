"""The fold of one partition over its state: which events are new, which rows they change, what is written for that.

The folder remembers what is folded but not yet on disk, so that the next chunk reads its own writes; nothing here waits
for a broker. The arithmetic is domain/metering/fold.py.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from domain.metering.fold import BucketKey, Grouping, Measure, fill_buckets, groupings, unique_texts
from domain.metering.meter import Meter
from domain.metering.rows import Row
from schemas import state
from schemas.catalog import MeterRecord, meter_of
from schemas.changelog import Author, encode_chunk
from streams.decoded import Decoded
from streams.ports import LogRecord
from tables.store import InvariantBroken, PartitionStore

_SEEN_SLICE = 4_000


@dataclass(slots=True)
class _Entry:
    """A cached bucket key: per measure the row key, the week family that holds the row, and the newest row."""

    keys: list[bytes]
    weeks: list[int]
    rows: list[Row | None]


@dataclass(frozen=True, slots=True)
class ChangedRow:
    """A row as of the end of a chunk."""

    meter: Meter
    bucket: BucketKey
    row: Row


@dataclass(frozen=True, slots=True)
class NewUnique:
    """A value text that its row had not seen."""

    meter: Meter
    bucket: BucketKey
    hash: bytes
    position: int


@dataclass(slots=True, eq=False)
class Folded:
    """A folded chunk: what to log, what to put on disk, and what the sink needs to know."""

    decoded: Decoded
    week: int
    accepted_flags: list[bool]
    accepted: int
    ids: list[tuple[bytes, int]]
    rows: list[ChangedRow] = field(default_factory=list)
    uniques: list[NewUnique] = field(default_factory=list)
    stored: list[tuple[int, bytes, bytes]] = field(default_factory=list)
    usage: list[LogRecord] = field(default_factory=list)
    applied: list[tuple[bytes, bytes]] = field(default_factory=list)
    newest_ms: int = 0

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

    def __init__(self, store: PartitionStore, *, slice_ms: float, row_cache_max: int) -> None:
        self._store = store
        self._slice_ms = slice_ms
        self._row_cache_max = row_cache_max
        self.next = store.source_next
        self._newest_ms = store.newest_ms
        self._applied: dict[tuple[str, int], state.Applied] = {a.key: a for a in store.applied()}
        self._changed: list[state.Applied] = []
        self._under_way: dict[bytes, int] = {}
        self._known_uniques: dict[bytes, None] = {}
        self._caches: dict[tuple[str, tuple[str, ...]], dict[BucketKey, _Entry]] = {}
        self._by_type: dict[str, tuple[Grouping, ...]] = {}
        self._regroup()

    # -- the catalog

    def activate(self, live: Sequence[MeterRecord]) -> bool:
        """Make `live` the meters that count from `next` on; True when that changed anything. Nothing may be under way."""
        wanted = {(m.id, m.version): m for m in live if m.deleted_at is None}
        active = {key for key, applied in self._applied.items() if applied.until is None}
        for key in active - wanted.keys():
            self._change(self._applied[key].stopped(self.next))
        for key in wanted.keys() - self._applied.keys():
            self._change(state.Applied(meter=wanted[key], start=self.next, until=None))
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

    @property
    def applied(self) -> list[state.Applied]:
        """Which meter versions count, or counted, from where to where."""
        return list(self._applied.values())

    @property
    def measures_max(self) -> int:
        """The most rows that one event can change."""
        return max(
            (sum(len(g.measures) for g in found) for found in self._by_type.values()), default=0
        )

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
    ) -> tuple[list[bool], list[tuple[bytes, int]]]:
        """Which events count: those whose id is not known from an earlier position."""
        flags: list[bool] = []
        ids: list[tuple[bytes, int]] = []
        under_way = self._under_way
        hashes, positions = decoded.hashes, decoded.positions
        for start in range(0, len(hashes), _SEEN_SLICE):
            part = hashes[start : start + _SEEN_SLICE]
            for key, at, stored in zip(
                part, positions[start:], self._store.seen(part), strict=False
            ):
                if (stored is not None and stored < at) or key in under_way:
                    flags.append(False)
                else:
                    under_way[key] = at
                    ids.append((key, at))
                    flags.append(True)
            await slices.breathe()
        return flags, ids

    async def _fill(self, decoded: Decoded, flags: list[bool], slices: Slices) -> None:
        events, by_type = decoded.events, self._by_type
        types = [event.type for event in events]
        subjects = [event.subject for event in events]
        chosen = [i for i, flag in enumerate(flags) if flag and types[i] in by_type]
        for start in range(0, len(chosen), _SEEN_SLICE):
            fill_buckets(
                chosen[start : start + _SEEN_SLICE],
                types,
                subjects,
                decoded.seconds,
                decoded.datas,
                by_type,
            )
            await slices.breathe()

    async def _fold_grouping(self, grouping: Grouping, folded: Folded, slices: Slices) -> None:
        cache = self._caches[grouping.event_type, grouping.paths]
        buckets, grouping.buckets = grouping.buckets, {}
        await self._load(
            grouping, [key for key in buckets if key not in cache], cache, folded.week, slices
        )
        decoded = folded.decoded
        positions, seconds, datas = decoded.positions, decoded.seconds, decoded.datas
        rows, stored, usage = folded.rows, folded.stored, folded.usage
        encode = state.encode_row
        for done, (key, bucket) in enumerate(buckets.items(), 1):
            entry = cache[key]
            for j, measure in enumerate(grouping.measures):
                row = measure.fold(
                    entry.rows[j], bucket, positions, seconds, datas, measure.find_value
                )
                entry.rows[j] = row
                row_key, value = entry.keys[j], encode(row)
                rows.append(ChangedRow(measure.meter, key, row))
                stored.append((entry.weeks[j], state.ROW + row_key, value))
                usage.append((row_key, value))
                if measure.counts_uniques:
                    self._fold_uniques(measure, key, row_key, entry.weeks[j], bucket, folded)
            if not done & 0x3FF:
                await slices.breathe()
        self._trim(cache)

    async def _load(
        self,
        grouping: Grouping,
        keys: list[BucketKey],
        cache: dict[BucketKey, _Entry],
        week: int,
        slices: Slices,
    ) -> None:
        prefixes = [
            state.row_key_prefix(measure.meter.id, measure.meter.version)
            for measure in grouping.measures
        ]
        for start in range(0, len(keys), _SEEN_SLICE):
            part = keys[start : start + _SEEN_SLICE]
            row_keys = [[prefix + state.row_key_body(*key) for prefix in prefixes] for key in part]
            found = iter(self._store.rows([row_key for several in row_keys for row_key in several]))
            for key, several in zip(part, row_keys, strict=True):
                stored = [next(found) for _ in several]
                cache[key] = _Entry(
                    several,
                    [week if s is None else s[0] for s in stored],
                    [None if s is None else state.decode_row(s[1]) for s in stored],
                )
            await slices.breathe()

    def _fold_uniques(
        self,
        measure: Measure,
        key: BucketKey,
        row_key: bytes,
        week: int,
        bucket: list[int],
        folded: Folded,
    ) -> None:
        assert measure.find_value is not None
        texts = unique_texts(bucket, folded.decoded.datas, measure.find_value)
        hashes = sorted(state.value_hash(text) for text in texts)
        unique_keys = [state.unique_key(row_key, value) for value in hashes]
        last = folded.decoded.positions[bucket[-1]]
        known = self._known_uniques
        fresh = [i for i, unique in enumerate(unique_keys) if unique not in known]
        for i, there in zip(
            fresh, self._store.has_uniques([unique_keys[i] for i in fresh]), strict=True
        ):
            known[unique_keys[i]] = None
            if there:
                continue
            folded.uniques.append(NewUnique(measure.meter, key, hashes[i], last))
            folded.stored.append((week, state.UNIQUE + unique_keys[i], b""))
            folded.usage.append((row_key + hashes[i], b""))

    def _trim(self, cache: dict[BucketKey, _Entry]) -> None:
        """Forget the oldest rows that are on disk when the cache has outgrown its bound."""
        if len(self._known_uniques) > self._row_cache_max and not self._under_way:
            self._known_uniques.clear()
        if len(cache) <= self._row_cache_max:
            return
        on_disk = self._store.source_next
        for key in list(cache)[: len(cache) // 2]:
            if all(row is None or row.position < on_disk for row in cache[key].rows):
                del cache[key]

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
        for key, _ in folded.ids:
            del self._under_way[key]


def stored_changes(
    store: PartitionStore, decoded: Decoded
) -> tuple[list[bool], list[ChangedRow], list[NewUnique]]:
    """What folding `decoded` had done, read back from the state: verdicts, rows as they are now, values of UNIQUE_COUNT."""
    seen = store.seen(decoded.hashes)
    flags = [stored == at for stored, at in zip(seen, decoded.positions, strict=True)]
    rows: list[ChangedRow] = []
    uniques: list[NewUnique] = []
    types = [event.type for event in decoded.events]
    subjects = [event.subject for event in decoded.events]
    for applied in store.applied():
        by_type = groupings([meter_of(applied.meter)])
        counted = [
            i
            for i, at in enumerate(decoded.positions)
            if flags[i]
            and types[i] in by_type
            and applied.start <= at
            and (applied.until is None or at < applied.until)
        ]
        fill_buckets(counted, types, subjects, decoded.seconds, decoded.datas, by_type)
        for grouping in (g for found in by_type.values() for g in found):
            _read_back(store, grouping, decoded, rows, uniques)
    return flags, rows, uniques


def _read_back(
    store: PartitionStore,
    grouping: Grouping,
    decoded: Decoded,
    rows: list[ChangedRow],
    uniques: list[NewUnique],
) -> None:
    (measure,) = grouping.measures
    meter = measure.meter
    prefix = state.row_key_prefix(meter.id, meter.version)
    keys = list(grouping.buckets)
    found = store.rows([prefix + state.row_key_body(*key) for key in keys])
    for key, stored in zip(keys, found, strict=True):
        if stored is None:
            raise InvariantBroken(f"meter {meter.id}: no row for an accepted event of {key}")
        rows.append(ChangedRow(meter, key, state.decode_row(stored[1])))
        if measure.counts_uniques and measure.find_value is not None:
            bucket = grouping.buckets[key]
            for text in unique_texts(bucket, decoded.datas, measure.find_value):
                uniques.append(
                    NewUnique(meter, key, state.value_hash(text), decoded.positions[bucket[-1]])
                )
