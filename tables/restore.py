"""Brings a state up to the end of its changelog, a fetched list at a time.

A batch was appended whole and ends with its marker, which says where its writer expected it to begin. One that begins
elsewhere was written by a worker that did not know all that stands before it (it had lost the partition, or lost a race):
exactly its records are left out, and their keys remembered, so that the owner writes them again before compaction takes
the records that counted away (tables/mending.py). Compaction may have removed older rows and markers; what is left,
applied to the end, gives the same state. Source: docs/internals.md, "Changelog".
"""

from __future__ import annotations

import logging
from bisect import bisect_right
from collections.abc import Sequence
from itertools import chain
from operator import itemgetter

import msgspec

from schemas import changelog, state
from schemas.changelog import RECORDS_MAX
from schemas.state import Marker, Stamp
from tables.batch import StateBatch
from tables.store import InvariantBroken, PartitionStore, StateOfAnotherVersion

log = logging.getLogger(__name__)

Fetched = tuple[bytes, bytes | None, int]
"""(key, value, offset) of a changelog record."""

_offset_of = itemgetter(2)
_KINDS = frozenset((changelog.WEEKLY, changelog.IDS, changelog.APPLIED))


class Restorer:
    """Feeds a store from its changelog, from `store.changelog_next` on.

    Records wait for their marker, which says whether they count. Where compaction took the markers away, records
    wait only as long as they can still belong to a batch whose marker comes; the stamp says `complete` = False from
    then until the next marker, and the store takes no chunk in between.
    """

    def __init__(self, store: PartitionStore) -> None:
        self._store = store
        self._waiting: list[Fetched] = []
        self._left_out = dict.fromkeys(store.left_out())
        """Changelog keys whose newest record does not count."""
        self._left_out_on_disk = frozenset(self._left_out)

    def feed(self, records: Sequence[Fetched], position: int) -> None:
        """Apply `records`, in one write; `position` is where reading goes on. InvariantBroken, StateOfAnotherVersion."""
        accepted: list[Sequence[Fetched]] = []
        stamp = self._store.stamp
        records = _without_foreign(records)
        waiting, start = self._waiting, 0
        for i, (key, value, offset) in enumerate(records):
            if key != changelog.MARKER or value is None:
                continue
            waiting += records[start : i + 1]
            start = i + 1
            stamp = self._judge(waiting, _marker(value), stamp, accepted)
            stamp = msgspec.structs.replace(stamp, changelog_next=offset + 1)
            waiting = []
        waiting += records[start:]
        if not waiting:
            end = max(position, stamp.changelog_next)
            stamp = msgspec.structs.replace(stamp, changelog_next=end)
        elif settled := bisect_right(waiting, waiting[-1][2] - RECORDS_MAX, key=_offset_of):
            stamp = self._accept_unmarked(waiting[:settled], stamp, accepted)
            waiting = waiting[settled:]
        self._waiting = waiting
        if stamp != self._store.stamp:
            self._write(accepted, stamp)

    def _judge(
        self,
        waiting: list[Fetched],
        marker: Marker,
        stamp: Stamp,
        accepted: list[Sequence[Fetched]],
    ) -> Stamp:
        """Accept what waited for `marker`, without its own batch if that does not begin where its writer expected."""
        if stamp.topic_id and (marker.topic_id, marker.partition) != (
            stamp.topic_id,
            stamp.partition,
        ):
            raise InvariantBroken(
                f"changelog of topic {marker.topic_id} partition {marker.partition}, restored into {stamp}"
            )
        first = waiting[-1][2] - marker.records + 1
        own = bisect_right(waiting, first - 1, key=_offset_of)
        if own:
            stamp = self._accept_unmarked(waiting[:own], stamp, accepted)
        batch = waiting[own:]
        if first != marker.begins_at:
            self._leave_out(batch, marker)
            return stamp
        accepted.append(batch)
        if self._left_out:
            for key, _, _ in batch:
                self._left_out.pop(key, None)
        return Stamp(
            topic_id=marker.topic_id,
            partition=marker.partition,
            source_next=marker.source_next,
            changelog_next=stamp.changelog_next,
            generation=marker.generation,
            newest_ms=max(marker.newest_ms, stamp.newest_ms),
        )

    def _leave_out(self, batch: Sequence[Fetched], marker: Marker) -> None:
        log.warning(
            "batch of a worker that did not own the partition left out",
            extra={
                "offset": batch[-1][2],
                "records": marker.records,
                "generation": marker.generation,
                "begins_at": marker.begins_at,
            },
        )
        for key, _, _ in batch:
            self._left_out[key] = None

    def _accept_unmarked(
        self, records: list[Fetched], stamp: Stamp, accepted: list[Sequence[Fetched]]
    ) -> Stamp:
        """Records whose markers were compacted away: they count, for what did not count was written again before that."""
        accepted.append(records)
        return msgspec.structs.replace(stamp, changelog_next=records[-1][2] + 1, complete=False)

    def _write(self, accepted: list[Sequence[Fetched]], stamp: Stamp) -> None:
        entries: dict[bytes, dict[bytes, bytes | None]] = {}
        batch = self._store.batch()
        for key, value, _ in chain.from_iterable(accepted):
            kind = key[:1]
            if kind == changelog.WEEKLY:
                week, store_key = changelog.split_weekly(key)
                if week not in entries:
                    entries[week] = {}
                entries[week][store_key] = value
            elif kind == changelog.IDS:
                of_week, chunk = changelog.split_weekly(key)
                number = int.from_bytes(of_week, "big")
                if value is None:
                    batch.forget_chunk(number, chunk)
                else:
                    batch.put_ids(number, chunk, state.iter_packed_ids(value))
            elif kind == changelog.APPLIED and value is None:
                batch.delete_applied(key[1:])
            elif kind == changelog.APPLIED and value is not None:
                batch.put_applied(key[1:], value)
        for week, found in entries.items():
            number = int.from_bytes(week, "big")
            puts = [(key, value) for key, value in found.items() if value is not None]
            if puts:
                batch.put_entries(number, puts)
            for key, value in found.items():
                if value is None:
                    batch.delete(number, key)
        self._note_left_out(batch)
        self._store.write(batch, stamp)

    def _note_left_out(self, batch: StateBatch) -> None:
        left_out = frozenset(self._left_out)
        for key in left_out - self._left_out_on_disk:
            batch.put_left_out(key)
        for key in self._left_out_on_disk - left_out:
            batch.mended(key)
        self._left_out_on_disk = left_out


def _without_foreign(records: Sequence[Fetched]) -> Sequence[Fetched]:
    """Anybody can write to a topic: what has no key of a changelog says nothing, and no marker follows it."""
    kept = [one for one in records if one[0][:1] in _KINDS or one[0] == changelog.MARKER]
    if len(kept) < len(records):
        log.warning("records that no worker wrote left out", extra={"count": len(records) - len(kept), "before": records[-1][2] + 1})  # fmt: skip
    return kept


def _marker(value: bytes) -> Marker:
    found = state.format_version(value)
    if found != state.SCHEMA_VERSION:
        raise StateOfAnotherVersion(f"changelog written with format {found}")
    return state.decode_marker(value)
