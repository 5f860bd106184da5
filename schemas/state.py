"""Bytes of the state: keys and values of RocksDB, of the changelog and of the usage topic.

Everything here is stored: see docs/internals.md before changing a byte.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from hashlib import blake2b
from itertools import chain, repeat
from typing import Any, NamedTuple

import msgspec

from domain.metering.rows import Exact, Latest, Number, Row
from domain.metering.ulid import ulid_bytes, ulid_text
from schemas.catalog import MeterRecord

SCHEMA_VERSION = 1
WEEK_MS = 7 * 24 * 3600 * 1000

SEEN = b"s"
ROW = b"r"
UNIQUE = b"u"

_U16 = struct.Struct(">H")
_U32 = struct.Struct(">I")
_U64 = struct.Struct(">Q")
_VERSION_AND_MINUTE = struct.Struct(">Iq")
_MINUTE_AND_LENGTH = struct.Struct(">qI")
_PACKED_BYTES = struct.Struct("16s8s")

_encode = msgspec.msgpack.Encoder(decimal_format="string").encode

pack_u64 = _U64.pack


def unpack_u64(value: bytes) -> int:
    """Eight bytes big endian."""
    found: int = _U64.unpack(value)[0]
    return found


def week_of(appended_ms: int) -> int:
    """The week family of what arrived at `appended_ms` (Unix milliseconds)."""
    return appended_ms // WEEK_MS


# -- identity


def identity(namespace: str, source: str, id_: str, subject: str) -> bytes:
    """The 128-bit identity of an event: msgpack puts its length before every field, so no two tuples give the same bytes."""
    return blake2b(_encode((namespace, source, id_, subject)), digest_size=16).digest()


def identities(
    namespace: str, sources: Iterable[str], ids: Iterable[str], subjects: Iterable[str]
) -> list[bytes]:
    """The identity of each event, given by columns."""
    encode = _encode
    return [
        blake2b(fields, digest_size=16).digest()
        for fields in map(encode, zip(repeat(namespace), sources, ids, subjects, strict=False))
    ]


def value_hash(text: str) -> bytes:
    """The 128-bit hash of a value of a UNIQUE_COUNT meter."""
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


# -- row keys


class RowKey(NamedTuple):
    """Whose row: meter (ULID text), its version, minute, subject and group values."""

    meter: str
    version: int
    minute: int
    subject: str
    groups: tuple[str, ...]


def row_key_prefix(meter: str, version: int) -> bytes:
    """The part of a row key that all rows of a meter version share."""
    return ulid_bytes(meter) + _U32.pack(version)


def row_key_body(subject: str, minute: int, groups: Sequence[str]) -> bytes:
    """The rest of a row key."""
    raw = subject.encode()
    body = _MINUTE_AND_LENGTH.pack(minute, len(raw)) + raw
    for group in groups:
        raw = group.encode("utf-8", "surrogatepass")
        body += _U32.pack(len(raw)) + raw
    return body


def decode_row_key(key: bytes) -> RowKey:
    """The inverse of prefix + body."""
    version, minute = _VERSION_AND_MINUTE.unpack_from(key, 16)
    texts = []
    at = 28
    while at < len(key):
        (length,) = _U32.unpack_from(key, at)
        texts.append(key[at + 4 : at + 4 + length].decode("utf-8", "surrogatepass"))
        at += 4 + length
    return RowKey(ulid_text(key[:16]), version, minute, texts[0], tuple(texts[1:]))


def usage_key(row_key: bytes, epoch: int) -> bytes:
    """The key of a row in the usage topic: a row that begins anew after its week is gone never replaces the one before."""
    return row_key + pack_u64(epoch)


def unique_key(row_key: bytes, value: bytes) -> bytes:
    """The key of one value of a row: hash of the row key, then hash of the value."""
    return blake2b(row_key, digest_size=16).digest() + value


# -- row values

_decode = msgspec.msgpack.Decoder().decode


def encode_row(row: Row) -> bytes:
    """A row as a msgpack array; floats as float, integers as int, decimals as text.

    msgpack's integers end at 64 bits: longer ones are text with an "i" at the end.
    """
    try:
        return _encode(row)
    except OverflowError:
        return _encode(_with_texts(row))


def encode_rows(rows: Sequence[Row]) -> list[bytes]:
    """Each row as `encode_row` gives it."""
    try:
        return list(map(_encode, rows))
    except OverflowError:
        return list(map(encode_row, rows))


def _with_texts(values: Iterable[Any]) -> list[Any]:
    """The same with integers as text that msgpack cannot hold."""
    return [
        f"{value}i"
        if type(value) is int and not -(1 << 63) <= value < 1 << 64
        else _with_texts(value)
        if type(value) is Latest
        else value
        for value in values
    ]


def decode_row(value: bytes) -> Row:
    """The inverse of `encode_row`."""
    epoch, position, count, numeric, total, outside, least, most, latest = _decode(value)
    return Row(
        epoch,
        position,
        count,
        numeric,
        total if type(total) is not str else _exact(total),
        outside,
        least if type(least) is not str else _exact(least),
        most if type(most) is not str else _exact(most),
        None if latest is None else _latest(*latest),
    )


def _latest(second: int, position: int, value: Number | str) -> Latest:
    return Latest(second, position, _exact(value) if isinstance(value, str) else value)


def _exact(text: str) -> Exact:
    return int(text[:-1]) if text[-1] == "i" else Decimal(text)


# -- ids of a chunk


def pack_ids(ids: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Hash and position (`pack_u64`) of every id of a chunk, 24 bytes each."""
    return b"".join(chain.from_iterable(ids))


def iter_packed_ids(packed: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(hash, position as eight bytes big endian) of every packed id."""
    return _PACKED_BYTES.iter_unpack(packed)


# -- what the state knows about itself


class Stamp(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """Where the state stands: everything before `source_next` is in it, up to `changelog_next` of its changelog.

    Not `complete`: it has records from beyond `source_next`, and the marker that says how far they go is still to be read.
    """

    schema_version: int = SCHEMA_VERSION
    topic_id: str
    partition: int
    source_next: int
    changelog_next: int
    generation: int
    newest_ms: int
    complete: bool = True


EMPTY = Stamp(
    topic_id="", partition=-1, source_next=0, changelog_next=0, generation=-1, newest_ms=0
)
"""Where a new state stands."""


class Marker(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """The last record of a batch of `records` records (itself included) that its writer expected to begin at `begins_at`.

    A batch that begins elsewhere in the changelog does not count: its writer did not know what stands before it.
    """

    schema_version: int = SCHEMA_VERSION
    topic_id: str
    partition: int
    source_next: int
    generation: int
    newest_ms: int
    records: int
    begins_at: int


class SinkPlan(msgspec.Struct, frozen=True, array_like=True):
    """The block that is being written: positions `[first, next)`."""

    first: int
    next: int


@dataclass(frozen=True, slots=True)
class Applied:
    """A meter version counts events from `start` on, before `until` (None: still)."""

    meter: MeterRecord
    start: int
    until: int | None

    @property
    def key(self) -> tuple[str, int]:
        """(meter id, version)."""
        return self.meter.id, self.meter.version

    def stopped(self, at: int) -> Applied:
        """The same, up to `at`."""
        return replace(self, until=at)

    def encoded(self) -> tuple[bytes, bytes]:
        """Key and value as stored."""
        return row_key_prefix(*self.key), msgspec.json.encode(
            {"meter": self.meter, "start": self.start, "until": self.until}
        )


class _AppliedWire(msgspec.Struct):
    meter: MeterRecord
    start: int
    until: int | None


def decode_applied(value: bytes) -> Applied:
    """The inverse of `Applied.encoded`'s value."""
    wire = msgspec.json.decode(value, type=_AppliedWire)
    return Applied(wire.meter, wire.start, wire.until)


def encode_struct(value: Stamp | Marker | SinkPlan) -> bytes:
    """A stamp, marker or plan as msgpack."""
    return msgspec.msgpack.encode(value)


def format_version(value: bytes) -> int:
    """The schema version of an encoded stamp or marker, whatever else that version holds."""
    found: int = msgspec.msgpack.decode(value)[0]
    return found


def decode_stamp(value: bytes) -> Stamp:
    """The inverse of `encode_struct` for stamps."""
    return msgspec.msgpack.decode(value, type=Stamp)


def decode_marker(value: bytes) -> Marker:
    """The inverse of `encode_struct` for markers."""
    return msgspec.msgpack.decode(value, type=Marker)


def decode_plan(value: bytes) -> SinkPlan:
    """The inverse of `encode_struct` for plans."""
    return msgspec.msgpack.decode(value, type=SinkPlan)
