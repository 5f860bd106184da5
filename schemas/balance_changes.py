"""Records of the balances topic: the value of an entitlement after a change. Key = entitlement id, in UTF-8.

The newest record of a key is the value as its owner last told it; one with `gone` is followed by a tombstone.
"""

from __future__ import annotations

from enum import StrEnum
from hashlib import blake2b

import msgspec

from schemas.balances import Value


class Cause(StrEnum):
    """What changed the value, as far as it is known; `usage` goes for the rest."""

    USAGE = "usage"
    GRANT = "grant"
    RESET = "reset"
    HOLD = "hold"
    MANAGEMENT = "management"


class Change(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`as_of_ms`: events appended up to then are counted. `gone`: the entitlement is deleted, `value` says that it gives nothing."""

    value: Value
    cause: Cause
    as_of_ms: int
    customer_key: str | None = None
    gone: bool = False


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Change).decode


def change_key(entitlement_id: str) -> bytes:
    """The key of an entitlement's records."""
    return entitlement_id.encode()


def encode_change(change: Change) -> bytes:
    """The value of a record."""
    return _encode(change)


def decode_change(value: bytes) -> Change:
    """The inverse of `encode_change`. msgspec.DecodeError."""
    return _decode(value)


def digest_of(value: Value) -> bytes:
    """Tells whether two values are the same."""
    return blake2b(_encode(value), digest_size=8).digest()
