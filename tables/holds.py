"""Table of holds: what the holds topic says of each hold, of one balance partition.

Key: entitlement id + "/" + the hold's key. Value: the hold in JSON, as on the topic (schemas/holds.py). Retention: until the
topic's tombstone, which comes `holds.kept` after the hold's end. Rebuild: delete it, and the topic is read from its start.
Beside them: `z` + key, a record of the key stands in the topic that does not count and is to be written over; `stamp`, how
far the topic was read. All of a read is one write, so that a crash leaves it read or not read.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
from rocksdict import Rdict, ReadOptions, WriteBatch

from tables.options import SharedMemory

_HOLD = b"h"
_TO_MEND = b"z"
_STAMP = b"stamp"
_VERSION = 1


class _Stamp(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    version: int
    topic_id: str
    next: int
    written_ms: int


_decode_stamp = msgspec.msgpack.Decoder(_Stamp).decode


class HoldsStore:
    """The holds of one partition on disk. One thread."""

    def __init__(
        self, path: Path, memory: SharedMemory, *, topic_id: str, now_ms: int, age_ms_max: int
    ) -> None:
        """Open what is there, or begin anew when it belongs to another topic or has missed tombstones (is older than `age_ms_max`)."""
        self._path, self._memory, self._topic_id = path, memory, topic_id
        self._db = self._open()
        stamp = self._stamp()
        if stamp is not None and not _fits(stamp, topic_id, now_ms - age_ms_max):
            self._db.close()
            shutil.rmtree(path)
            self._db = self._open()
            stamp = None
        self.next = 0 if stamp is None else stamp.next
        """Offset of the first record that has not been read."""

    def get(self, key: bytes) -> bytes | None:
        """A hold."""
        found: bytes | None = self._db.get(_HOLD + key)
        return found

    def after(self, prefix: bytes, after: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Keys that start with `prefix`, greater than `prefix` + `after`, in order, with their holds."""
        start = _HOLD + prefix + after
        items: Any = self._db.items(from_key=start, read_opt=ReadOptions())
        for key, value in items:
            if not key.startswith(_HOLD + prefix):
                return
            if key != start or not after:
                yield key[1:], value

    def to_mend(self) -> list[bytes]:
        """Keys whose newest record in the topic does not count."""
        found: list[bytes] = []
        keys: Any = self._db.keys(from_key=_TO_MEND, read_opt=ReadOptions())
        for key in keys:
            if not key.startswith(_TO_MEND):
                break
            found.append(key[1:])
        return found

    def write(
        self,
        holds: Mapping[bytes, bytes | None],
        *,
        mend: Collection[bytes],
        mended: Collection[bytes],
        next_offset: int,
        now_ms: int,
    ) -> None:
        """What a read of the topic brought, and how far it went."""
        batch = WriteBatch(raw_mode=True)
        for key, value in holds.items():
            if value is None:
                batch.delete(_HOLD + key)
            else:
                batch.put(_HOLD + key, value)
        for key in mended:
            batch.delete(_TO_MEND + key)
        for key in mend:
            batch.put(_TO_MEND + key, b"")
        stamp = _Stamp(
            version=_VERSION, topic_id=self._topic_id, next=next_offset, written_ms=now_ms
        )
        batch.put(_STAMP, msgspec.msgpack.encode(stamp))
        self._db.write(batch)
        self.next = next_offset

    def close(self) -> None:
        """Close."""
        self._db.close()

    def _open(self) -> Rdict:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        # Without column_families the settings are those on disk, and the cache is not ours.
        return Rdict(str(self._path), self._memory.options(), column_families={})

    def _stamp(self) -> _Stamp | None:
        found = self._db.get(_STAMP)
        return None if found is None else _decode_stamp(found)


def _fits(stamp: _Stamp, topic_id: str, since_ms: int) -> bool:
    return stamp.version == _VERSION and stamp.topic_id == topic_id and stamp.written_ms >= since_ms
