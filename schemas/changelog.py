"""The records of one batch of the changelog, in order, the marker last. Source: docs/internals.md, "Changelog".

Every batch says in its marker at which changelog offset its writer expects it to begin; a batch that begins elsewhere
was written by a worker that did not know the whole changelog, and is left out by whoever restores from it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from schemas.state import Marker, encode_struct, pack_ids

WEEKLY = b"w"
IDS = b"i"
APPLIED = b"c"
MARKER = b"m"

RECORDS_MAX = 1 << 19
"""The most records of a batch, marker included: a reader that finds no marker for so long need not wait for one.

15 MiB, the most that a batch may have, hold about 365,000 of the smallest records.
"""

_WEEK = struct.Struct(">H")
_CHUNK = struct.Struct(">Qi")

LogRecord = tuple[bytes, bytes | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Author:
    """Who writes a batch, and the changelog offset at which it must begin to count."""

    topic_id: str
    partition: int
    generation: int
    begins_at: int


def encode_chunk(
    author: Author,
    *,
    week: int,
    base: int,
    stored: Iterable[tuple[int, bytes, bytes]],
    ids: Sequence[tuple[bytes, bytes]],
    applied: Iterable[tuple[bytes, bytes]],
    source_next: int,
    newest_ms: int,
) -> list[LogRecord]:
    """The records of a chunk: weekly entries (week, store key, value), packed ids, applied meters, marker.

    ValueError when there are more than RECORDS_MAX.
    """
    prefixes: dict[int, bytes] = {}
    records: list[LogRecord] = []
    for in_week, key, value in stored:
        prefix = prefixes.get(in_week)
        if prefix is None:
            prefix = prefixes[in_week] = WEEKLY + _WEEK.pack(in_week)
        records.append((prefix + key, value))
    if ids:
        chunk = chunk_key(base, author.generation)
        records.append((IDS + _WEEK.pack(week) + chunk, pack_ids(ids)))
    records += [(APPLIED + key, value) for key, value in applied]
    return with_marker(records, author, source_next=source_next, newest_ms=newest_ms)


def encode_expiry(
    author: Author, week: int, keys: Iterable[bytes], *, source_next: int, newest_ms: int
) -> list[LogRecord]:
    """A batch that deletes store keys of an expired week (`PartitionStore.weekly_keys`); `source_next` stays as it is."""
    packed = _WEEK.pack(week)
    records: list[LogRecord] = [
        (IDS + packed + key[1:] if key[:1] == IDS else WEEKLY + packed + key, None) for key in keys
    ]
    return with_marker(records, author, source_next=source_next, newest_ms=newest_ms)


def with_marker(
    records: list[LogRecord], author: Author, *, source_next: int, newest_ms: int
) -> list[LogRecord]:
    """`records` and their marker. ValueError when there are more than RECORDS_MAX."""
    count = len(records) + 1
    if count > RECORDS_MAX:
        raise ValueError(f"a batch of {count} records, {RECORDS_MAX} are allowed")
    marker = Marker(
        topic_id=author.topic_id,
        partition=author.partition,
        source_next=source_next,
        generation=author.generation,
        newest_ms=newest_ms,
        records=count,
        begins_at=author.begins_at,
    )
    records.append((MARKER, encode_struct(marker)))
    return records


def chunk_key(base: int, generation: int) -> bytes:
    """Names the packed ids of the chunk that begins at position `base`.

    With its writer's generation: ids of two writers never replace each other when the changelog is compacted.
    """
    return _CHUNK.pack(base, generation)


def split_weekly(key: bytes) -> tuple[bytes, bytes]:
    """(week as two bytes big endian, store key or chunk key) of a weekly entry's or packed ids' key."""
    return key[1:3], key[3:]
