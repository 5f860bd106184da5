"""Values of entitlements between processes: what a worker answers the API, and what the balances topic carries."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

import msgspec


class Value(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The value of one entitlement at an instant. Inactive: only `has_access` False. Static: `config`. Metered: the rest."""

    entitlement_id: str
    customer_id: str
    feature_id: str
    feature_key: str
    type: str
    has_access: bool
    balance: Decimal | None = None
    usage: Decimal | None = None
    overage: Decimal | None = None
    total_available: Decimal | None = None
    grant_balances: dict[str, Decimal] | None = None
    """Of the grants active at the instant."""
    held: Decimal | None = None
    """What holds have reserved; `balance` is without it already, `grant_balances` are not. None = nothing."""
    config: str | None = None
    period_start: datetime | None = None
    period_end: datetime | None = None
    next_cut_at: datetime | None = None
    """Until then the value changes by usage, holds and management only."""


class Question(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is the value of these? `customer`: id or key; with `by_subject` a subject's key: whoever's usage its events are.

    `features`: feature keys or entitlement ids, None = all active ones. `at`: Unix seconds, None = now. A question about the past
    of what a worker has kept is for the API to compute. `access_only`: the answer's `access` is enough.
    """

    customer: str
    features: tuple[str, ...] | None = None
    at: int | None = None
    by_subject: bool = False
    access_only: bool = False


class Answer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """To one question, in its order. `why` None: `values` has all there is to say; those not found are left out.

    Otherwise nobody may rely on it: `unknown` (no such customer), `deleted` (customer), `loading` (history on its way), `behind` (the
    catalog version asked for has not come), `elsewhere` (another partition's; `partition` says which), `past` (not kept).
    """

    values: tuple[Value, ...] = ()
    why: str | None = None
    customer_id: str | None = None
    partition: int | None = None
    as_of_ms: int = 0
    """Events appended up to then are counted."""
    access: dict[str, bool] | None = None
    """Instead of values, where only that was asked for: by feature key, whether there is access."""


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """A call to a worker: `catalog` is the version that the answers must have seen (the worker waits up to 200 ms for it)."""

    questions: tuple[Question, ...]
    catalog: int = 0


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker answers to a call. `role`: owner or standby, of the partitions that the answers come from."""

    answers: tuple[Answer, ...]
    role: str
    catalog: int
