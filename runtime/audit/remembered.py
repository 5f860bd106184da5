"""Identities and refusals of an audit, in a RocksDB in a temporary directory: memory stays bounded however long the log is."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rocksdict import Cache, Options, Rdict, WriteBatch

from runtime.audit.judging import First

_FIRST = struct.Struct(">QQB")
_PLACE = struct.Struct(">IQ")
_IDENTITY, _REFUSAL = b"i", b"r"
_WRITE_BUFFER_BYTES = 32 << 20
_CACHE_BYTES = 64 << 20


class Remembered:
    """One for a run. About 40 bytes on disk for each identity."""

    def __init__(self, path: Path) -> None:
        options = Options(raw_mode=True)
        options.create_if_missing(True)
        options.set_write_buffer_size(_WRITE_BUFFER_BYTES)
        options.set_max_write_buffer_number(2)
        options.set_row_cache(Cache(_CACHE_BYTES))
        options.set_max_background_jobs(1)
        options.set_max_open_files(200)
        self._db: Any = Rdict(str(path), options)

    def of(self, partition: int) -> PartitionIdentities:
        """Those of one partition."""
        return PartitionIdentities(self._db, _IDENTITY + partition.to_bytes(4, "big"))

    def refuse(self, refusals: Sequence[tuple[int, int, str]]) -> None:
        """The rejected topic has these: (partition, position, code)."""
        batch = WriteBatch(raw_mode=True)
        for partition, position, code in refusals:
            batch.put(_REFUSAL + _PLACE.pack(partition, position), code.encode())
        self._db.write(batch)

    def refused(self, partition: int, start: int, end: int) -> dict[int, str]:
        """Codes of what the rejected topic has of positions `[start, end)`."""
        found: dict[int, str] = {}
        first = _REFUSAL + _PLACE.pack(partition, start)
        last = _REFUSAL + _PLACE.pack(partition, end)
        for key, code in self._db.items(from_key=first):
            if key >= last:
                break
            found[_PLACE.unpack(key[1:])[1]] = code.decode()
        return found

    def close(self) -> None:
        """Let go of the files."""
        self._db.close()


class PartitionIdentities:
    """Implements `judging.Identities`."""

    def __init__(self, db: Any, prefix: bytes) -> None:
        self._db = db
        self._prefix = prefix

    def find(self, hashes: Sequence[bytes]) -> list[First | None]:
        """What is known of each."""
        found = self._db.get([self._prefix + key for key in hashes]) if hashes else []
        return [None if raw is None else _first(raw) for raw in found]

    def remember(self, found: Mapping[bytes, First]) -> None:
        """Put these in place of what was known."""
        if not found:
            return
        batch = WriteBatch(raw_mode=True)
        for key, first in found.items():
            raw = _FIRST.pack(first.position, first.arrived_ms, first.certain)
            batch.put(self._prefix + key, raw)
        self._db.write(batch)


def _first(raw: bytes) -> First:
    position, arrived_ms, certain = _FIRST.unpack(raw)
    return First(position, arrived_ms, bool(certain))
