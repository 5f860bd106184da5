"""The running balances of one partition in RocksDB: accounts, what rows have contributed, and where the state stands.

One WriteBatch is one step: accounts, contributions and the offset of the usage topic move together. There is no changelog: a
state that is lost is begun anew at the end of the usage topic, and histories are read again (docs/decisions/0160).
Keys and values: docs/internals.md, "Balances".
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
from rocksdict import AccessType, Rdict, ReadOptions, WriteBatch

from schemas.balance_state import STAMP, BalanceStamp, decode_stamp, encode
from tables.damage import errors_translated, refuse_condemned
from tables.errors import StateCorrupt
from tables.options import SharedMemory

log = logging.getLogger(__name__)


class BalanceStore:
    """An open state. One process, one thread."""

    def __init__(self, path: Path, memory: SharedMemory) -> None:
        """StateCorrupt, StateLocked, StateUnavailable; `open_balances` deals with the first."""
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        refuse_condemned(path)
        with errors_translated(path):
            self._db: Any = Rdict(
                str(path),
                memory.options(long_values=True),
                column_families={},  # without it the settings are those on disk, and the cache is not ours
                access_type=AccessType.read_write(),
            )
        self._closed = False

    def stamp(self) -> BalanceStamp | None:
        """What the state is of; None when it is new. StateCorrupt when it is none."""
        raw = self.get([STAMP])[0]
        if raw is None:
            return None
        try:
            return decode_stamp(raw)
        except msgspec.DecodeError as error:
            raise StateCorrupt(f"{self.path}: the stamp is no stamp: {error}") from error

    def get(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The value of each key."""
        with errors_translated(self.path):
            found: list[bytes | None] = self._db.get(list(keys))
        return found

    def items(self, start: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Keys in `[start, end)` with their values, in order."""
        options = ReadOptions()
        options.set_iterate_upper_bound(end)
        with errors_translated(self.path):
            yield from self._db.items(from_key=start, read_opt=options)

    def write(self, batch: WriteBatch) -> None:
        """Both or neither of all that is in the batch."""
        with errors_translated(self.path):
            self._db.write(batch)

    @staticmethod
    def batch() -> WriteBatch:
        """An empty batch for `write`."""
        return WriteBatch(raw_mode=True)

    def close(self) -> None:
        """Release the lock. Closing twice is harmless."""
        if not self._closed:
            self._closed = True
            self._db.close()


def open_balances(
    path: Path, memory: SharedMemory, *, topic_id: str, partition: int, partitions: int
) -> BalanceStore:
    """The state of a balance partition; one that is damaged, of another format or of another topic is deleted and begun anew."""
    try:
        store = BalanceStore(path, memory)
        try:
            found = store.stamp()
        except BaseException:
            store.close()
            raise
    except StateCorrupt as error:
        log.error("balances begin anew: %s", error, extra={"path": str(path)})
        shutil.rmtree(path)
        store, found = BalanceStore(path, memory), None
    wanted = BalanceStamp(topic_id=topic_id, partition=partition, partitions=partitions)
    if found is not None and _identity(found) != _identity(wanted):
        log.warning(
            "balances begin anew: the state is of %s, wanted %s",
            found,
            wanted,
            extra={"path": str(path)},
        )
        store.close()
        shutil.rmtree(path)
        store, found = BalanceStore(path, memory), None
    if found is None:
        batch = WriteBatch(raw_mode=True)
        batch.put(STAMP, encode(wanted))
        store.write(batch)
    return store


def _identity(stamp: BalanceStamp) -> tuple[int, str, int, int]:
    return stamp.format, stamp.topic_id, stamp.partition, stamp.partitions
