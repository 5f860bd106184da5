"""Holds between processes: the records of the holds topic, and what the API asks the worker that decides of them.

A record of the topic: key = entitlement id + "/" + the hold's key, value = the hold in JSON (`domain.holds.hold.Hold`), or
none when it is forgotten. The header `at` is the offset at which the writer expected the record to stand: a record that
stands elsewhere was written by somebody who did not know all that is before it, and does not count (0050's rule).
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

import msgspec

from domain.holds.hold import Hold

AT_HEADER = "at"
RECORD_BYTES_MAX = 512 << 10
"""Of one hold with the events of its confirmation."""
BATCH_BYTES_MAX = 8 << 20
"""Of the holds that are decided together, about."""


class HoldRecord(NamedTuple):
    """A record of the topic as it was read; `at` is where its writer expected it, None when it does not say."""

    offset: int
    key: bytes
    value: bytes | None
    at: int | None


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Hold).decode


def hold_key(entitlement_id: str, key: str) -> bytes:
    """The key of a hold's records. An id has no slash."""
    return f"{entitlement_id}/{key}".encode()


def encode_hold(hold: Hold) -> bytes:
    """The value of a record."""
    return _encode(hold)


def decode_hold(value: bytes) -> Hold:
    """The inverse of `encode_hold`. msgspec.DecodeError."""
    return _decode(value)


class Create(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="create"):
    """Reserve `amount` until `expires_at`, or for `expires_in_s` from when it is granted (at most `holds.ttl_max`)."""

    amount: Decimal
    key: str
    digest: str
    expires_in_s: float | None = None
    expires_at: datetime | None = None
    metadata: dict[str, str] | None = None


class Confirm(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="confirm"):
    """The work was done: it used `used`, or `event` (a CloudEvent in JSON, with its time) says what."""

    key: str
    digest: str
    used: Decimal | None = None
    event: str | None = None


class Release(msgspec.Struct, frozen=True, kw_only=True, tag="release"):
    """The work was not done."""

    key: str


class Read(msgspec.Struct, frozen=True, kw_only=True, tag="read"):
    """What is this hold?"""

    key: str


class List(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="list"):
    """All holds that are remembered, by key, after `after`."""

    limit: int
    after: str | None = None


Request = Create | Confirm | Release | Read | List


class HoldCall(msgspec.Struct, frozen=True, kw_only=True):
    """`customer`: id or key. `entitlement`: id, or the key of its feature. `catalog` is the version that must have been seen."""

    customer: str
    entitlement: str
    request: Request
    catalog: int = 0


class HoldView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A hold as it is at the moment of the answer."""

    id: str
    key: str
    customer_id: str
    entitlement_id: str
    feature_id: str
    feature_key: str
    amount: Decimal
    balance: Decimal
    status: str
    created_at: datetime
    expires_at: datetime
    ended_at: datetime | None = None
    used: Decimal | None = None
    metadata: dict[str, str] | None = None


class HoldTold(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer. `why` names what stands against it: a problem of the request (`refused`, `not_found`, `precondition_failed`,
    `conflict` with code, message and field), or of the moment: `elsewhere` (`partition` says whose it is), `unavailable`.

    `created`: this call made it.
    """

    holds: tuple[HoldView, ...] = ()
    created: bool = False
    why: str | None = None
    code: str | None = None
    message: str = ""
    field: str | None = None
    partition: int | None = None
    customer_id: str | None = None
    """Of `elsewhere`, so that the next call finds its way."""


def view_of(hold: Hold, now: datetime) -> HoldView:
    """What is told of a hold."""
    return HoldView(
        id=hold.id,
        key=hold.key,
        customer_id=hold.customer_id,
        entitlement_id=hold.entitlement_id,
        feature_id=hold.feature_id,
        feature_key=hold.feature_key,
        amount=hold.amount,
        balance=hold.balance,
        status=hold.status(now).value,
        created_at=hold.created_at,
        expires_at=hold.expires_at,
        ended_at=hold.ended_at,
        used=hold.used,
        metadata=None if hold.metadata is None else dict(hold.metadata),
    )


_decode_call = msgspec.msgpack.Decoder(HoldCall).decode
_decode_told = msgspec.msgpack.Decoder(HoldTold).decode
_pack = msgspec.msgpack.Encoder().encode


def encode_call(call: HoldCall) -> bytes:
    """The body of a call."""
    return _pack(call)


def decode_call(body: bytes) -> HoldCall:
    """The inverse of `encode_call`. msgspec.DecodeError."""
    return _decode_call(body)


def encode_told(told: HoldTold) -> bytes:
    """The body of an answer."""
    return _pack(told)


def decode_told(body: bytes | bytearray) -> HoldTold:
    """The inverse of `encode_told`. msgspec.DecodeError."""
    return _decode_told(body)
