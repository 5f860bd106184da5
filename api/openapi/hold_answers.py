"""What routes of holds and streams answer with, as types."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from api.openapi.answers import Ulid
from api.openapi.operations.events import CloudEvent
from api.times import Time

_USED = "In units of the meter; 0 counts nothing. This or `event`."
_EVENT = "The event that counts what was used: of the meter's type, of a subject of the customer."
_Amount = Annotated[float, Meta(ge=0)]


class HoldCreate(Struct, kw_only=True, rename="camel"):
    """A request to reserve an amount; `expiresIn` and `expiresAt` exclude each other."""

    key: Annotated[
        str,
        Meta(min_length=1, max_length=256, description="Yours: makes the request idempotent."),
    ]
    amount: Annotated[
        float | str, Meta(description="In units of the meter: a number, or its digits as text.")
    ]
    expires_in: Annotated[
        float | UnsetType,
        Meta(description="Seconds; one minute when neither this nor `expiresAt` is given."),
    ] = UNSET
    expires_at: Annotated[
        Time | UnsetType, Meta(description="RFC 3339 with a zone; at most an hour from now.")
    ] = UNSET
    metadata: Annotated[
        dict[str, str] | UnsetType | None, Meta(description="Your own keys and values.")
    ] = UNSET


class HoldConfirm(Struct, kw_only=True):
    """What the work used: an amount, or the event that says it."""

    used: Annotated[float | str | UnsetType, Meta(description=_USED)] = UNSET
    event: Annotated[CloudEvent | UnsetType, Meta(description=_EVENT)] = UNSET


class HoldAnswer(Struct, kw_only=True, rename="camel"):
    """An amount that is reserved, or was."""

    id: Ulid
    key: Annotated[str, Meta(min_length=1, max_length=256)]
    customer_id: Ulid
    entitlement_id: Ulid
    feature_id: Ulid
    feature_key: str
    amount: _Amount
    balance: Annotated[
        float, Meta(ge=0, description="What was left when it was granted, without it.")
    ]
    status: Literal["active", "expired", "confirmed", "released"]
    created_at: datetime
    expires_at: datetime
    ended_at: Annotated[
        datetime | UnsetType, Meta(description="When it was confirmed or released.")
    ] = UNSET
    used: Annotated[
        _Amount | UnsetType, Meta(description="Of one that was confirmed with an amount.")
    ] = UNSET
    metadata: dict[str, str] | UnsetType = UNSET


class HoldPageAnswer(Struct, kw_only=True, rename="camel"):
    """Holds by key."""

    items: list[HoldAnswer]
    next_after: Annotated[
        str | UnsetType, Meta(description="There may be more: ask for those `after` this key.")
    ] = UNSET
