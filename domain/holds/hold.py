"""A hold: an amount of a metered entitlement that is reserved for a time before the work, then confirmed or given back.

From its granting to its end it lowers the balance. A confirmed one does so until the balance has counted the events that
were made of it, so that there is no moment in which neither lowers it. Expiry needs no record: it is a matter of time.
Source: docs/decisions/0162-holds-are-decided-by-their-topic.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from domain.holds import errors

KEY_LENGTH_MAX = 256


class HoldState(StrEnum):
    """What was decided of a hold. That it has expired is never recorded: an active one whose time is over."""

    ACTIVE = "active"
    CONFIRMED = "confirmed"
    RELEASED = "released"


class Status(StrEnum):
    """What a hold is at an instant."""

    ACTIVE = "active"
    EXPIRED = "expired"
    CONFIRMED = "confirmed"
    RELEASED = "released"


@dataclass(frozen=True, slots=True, kw_only=True)
class Counting:
    """Where the events of a confirmation stand: below position `until` of the source partition, which `subject` decides.

    `until` None: they are not known to be in the log yet; the owner sends them (again). They count once by their ids.
    `minute` is where the last of them begins to count: a balance as of an earlier time, or of its very start, is without it.
    """

    subject: str
    minute: datetime
    events: tuple[str, ...]
    """Their JSON text."""
    partition: int | None = None
    until: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """One hold. `digest` stands for the request that made it, `confirmed_digest` for the one that confirmed it.

    `balance` is what was free after it was granted. `lowers` is by how much it lowers the balance while it counts: the
    amount, after a confirmation with a known usage that usage. `ended_at`: when it was confirmed or released.
    """

    id: str
    key: str
    customer_id: str
    entitlement_id: str
    feature_id: str
    feature_key: str
    amount: Decimal
    lowers: Decimal
    balance: Decimal
    digest: str
    created_at: datetime
    expires_at: datetime
    metadata: Mapping[str, str] | None = None
    state: HoldState = HoldState.ACTIVE
    ended_at: datetime | None = None
    used: Decimal | None = None
    confirmed_digest: str | None = None
    counting: Counting | None = None

    def status(self, now: datetime) -> Status:
        """What it is at `now`."""
        if self.state is HoldState.ACTIVE:
            return Status.ACTIVE if now < self.expires_at else Status.EXPIRED
        return Status(self.state.value)

    @property
    def counts_until(self) -> tuple[int, int] | None:
        """Of a confirmed one: the source partition and the position that the balance must have passed; None = not known."""
        found = self.counting
        if found is None or found.partition is None or found.until is None:
            return None
        return found.partition, found.until

    @property
    def is_to_send(self) -> bool:
        """Whether its events have to be put into the log."""
        return self.counting is not None and self.counting.until is None

    def over_at(self) -> datetime:
        """When nothing more can become of it: its end, or its expiry."""
        return self.ended_at if self.ended_at is not None else self.expires_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A request for a hold: everything of the hold but what the granting decides."""

    id: str
    key: str
    customer_id: str
    entitlement_id: str
    feature_id: str
    feature_key: str
    amount: Decimal
    digest: str
    expires_at: datetime
    metadata: Mapping[str, str] | None = None


def grant(
    wanted: Wanted,
    before: Hold | None,
    *,
    free: Decimal,
    active: int,
    active_max: int,
    soft: bool,
    now: datetime,
) -> Hold:
    """The hold that answers a request. `before` is the one under its key, `free` the balance less all that is held.

    The hold under the key is the answer to the request that made it, whatever has become of it since. HoldConflict.
    """
    if before is not None:
        if before.digest != wanted.digest:
            raise errors.key_reused(wanted.key)
        return before
    if active >= active_max:
        raise errors.too_many(active)
    if wanted.amount > free and not soft:
        raise errors.exceeds_balance(wanted.amount, max(free, Decimal(0)))
    return Hold(
        id=wanted.id,
        key=wanted.key,
        customer_id=wanted.customer_id,
        entitlement_id=wanted.entitlement_id,
        feature_id=wanted.feature_id,
        feature_key=wanted.feature_key,
        amount=wanted.amount,
        lowers=wanted.amount,
        balance=max(free - wanted.amount, Decimal(0)),
        digest=wanted.digest,
        created_at=now,
        expires_at=wanted.expires_at,
        metadata=wanted.metadata,
    )


def confirm(
    hold: Hold, *, used: Decimal | None, counting: Counting | None, digest: str, now: datetime
) -> Hold:
    """The hold after its confirmation; the same one when this request confirmed it already. HoldConflict.

    `used`: what the events add to the usage, None when they were given as such. `counting` None: nothing was used.
    """
    if hold.confirmed_digest == digest:
        return hold
    refuse_late(hold, now)
    lowers = hold.amount if used is None else used
    return replace(
        hold,
        state=HoldState.CONFIRMED,
        ended_at=now,
        used=used,
        lowers=lowers if counting is not None else Decimal(0),
        counting=counting,
        confirmed_digest=digest,
    )


def refuse_late(hold: Hold, now: datetime) -> None:
    """HoldConflict when something else has become of the hold already."""
    match hold.status(now):
        case Status.CONFIRMED:
            raise errors.confirmed(hold.key)
        case Status.RELEASED:
            raise errors.released(hold.key)
        case Status.EXPIRED:
            raise errors.expired(hold.key)


def release(hold: Hold, now: datetime) -> Hold:
    """The hold after it was given back; the same one when there was nothing to give back any more. HoldConflict."""
    match hold.status(now):
        case Status.CONFIRMED:
            raise errors.confirmed(hold.key)
        case Status.RELEASED | Status.EXPIRED:
            return hold
    return replace(hold, state=HoldState.RELEASED, ended_at=now, lowers=Decimal(0))


def sent(hold: Hold, partition: int, until: int) -> Hold:
    """The hold once its events are in the log, below position `until` of the source partition. Their text is not needed any more."""
    assert hold.counting is not None
    counting = replace(hold.counting, events=(), partition=partition, until=until)
    return replace(hold, counting=counting)


def reserves(hold: Hold, now: datetime, source_next: Mapping[int, int]) -> Decimal:
    """By how much a hold lowers a balance that has counted the events below `source_next` of each source partition."""
    if hold.state is HoldState.CONFIRMED:
        return Decimal(0) if _is_counted(hold, now, source_next) else hold.lowers
    return hold.lowers if hold.status(now) is Status.ACTIVE else Decimal(0)


def _is_counted(hold: Hold, now: datetime, source_next: Mapping[int, int]) -> bool:
    """Whether the balance as of `now` has the events of a confirmation, or there are none."""
    if hold.counting is None:
        return True
    until = hold.counts_until
    if until is None or source_next.get(until[0], 0) < until[1]:
        return False
    return now > hold.counting.minute
