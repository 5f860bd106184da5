"""The changelog's records of one chunk, in order, the marker last. Source: docs/internals.md, "Changelog"."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence

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
_IDS_KEY = struct.Struct(">cHQ")

LogRecord = tuple[bytes, bytes | None]


def encode_chunk(
    *,
    week: int,
    base: int,
    stored: Iterable[tuple[int, bytes, bytes]],
    ids: Sequence[tuple[bytes, int]],
    applied: Iterable[tuple[bytes, bytes]],
    topic_id: str,
    partition: int,
    source_next: int,
    generation: int,
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
        records.append((_IDS_KEY.pack(IDS, week, base), pack_ids(ids)))
    records += [(APPLIED + key, value) for key, value in applied]
    return _with_marker(records, topic_id, partition, source_next, generation, newest_ms)


def encode_expiry(
    week: int,
    keys: Iterable[bytes],
    *,
    topic_id: str,
    partition: int,
    source_next: int,
    generation: int,
    newest_ms: int,
) -> list[LogRecord]:
    """A batch that deletes store keys of an expired week (`PartitionStore.weekly_keys`); `source_next` stays as it is."""
    packed = _WEEK.pack(week)
    records: list[LogRecord] = [
        (IDS + packed + key[1:] if key[:1] == IDS else WEEKLY + packed + key, None) for key in keys
    ]
    return _with_marker(records, topic_id, partition, source_next, generation, newest_ms)


def _with_marker(
    records: list[LogRecord],
    topic_id: str,
    partition: int,
    source_next: int,
    generation: int,
    newest_ms: int,
) -> list[LogRecord]:
    count = len(records) + 1
    if count > RECORDS_MAX:
        raise ValueError(f"a batch of {count} records, {RECORDS_MAX} are allowed")
    marker = Marker(topic_id, partition, source_next, generation, newest_ms, count)
    records.append((MARKER, encode_struct(marker)))
    return records


def split_weekly(key: bytes) -> tuple[bytes, bytes]:
    """(week as two bytes big endian, store key) of a weekly entry's key."""
    return key[1:3], key[3:]


def split_ids(key: bytes) -> tuple[int, int]:
    """(week, position of the chunk's first event) of a record of packed ids."""
    _, week, base = _IDS_KEY.unpack(key)
    return week, base
