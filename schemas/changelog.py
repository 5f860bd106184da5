"""The changelog's records of one chunk, in order, the marker last. Source: docs/internals.md, "Changelog"."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence

from schemas.state import Marker, encode_struct, pack_ids

WEEKLY = b"w"
IDS = b"i"
APPLIED = b"c"
MARKER = b"m"

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
    """The records of a chunk: weekly entries (week, store key, value), packed ids, applied meters, marker."""
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
    marker = Marker(topic_id, partition, source_next, generation, newest_ms, len(records) + 1)
    records.append((MARKER, encode_struct(marker)))
    return records


def split_weekly(key: bytes) -> tuple[int, bytes]:
    """(week, store key) of a weekly entry's key."""
    return _WEEK.unpack_from(key, 1)[0], key[3:]


def week_of_ids(key: bytes) -> int:
    """The week of a record of packed ids."""
    found: int = _IDS_KEY.unpack(key)[1]
    return found
