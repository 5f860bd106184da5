"""Brings a state up to the end of its changelog, a fetched list at a time.

A batch ends with its marker and was appended whole. Compaction may have removed older rows and markers; what is left,
applied to the end, gives the same state. A batch whose marker goes backwards was written by a worker that had already
lost the partition: exactly its records are left out. Source: docs/internals.md, "Changelog".
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from schemas import changelog, state
from schemas.state import Marker, Stamp
from tables.store import PartitionStore, StateOfAnotherVersion

log = logging.getLogger(__name__)

Fetched = tuple[bytes, bytes | None, int]
"""(key, value, offset) of a changelog record."""


class Restorer:
    """Feeds a store from its changelog."""

    def __init__(self, store: PartitionStore) -> None:
        self._store = store
        self._pending: list[Fetched] = []

    def feed(self, records: Sequence[Fetched], position: int) -> None:
        """Apply `records`; `position` is where reading goes on. Records after the last marker wait for theirs."""
        whole: list[Fetched] = []
        stamp = self._store.stamp
        newest: Marker | None = None
        done = stamp.changelog_next
        for record in records:
            self._pending.append(record)
            if record[0] != changelog.MARKER or record[1] is None:
                continue
            marker = state.decode_marker(record[1])
            if marker.schema_version != state.SCHEMA_VERSION:
                raise StateOfAnotherVersion(
                    f"changelog written with format {marker.schema_version}"
                )
            if marker.source_next < (newest or stamp).source_next:
                first = record[2] - marker.records + 1
                log.warning(
                    "batch of a stale worker left out",
                    extra={"offset": first, "records": marker.records},
                )
                whole += [kept for kept in self._pending if kept[2] < first]
            else:
                newest = marker
                whole += self._pending
            self._pending = []
            done = record[2] + 1
        if newest is None and not whole:
            return
        self._apply(whole, newest, done if self._pending else max(done, position), stamp)

    def _apply(
        self, records: list[Fetched], marker: Marker | None, changelog_next: int, stamp: Stamp
    ) -> None:
        weekly: list[tuple[int, bytes, bytes | None]] = []
        ids: list[tuple[int, int, Sequence[tuple[bytes, int]]]] = []
        applied: list[tuple[bytes, bytes]] = []
        for key, value, _ in records:
            kind = key[:1]
            if kind == changelog.WEEKLY:
                weekly.append((*changelog.split_weekly(key), value))
            elif kind == changelog.IDS and value is not None:
                ids.append(
                    (changelog.week_of_ids(key), state.unpack_u64(key[3:]), state.unpack_ids(value))
                )
            elif kind == changelog.APPLIED and value is not None:
                applied.append((key[1:], value))
        at = marker or stamp
        self._store.restore(
            weekly=weekly,
            ids=ids,
            applied=applied,
            stamp=Stamp(
                at.topic_id,
                at.partition,
                at.source_next,
                changelog_next,
                at.generation,
                max(at.newest_ms, stamp.newest_ms),
            ),
        )
