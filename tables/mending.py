"""Writes again what a batch that does not count has put over in the changelog.

Compaction keeps the newest record of a key, whoever wrote it. So the owner of a partition, once it has restored its
state and before it goes on, appends for every key of the batches it left out what its own state has. Until it has done so
the keys are remembered in the state; the topic's `min.compaction.lag.ms` is the time it has for it.
"""

from __future__ import annotations

from collections.abc import Iterator

from schemas import changelog
from schemas.changelog import LogRecord
from tables.store import PartitionStore

_SLICE_BYTES = 4 << 20
_SLICE_RECORDS = 10_000


def to_mend(store: PartitionStore) -> Iterator[tuple[list[bytes], list[LogRecord]]]:
    """(keys, records without a marker) in slices that each fit a batch; `store.mended` follows each one's append."""
    store.require_complete()
    keys: list[bytes] = []
    records: list[LogRecord] = []
    size = 0
    for key in store.left_out():
        keys.append(key)
        if key == changelog.MARKER:
            continue  # it hides a marker that counts: the one that the caller adds is newer
        value = store.logged(key)
        if key[:1] == changelog.IDS and value is not None:
            continue  # ids that count stand under this key: it names its writer, so nobody else's are there
        records.append((key, value))
        size += len(key) + len(value or b"")
        if size > _SLICE_BYTES or len(keys) >= _SLICE_RECORDS:
            yield keys, records
            keys, records, size = [], [], 0
    if keys:
        yield keys, records
