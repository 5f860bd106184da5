"""Records of the usage topic as the balances read them: rows, values of UNIQUE_COUNT, and how far a source partition is.

Rows of a subject come from one source partition, the one that owns the subject, whatever partition of this topic they are
sent to: that of the subject's customer. So positions of two records of the same key can always be compared.
"""

from __future__ import annotations

import struct

import msgspec

PROGRESS = b"p"
_U32 = struct.Struct(">I")
UNIQUE_KEY_BYTES = 32
PROGRESS_KEY_BYTES = 5


class Progress(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """Everything of `partition` below position `source_next` has been sent before this record, or stands in ClickHouse.

    `catalog`: the catalog's version by which subjects found their customers from `source_next` on, at least.
    `as_of_ms`: up to when (append time, Unix milliseconds) the events of this partition are counted; the time of the record
    itself where nothing was waiting.
    """

    partition: int
    source_next: int
    catalog: int
    as_of_ms: int


_decode = msgspec.msgpack.Decoder(Progress).decode


def progress_key(partition: int) -> bytes:
    """The key: compaction keeps the newest of each source partition."""
    return PROGRESS + _U32.pack(partition)


def is_progress(key: bytes) -> bool:
    """Whether a record tells of progress."""
    return len(key) == PROGRESS_KEY_BYTES


def is_unique(key: bytes) -> bool:
    """Whether a record is a value of UNIQUE_COUNT: hash of the row key and hash of the value; the row key is its value."""
    return len(key) == UNIQUE_KEY_BYTES


def encode_progress(progress: Progress) -> bytes:
    """The value of a record."""
    return msgspec.msgpack.encode(progress)


def decode_progress(value: bytes) -> Progress:
    """The inverse of `encode_progress`."""
    return _decode(value)


def progress_in(value: bytes) -> Progress | None:
    """The same of a record that anybody may have written; None: it tells of no progress."""
    try:
        return _decode(value)
    except msgspec.DecodeError:
        return None
