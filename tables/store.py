"""The state of one source partition in RocksDB: ids seen, rows of usage, and the stamp that says where it stands.

Key, value, retention: docs/internals.md, "State". A chunk is one WriteBatch over all families, so that the state is always
a prefix of the log. Families are weeks of arrival and are dropped whole; nothing is expired by wall clock. The log of
RocksDB is on but not synced: a killed process loses nothing, a crashed machine loses a tail that the changelog has.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import msgspec
from rocksdict import AccessType, Rdict

from schemas import changelog, state
from schemas.state import ROW, SEEN, UNIQUE, WEEK_MS, Applied, SinkPlan, Stamp
from tables.batch import APPLIED, CHUNK_IDS, LEFT_OUT, STAMP, StateBatch
from tables.damage import errors_translated, refuse_condemned
from tables.errors import (
    InvariantBroken,
    StateCorrupt,
    StateFull,
    StateLocked,
    StateOfAnotherTopic,
    StateOfAnotherVersion,
    StateUnavailable,
)
from tables.options import SharedMemory, StoreOptions
from tables.weeks import Weeks, count_key

__all__ = [
    "InvariantBroken",
    "PartitionStore",
    "SharedMemory",
    "StateCorrupt",
    "StateFull",
    "StateLocked",
    "StateOfAnotherVersion",
    "StateUnavailable",
    "StoreOptions",
    "destroy",
]

log = logging.getLogger(__name__)

_SINK = b"sink"


class PartitionStore:
    """An open state. One process, one owner, one thread that writes.

    Lookups of lists of keys may come from any thread and release the GIL while RocksDB looks (rocksdict 0.3.29: `get`
    of a list does, `write` and iteration do not).
    """

    def __init__(self, path: Path, memory: SharedMemory, options: StoreOptions) -> None:
        self._path = path
        self._options = options
        self._closed = False
        path.parent.mkdir(parents=True, exist_ok=True)
        refuse_condemned(path)
        with self._rocksdb():
            names = Rdict.list_cf(str(path)) if (path / "CURRENT").exists() else []
            names = [name for name in names if name != "default"]
            self._db: Any = Rdict(
                str(path),
                memory.options(),
                column_families={name: memory.options() for name in names},
                access_type=AccessType.read_write(),
            )
        self._weeks = Weeks(self._db, names, memory.options)
        try:
            self._stamp = self._read_stamp()
        except BaseException:
            self.close()
            raise

    # -- opening and closing

    def _read_stamp(self) -> Stamp:
        with self._rocksdb():
            raw = self._db.get(STAMP)
        if raw is None:
            return state.EMPTY
        try:
            found = state.format_version(raw)
            if found != state.SCHEMA_VERSION:
                raise StateOfAnotherVersion(
                    f"{self._path}: format {found}, this version writes {state.SCHEMA_VERSION}"
                )
            return state.decode_stamp(raw)
        except (msgspec.DecodeError, IndexError, TypeError) as error:
            raise StateCorrupt(f"{self._path}: the stamp is no stamp: {error}") from error

    def _rocksdb(self) -> AbstractContextManager[None]:
        return errors_translated(self._path)

    def close(self) -> None:
        """Write the memtables and release the lock: the state can be opened again at once. Closing twice is harmless."""
        if not self._closed:
            self._closed = True
            self._weeks.close()
            self._db.close()

    # -- where it stands

    @property
    def stamp(self) -> Stamp:
        """Where the state stands, whole."""
        return self._stamp

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

    @property
    def ids(self) -> int:
        """How many ids the state holds."""
        return self._weeks.ids

    @property
    def estimated_keys(self) -> int:
        """About how many keys there are: ids, rows of usage, distinct values."""
        with self._rocksdb():
            return self._weeks.estimated_keys()

    def claim(self, topic_id: str, partition: int) -> None:
        """The state belongs to this topic and partition; StateOfAnotherTopic when it belongs to another one."""
        stamp = self._stamp
        if stamp.topic_id and (stamp.topic_id, stamp.partition) != (topic_id, partition):
            raise StateOfAnotherTopic(
                f"{self._path}: state of topic {stamp.topic_id} partition {stamp.partition}, opened for {topic_id} partition "
                f"{partition}: the topic was deleted and made anew. Delete the state and its changelog to start over."
            )
        self._put_stamp(msgspec.structs.replace(stamp, topic_id=topic_id, partition=partition))

    def begin_at(self, position: int) -> None:
        """An empty state starts reading at `position`."""
        if self._stamp.source_next:
            raise InvariantBroken(
                f"{self._path}: told to begin at {position}, stands at {self._stamp}"
            )
        self._put_stamp(msgspec.structs.replace(self._stamp, source_next=position))

    def _put_stamp(self, stamp: Stamp) -> None:
        with self._rocksdb():
            self._db.put(STAMP, state.encode_struct(stamp))
        self._stamp = stamp

    # -- reading

    def seen(self, hashes: Sequence[bytes]) -> list[int | None]:
        """The position at which each id was first seen, None for new ones."""
        unpack = state.unpack_u64
        with self._rocksdb():
            found = self._weeks.newest([SEEN + key for key in hashes])
        return [None if raw is None else unpack(raw) for raw in found]

    def rows(self, row_keys: Sequence[bytes]) -> list[tuple[int, bytes] | None]:
        """(week family, value) of each row that is there."""
        with self._rocksdb():
            return self._weeks.newest_with_week([ROW + key for key in row_keys])

    def rows_of(self, week: int, row_keys: Sequence[bytes]) -> list[bytes]:
        """The values of rows that `week` has."""
        family = self._weeks.find(week)
        if family is None or not row_keys:
            return []
        with self._rocksdb():
            found: list[bytes] = family.table.get([ROW + key for key in row_keys])
        return found

    def rows_of_all_weeks(self, row_keys: Sequence[bytes]) -> list[list[bytes]]:
        """Every value that a row key has, in whatever weeks."""
        with self._rocksdb():
            return self._weeks.every([ROW + key for key in row_keys])

    def has_uniques(self, unique_keys: Sequence[bytes]) -> list[bool]:
        """Which values of rows are known."""
        with self._rocksdb():
            found = self._weeks.newest([UNIQUE + key for key in unique_keys])
        return [value is not None for value in found]

    def applied(self) -> list[Applied]:
        """Which meter versions count from where to where."""
        return [state.decode_applied(value) for _, value in self._meta(APPLIED)]

    def left_out(self) -> list[bytes]:
        """Changelog keys whose newest record does not count (`tables/mending.py`)."""
        return [key for key, _ in self._meta(LEFT_OUT)]

    def _meta(self, kind: bytes) -> list[tuple[bytes, bytes]]:
        found = []
        with self._rocksdb():
            for key, value in self._db.items(from_key=kind):
                if key[:1] != kind:
                    break
                found.append((key[1:], value))
        return found

    def logged(self, key: bytes) -> bytes | None:
        """The value that the changelog must have for its key `key`: None when the state has nothing there.

        For rows, values of UNIQUE_COUNT and applied meters; of packed ids only whether they are there is known.
        """
        kind = key[:1]
        with self._rocksdb():
            if kind == changelog.APPLIED:
                found: bytes | None = self._db.get(APPLIED + key[1:])
                return found
            week, store_key = changelog.split_weekly(key)
            family = self._weeks.find(int.from_bytes(week, "big"))
            if family is None:
                return None
            value: bytes | None = family.table.get(
                CHUNK_IDS + store_key if kind == changelog.IDS else store_key
            )
            return value

    # -- writing

    def apply(
        self,
        *,
        week: int,
        base: int,
        stored: Sequence[tuple[int, bytes, bytes]],
        ids: Sequence[tuple[bytes, bytes]],
        applied: Sequence[tuple[bytes, bytes]],
        source_next: int,
        changelog_next: int,
        generation: int,
        newest_ms: int,
    ) -> None:
        """One chunk of positions `[base, source_next)`, in one WriteBatch, after the log has it (`encode_chunk`).

        `stored` are (week, key, value) of rows and uniques, `ids` (hash, packed position) in log order; `changelog_next` is
        the offset after the chunk's batch. The generation is remembered, not compared: a group that was empty for long
        starts again from 1.
        """
        stamp = self._stamp
        self._check_chunk(base, source_next, ids)
        self._check_log(len(stored) + bool(ids) + len(applied) + 1, changelog_next)
        batch = StateBatch(self._weeks)
        batch.put_stored(stored)
        if ids:
            batch.put_ids(week, changelog.chunk_key(base, generation), ids)
        for key, value in applied:
            batch.put_applied(key, value)
        self.write(
            batch,
            Stamp(
                topic_id=stamp.topic_id,
                partition=stamp.partition,
                source_next=source_next,
                changelog_next=changelog_next,
                generation=generation,
                newest_ms=max(newest_ms, stamp.newest_ms),
            ),
        )

    def _check_chunk(self, base: int, source_next: int, ids: Sequence[tuple[bytes, bytes]]) -> None:
        self.require_complete()
        stamp = self._stamp
        unpack = state.unpack_u64
        outside = ids and not base <= unpack(ids[0][1]) <= unpack(ids[-1][1]) < source_next
        if not stamp.source_next <= base <= source_next or outside:
            raise InvariantBroken(
                f"{self._path}: chunk of positions [{base}, {source_next}) after {stamp}"
            )

    def require_complete(self) -> None:
        """InvariantBroken when the state has records from beyond `source_next`: no batch may be written after it."""
        if not self._stamp.complete:
            raise InvariantBroken(
                f"{self._path}: its changelog ends without a marker, so nobody knows which events it has: {self._stamp}"
            )

    def _check_log(self, records: int, changelog_next: int) -> None:
        """The batch of `records` begins where the state ends: else another worker writes this changelog, too."""
        if changelog_next - records != self._stamp.changelog_next:
            raise InvariantBroken(
                f"{self._path}: a batch of {records} records ends at changelog offset {changelog_next} after {self._stamp}: "
                "records of another worker lie in between, they are judged by a restore"
            )

    def expire(self, *, records: int, changelog_next: int) -> None:
        """A batch of tombstones is in the log (`encode_expiry`); the keys themselves go with `drop_week`."""
        self._check_log(records, changelog_next)
        self._put_stamp(msgspec.structs.replace(self._stamp, changelog_next=changelog_next))

    def mended(self, keys: Sequence[bytes], *, records: int, changelog_next: int) -> None:
        """A batch of `records` records is in the log that says for each of `keys` what counts (`tables/mending.py`)."""
        self.require_complete()
        self._check_log(records, changelog_next)
        batch = self.batch()
        for key in keys:
            batch.mended(key)
        self.write(batch, msgspec.structs.replace(self._stamp, changelog_next=changelog_next))

    def batch(self) -> StateBatch:
        """An empty batch for `write`."""
        return StateBatch(self._weeks)

    def write(self, batch: StateBatch, stamp: Stamp) -> None:
        """Put `batch` and `stamp` on disk, both or neither. InvariantBroken, StateFull: nothing was written."""
        before = self._stamp
        moved = before.topic_id and (before.topic_id, before.partition) != (
            stamp.topic_id,
            stamp.partition,
        )
        if (
            moved
            or stamp.source_next < before.source_next
            or stamp.changelog_next < before.changelog_next
        ):
            raise InvariantBroken(f"{self._path}: {stamp} after {before}")
        total = self._weeks.ids + batch.ids
        if batch.ids and total > self._options.ids_max:
            raise StateFull(
                f"{self._path}: {total} ids inside the dedupe window, dedupe.ids_max is {self._options.ids_max}: "
                "raise it, or add partitions"
            )
        with self._rocksdb():
            self._db.write(batch.finish(stamp))
        batch.written()
        self._stamp = stamp

    # -- expiry

    def expired_weeks(self) -> list[int]:
        """Weeks that ended longer than the window before the newest arrival, oldest first."""
        return [
            week
            for week in self._weeks.live()
            if (week + 1) * WEEK_MS + self._options.window_ms < self._stamp.newest_ms
        ]

    def weekly_keys(self, week: int, slice_size: int = 10_000) -> Iterator[list[bytes]]:
        """The row, unique and chunk-id keys of a week, in slices; ids seen have no records of their own.

        For the tombstones that go out before the week is dropped (`schemas.changelog.encode_expiry`). The state may
        be written and closed between two slices.
        """
        for kind in (ROW, UNIQUE, CHUNK_IDS):
            start = kind
            while found := self._keys_from(week, kind, start, slice_size):
                yield found
                start = found[-1] + b"\0"

    def _keys_from(self, week: int, kind: bytes, start: bytes, limit: int) -> list[bytes]:
        family = self._weeks.find(week)
        found: list[bytes] = []
        if family is None:
            return found
        with self._rocksdb():
            for key in family.table.keys(from_key=start):
                if key[:1] != kind or len(found) == limit:
                    break
                found.append(key)
        return found

    def drop_week(self, week: int) -> None:
        """Forget a week: one operation, whatever it held."""
        with self._rocksdb():
            self._db.delete(count_key(week))
            ids = self._weeks.drop(week)
        log.info("week dropped", extra={"path": str(self._path), "week": week, "ids": ids})

    # -- the sink's plan (local: another owner asks ClickHouse)

    @property
    def sink_plan(self) -> SinkPlan | None:
        """The block that was being written when the state was last open."""
        with self._rocksdb():
            raw = self._db.get(_SINK)
        return None if raw is None else state.decode_plan(raw)

    def plan_block(self, plan: SinkPlan) -> None:
        """Remember the block before it is written."""
        with self._rocksdb():
            self._db.put(_SINK, state.encode_struct(plan))


def destroy(path: Path) -> None:
    """Delete a state directory, if there is one. The store must be closed."""
    if path.exists():
        shutil.rmtree(path)
