"""The bodies of requests for holds, checked."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from hashlib import blake2b
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType

from api.times import Time, in_utc
from domain.errors import Refused
from domain.metering.numbers import read_number
from schemas.cloudevents import decode_request, encode_event
from schemas.holds import Confirm, Create

METADATA_BYTES_MAX = 8 << 10
EVENT_BYTES_MAX = 64 << 10
_DIGITS_MAX = 100

Key = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]


class CreateHoldBody(msgspec.Struct, kw_only=True, rename="camel"):
    """A request to reserve an amount; `expiresIn` (seconds) and `expiresAt` exclude each other."""

    key: Key
    amount: Decimal
    expires_in: float | UnsetType = UNSET
    expires_at: Time | UnsetType = UNSET
    metadata: dict[str, str] | UnsetType | None = UNSET


class ConfirmHoldBody(msgspec.Struct, kw_only=True, rename="camel"):
    """What the work used: an amount, or the event that says it."""

    used: Decimal | UnsetType = UNSET
    event: msgspec.Raw | UnsetType = UNSET


def creation_of(body: CreateHoldBody) -> Create:
    """Refused."""
    amount = _exact(body.amount, "amount")
    if amount <= 0:
        raise Refused("hold_amount_invalid", "an amount is more than 0", "$.amount")
    metadata = body.metadata or None
    if metadata and len(msgspec.json.encode(metadata)) > METADATA_BYTES_MAX:
        raise Refused(
            "metadata_too_large", f"metadata has at most {METADATA_BYTES_MAX} bytes", "$.metadata"
        )
    if body.expires_in is not UNSET and body.expires_at is not UNSET:
        raise Refused("hold_expiry_invalid", "give expiresIn or expiresAt, not both", "$.expiresAt")
    expires_in_s = None if body.expires_in is UNSET else body.expires_in
    if expires_in_s is not None and not 0 < expires_in_s <= _SECONDS_MAX:
        raise Refused("hold_expiry_invalid", "expiresIn is more than 0 seconds", "$.expiresIn")
    expires_at = None if body.expires_at is UNSET else in_utc(body.expires_at)
    return Create(
        key=body.key,
        amount=amount,
        digest=_digest(amount.normalize(), expires_in_s, expires_at, metadata),
        expires_in_s=expires_in_s,
        expires_at=expires_at,
        metadata=metadata or None,
    )


_SECONDS_MAX = 10_000_000.0
"""Far above what `holds.ttl_max` may be, which the worker knows."""


def confirmation_of(key: str, body: ConfirmHoldBody, now: datetime) -> Confirm:
    """Refused; an event gets its time now when it has none."""
    if (body.used is UNSET) == (body.event is UNSET):
        raise Refused("hold_used_or_event", "give used or event, one of them", "$.used")
    if body.used is not UNSET:
        used = _exact(body.used, "used")
        if used < 0:
            raise Refused("hold_amount_invalid", "used is not less than 0", "$.used")
        return Confirm(key=key, digest=_digest(used.normalize()), used=used)
    assert body.event is not UNSET
    text = bytes(body.event)
    if len(text) > EVENT_BYTES_MAX:
        raise Refused(
            "event_too_large", f"the event has at most {EVENT_BYTES_MAX} bytes", "$.event"
        )
    try:
        (event,) = decode_request("application/cloudevents+json", text, now)
    except Refused as error:
        field = f"$.event{error.field[1:]}" if error.field else "$.event"
        raise Refused(error.code, str(error), field) from None
    digest = _digest(_decode_exactly(text))
    return Confirm(key=key, digest=digest, event=encode_event(event).decode())


_decode_exactly = msgspec.json.Decoder(float_hook=Decimal).decode


def _exact(number: Decimal, name: str) -> Decimal:
    """Refused for what is not added up exactly: 28 digits before the point and 38 behind it are."""
    digits = number.as_tuple()
    read = None if len(digits.digits) > _DIGITS_MAX else read_number(number)
    if read is None or isinstance(read, float):
        raise Refused("hold_amount_invalid", f"{name} is no exact number", f"$.{name}")
    return Decimal(read)


def _digest(*parts: Any) -> str:
    """Stands for a request: the same for the same meaning."""
    return blake2b(msgspec.json.encode(parts, order="deterministic"), digest_size=16).hexdigest()
