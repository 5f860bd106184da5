"""The state of one source partition in RocksDB: ids seen, rows of usage, and the stamp that says where it stands.

Key, value, retention: docs/internals.md, "State". A chunk is one WriteBatch over all families, so that the state is always
a prefix of the log. Families are weeks of arrival and are dropped whole; nothing is expired by wall clock.
RocksDB's WriteBatch holds the GIL in rocksdict, its multi-get does not.
"""

from __future__ import annotations

import gc
import logging
import shutil
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rocksdict import (
    AccessType,
    BlockBasedOptions,
    Cache,
    Options,
    Rdict,
    WriteBatch,
    WriteBufferManager,
)

from schemas import state
from schemas.state import ROW, SEEN, UNIQUE, WEEK_MS, Applied, SinkPlan, Stamp

log = logging.getLogger(__name__)

CHUNK_IDS = b"i"
_STAMP = b"stamp"
_SINK = b"sink"
_APPLIED = b"c"
_ID_COUNT = b"n"
_WEEK = struct.Struct(">H")


class StateCorrupt(Exception):
    """The database cannot be read: delete it and restore it from the changelog."""


class StateLocked(Exception):
    """Another process has the database open."""


class StateOfAnotherVersion(Exception):
    """The database was written by a version with another format."""


class InvariantBroken(Exception):
    """A write would break what the protocol promises: the worker must stop."""


class StateFull(Exception):
    """More ids than `dedupe.max_ids` inside the dedupe window: events can no longer be judged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreOptions:
    """Bounds of all stores of one worker. `window_ms`: how long ids and rows are kept after they arrived."""

    block_cache_bytes: int = 256 << 20
    write_buffer_bytes: int = 256 << 20
    window_ms: int = 32 * 24 * 3600 * 1000
    ids_max: int = 50_000_000


class SharedMemory:
    """One block cache and one write-buffer manager for every store of a worker."""

    def __init__(self, options: StoreOptions) -> None:
        self.cache = Cache(options.block_cache_bytes)
        self.buffers = WriteBufferManager(options.write_buffer_bytes, allow_stall=False)

    def options(self) -> Options:
        """Options of a database or of a family."""
        table = BlockBasedOptions()
        table.set_bloom_filter(10, False)
        table.set_block_cache(self.cache)
        table.set_cache_index_and_filter_blocks(True)
        options = Options(raw_mode=True)
        options.create_if_missing(True)
        options.set_block_based_table_factory(table)
        options.set_write_buffer_manager(self.buffers)
        options.set_write_buffer_size(64 << 20)
        options.set_memtable_prefix_bloom_ratio(0.2)
        options.set_memtable_whole_key_filtering(True)
        options.set_max_background_jobs(2)
        return options


@dataclass(slots=True)
class _Family:
    table: Any
    handle: Any
    ids: int


class PartitionStore:
    """An open state. One process, one owner; reads may come from other threads."""

    def __init__(self, path: Path, memory: SharedMemory, options: StoreOptions) -> None:
        self._path = path
        self._memory = memory
        self._options = options
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = self._open()
        self._families: dict[int, _Family] = {}
        for name in self._names():
            self._families[int(name[1:])] = self._family(name)
        raw = self._db.get(_STAMP)
        self._stamp = Stamp("", -1, 0, 0, -1, 0) if raw is None else state.decode_stamp(raw)
        if self._stamp.schema_version != state.SCHEMA_VERSION:
            found = self._stamp.schema_version
            self.close()
            raise StateOfAnotherVersion(
                f"{path}: format {found}, this version writes {state.SCHEMA_VERSION}"
            )

    # -- opening and closing

    def _open(self) -> Any:
        exists = (self._path / "CURRENT").exists()
        try:
            families = (
                [name for name in Rdict.list_cf(str(self._path)) if name != "default"]
                if exists
                else []
            )
            self._opened = families
            return Rdict(
                str(self._path),
                self._memory.options(),
                column_families={name: self._memory.options() for name in families},
                access_type=AccessType.read_write(),
            )
        except Exception as error:
            if "lock" in str(error).lower():
                raise StateLocked(f"{self._path}: {error}") from error
            raise StateCorrupt(f"{self._path}: {error}") from error

    def _names(self) -> list[str]:
        return [name for name in self._opened if name.startswith("w")]

    def _family(self, name: str) -> _Family:
        count = self._db.get(_ID_COUNT + name.encode())
        return _Family(
            self._db.get_column_family(name),
            self._db.get_column_family_handle(name),
            0 if count is None else state.unpack_u64(count),
        )

    def close(self) -> None:
        """Flush the log and release the lock; the store can be opened again at once."""
        for family in self._families.values():
            family.table.close()
        self._families.clear()
        self._db.close()
        gc.collect()

    # -- where it stands

    @property
    def source_next(self) -> int:
        """The position of the first event that is not in the state."""
        return self._stamp.source_next

    @property
    def changelog_next(self) -> int:
        """The changelog offset up to which the state was written."""
        return self._stamp.changelog_next

    @property
    def newest_ms(self) -> int:
        """The newest append time of a record in the state."""
        return self._stamp.newest_ms

    @property
    def topic_id(self) -> str:
        """The id of the source topic, "" before the first claim."""
        return self._stamp.topic_id

    def claim(self, topic_id: str, partition: int) -> None:
        """The state belongs to this topic and partition; InvariantBroken when it belongs to another one."""
        stamp = self._stamp
        if stamp.topic_id and (stamp.topic_id, stamp.partition) != (topic_id, partition):
            raise InvariantBroken(
                f"{self._path}: state of topic {stamp.topic_id} partition {stamp.partition}, opened for {topic_id} partition "
                f"{partition}: the topic was deleted and made anew. Delete the state and its changelog to start over."
            )
        self._write_stamp(topic_id=topic_id, partition=partition)

    def begin_at(self, position: int) -> None:
        """An empty state starts reading at `position`."""
        assert self._stamp.source_next == 0
        self._write_stamp(source_next=position)

    def _write_stamp(self, **changes: Any) -> None:
        values = {name: getattr(self._stamp, name) for name in Stamp.__struct_fields__}
        self._stamp = Stamp(**{**values, **changes})
        self._db.put(_STAMP, state.encode_struct(self._stamp))

    # -- reading

    def seen(self, hashes: Sequence[bytes]) -> list[int | None]:
        """The position at which each id was first seen, None for new ones."""
        keys = [SEEN + key for key in hashes]
        unpack = state.unpack_u64
        return [None if raw is None else unpack(raw) for raw in self._newest(keys)]

    def rows(self, row_keys: Sequence[bytes]) -> list[tuple[int, bytes] | None]:
        """(week family, value) of each row that is there."""
        keys = [ROW + key for key in row_keys]
        found: list[tuple[int, bytes] | None] = [None] * len(keys)
        left = list(range(len(keys)))
        for week in sorted(self._families, reverse=True):
            if not left:
                break
            values = self._families[week].table.get([keys[i] for i in left])
            missing = []
            for i, value in zip(left, values, strict=True):
                if value is None:
                    missing.append(i)
                else:
                    found[i] = (week, value)
            left = missing
        return found

    def has_uniques(self, unique_keys: Sequence[bytes]) -> list[bool]:
        """Which values of rows are known."""
        return [value is not None for value in self._newest([UNIQUE + key for key in unique_keys])]

    def _newest(self, keys: list[bytes]) -> list[bytes | None]:
        weeks = sorted(self._families, reverse=True)
        if not weeks:
            return [None] * len(keys)
        found: list[bytes | None] = self._families[weeks[0]].table.get(keys)
        for week in weeks[1:]:
            left = [i for i, value in enumerate(found) if value is None]
            if not left:
                break
            for i, value in zip(
                left, self._families[week].table.get([keys[i] for i in left]), strict=True
            ):
                found[i] = value
        return found

    def applied(self) -> list[Applied]:
        """Which meter versions count from where to where."""
        found = []
        for key, value in self._db.items(from_key=_APPLIED):
            if key[:1] != _APPLIED:
                break
            found.append(state.decode_applied(value))
        return found

    # -- writing

    def apply(
        self,
        *,
        week: int,
        base: int,
        stored: Iterable[tuple[int, bytes, bytes]],
        ids: Sequence[tuple[bytes, int]],
        applied: Iterable[tuple[bytes, bytes]],
        source_next: int,
        changelog_next: int,
        generation: int,
        newest_ms: int,
    ) -> None:
        """One chunk, in one WriteBatch. `stored` are (week, key, value) of rows and uniques."""
        stamp = self._stamp
        if (
            source_next < stamp.source_next
            or changelog_next < stamp.changelog_next
            or generation < stamp.generation
        ):
            raise InvariantBroken(
                f"{self._path}: chunk to {source_next}/{changelog_next} of generation {generation} after {stamp}"
            )
        batch = WriteBatch(raw_mode=True)
        self._put_weekly(batch, stored)
        if ids:
            self._put_ids(batch, week, base, ids)
        for key, value in applied:
            batch.put(_APPLIED + key, value)
        self._stamp = Stamp(
            stamp.topic_id,
            stamp.partition,
            source_next,
            changelog_next,
            generation,
            max(newest_ms, stamp.newest_ms),
        )
        batch.put(_STAMP, state.encode_struct(self._stamp))
        self._db.write(batch)

    def _put_weekly(self, batch: Any, stored: Iterable[tuple[int, bytes, bytes | None]]) -> None:
        put = batch.put
        for week, key, value in stored:
            handle = self._in_week(week).handle
            if value is None:
                batch.delete(key, handle)
            else:
                put(key, value, handle)

    def _put_ids(self, batch: Any, week: int, base: int, ids: Sequence[tuple[bytes, int]]) -> None:
        family = self._in_week(week)
        handle, put, pack = family.handle, batch.put, state.pack_u64
        for key, at in ids:
            put(SEEN + key, pack(at), handle)
        put(CHUNK_IDS + pack(base), b"", handle)
        family.ids += len(ids)
        put(_ID_COUNT + f"w{week}".encode(), pack(family.ids))
        total = sum(known.ids for known in self._families.values())
        if total > self._options.ids_max:
            raise StateFull(
                f"{total} ids inside the dedupe window, dedupe.max_ids is {self._options.ids_max}: raise it, or add partitions"
            )

    def _in_week(self, week: int) -> _Family:
        family = self._families.get(week)
        if family is None:
            name = f"w{week}"
            self._db.create_column_family(name, self._memory.options())
            family = self._families[week] = self._family(name)
        return family

    def restore(
        self,
        *,
        weekly: Iterable[tuple[int, bytes, bytes | None]],
        ids: Iterable[tuple[int, int, Sequence[tuple[bytes, int]]]],
        applied: Iterable[tuple[bytes, bytes]],
        stamp: Stamp,
    ) -> None:
        """What one fetched list of the changelog holds; `ids` are (week, base, packed ids)."""
        batch = WriteBatch(raw_mode=True)
        self._put_weekly(batch, weekly)
        for week, base, packed in ids:
            self._put_ids(batch, week, base, packed)
        for key, value in applied:
            batch.put(_APPLIED + key, value)
        self._stamp = stamp
        batch.put(_STAMP, state.encode_struct(stamp))
        self._db.write(batch)

    @property
    def stamp(self) -> Stamp:
        """Where the state stands, whole."""
        return self._stamp

    # -- expiry

    def expired_weeks(self) -> list[int]:
        """Weeks that ended longer than the window before the newest arrival."""
        return sorted(
            week
            for week in self._families
            if (week + 1) * WEEK_MS + self._options.window_ms < self._stamp.newest_ms
        )

    def weekly_keys(self, week: int, slice_size: int = 10_000) -> Iterator[list[bytes]]:
        """The row, unique and chunk-id keys of a week, in slices; ids seen have no records of their own."""
        found: list[bytes] = []
        for kind in (ROW, UNIQUE, CHUNK_IDS):
            for key in self._families[week].table.keys(from_key=kind):
                if key[:1] != kind:
                    break
                found.append(key)
                if len(found) >= slice_size:
                    yield found
                    found = []
        if found:
            yield found

    def drop_week(self, week: int) -> None:
        """Forget a week: one operation, whatever it held."""
        family = self._families.pop(week)
        family.table.close()
        self._db.drop_column_family(f"w{week}")
        self._db.delete(_ID_COUNT + f"w{week}".encode())
        log.info("week dropped", extra={"path": str(self._path), "week": week, "ids": family.ids})

    # -- the sink's plan (local: another owner asks ClickHouse)

    @property
    def sink_plan(self) -> SinkPlan | None:
        """The block that was being written when the state was last open."""
        raw = self._db.get(_SINK)
        return None if raw is None else state.decode_plan(raw)

    def plan_block(self, plan: SinkPlan) -> None:
        """Remember the block before it is written."""
        self._db.put(_SINK, state.encode_struct(plan))


def destroy(path: Path) -> None:
    """Delete a state directory."""
    shutil.rmtree(path, ignore_errors=False)
