"""Keys and values of the catalog's database (docs/internals.md, "Catalog of a worker"): all in the default family.

An entity is stored as its version and the topic's value as it came, so that a program which knows more fields finds them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import NamedTuple

import msgspec

FORMAT = 1
STAMP = b"stamp"
ENTITLEMENT = b"e"
"""Entitlement id -> its version and its customer's id."""
OF_CUSTOMER = b"n"
"""Customer id and entitlement id -> the entitlement."""
CLAIM = b"s"
"""Subject -> the live customers that name it, as key or as subject key."""
HOME = b"b"
"""Usage partition and customer id: the live customers of a partition."""
OF_METER = b"f"
"""Meter id and feature id."""
LEFT_OUT = b"x"
"""Offset -> a value of the topic that this program could not read; tried again at each start."""

_KINDS = {
    "customer": b"c",
    "feature": b"t",
    "meter": b"m",
    "clock": b"k",
    "entitlement": ENTITLEMENT,
}
_U16 = struct.Struct(">H")
_U32 = struct.Struct(">I")
_U64 = struct.Struct(">Q")


class Stamp(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """Where the database stands: everything of the topic before offset `next` is in it."""

    format: int = FORMAT
    topic_id: str
    partitions: int
    next: int = 0
    version: int = 0
    left_out: int = 0


class Claim(NamedTuple):
    """A live customer names a subject: `rank` 0 as its key, 1 as a subject key; `version` of its record."""

    rank: int
    customer: str
    version: int


encode_stamp = msgspec.msgpack.Encoder().encode
decode_stamp = msgspec.msgpack.Decoder(Stamp).decode
encode_claims = msgspec.msgpack.Encoder().encode
_decode_claims = msgspec.msgpack.Decoder(list[tuple[int, str, int]]).decode


def decode_claims(value: bytes | None) -> list[Claim]:
    """The claims on a subject, none for a subject that is not there."""
    return [] if value is None else [Claim(*claim) for claim in _decode_claims(value)]


def winner(claims: Iterable[Claim]) -> str | None:
    """Whose usage the subject's events are. Two of one rank there are only between two records: the newer one counts."""
    best = min(claims, key=_precedence, default=None)
    return None if best is None else best.customer


def _precedence(claim: Claim) -> tuple[int, int, str]:
    return claim.rank, -claim.version, claim.customer


def text(value: str) -> bytes:
    """Bytes of a text, whatever JSON made of it."""
    return value.encode("utf-8", "surrogatepass")


def prefix(kind: bytes, value: str) -> bytes:
    """The beginning of keys that are told apart by what follows: no text is the beginning of another one's."""
    raw = text(value)
    return kind + _U32.pack(len(raw)) + raw


def entity_key(kind: str, id: str) -> bytes:
    """Where an entity stands; of an entitlement, where its customer is named. KeyError for an unknown kind."""
    return _KINDS[kind] + text(id)


def entitlement_key(customer: str, id: str) -> bytes:
    """Where an entitlement itself stands, beside the others of its customer."""
    return prefix(OF_CUSTOMER, customer) + text(id)


def claim_key(subject: str) -> bytes:
    """Where the claims on a subject stand."""
    return CLAIM + text(subject)


def home_prefix(partition: int) -> bytes:
    """The beginning of the keys of the customers of a partition."""
    return HOME + _U16.pack(partition)


def left_out_key(offset: int) -> bytes:
    """Where a value stands that could not be read."""
    return LEFT_OUT + _U64.pack(offset)


def versioned(version: int, value: bytes) -> bytes:
    """A stored value."""
    return _U64.pack(version) + value


def split_versioned(value: bytes) -> tuple[int, bytes]:
    """(version, value) of a stored value."""
    version: int = _U64.unpack_from(value)[0]
    return version, value[8:]
