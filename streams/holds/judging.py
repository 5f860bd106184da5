"""Judges requests for holds, one after the other, over what the ledger has and what was judged before them in the same batch.

Nothing here waits or writes. A batch that does not count in the end is judged again from the start.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from domain.errors import NotFound, PreconditionFailed, Refused, Unavailable
from domain.holds.hold import Hold, Wanted, confirm, grant, refuse_late, release
from schemas.balances import Question
from schemas.catalog import CustomerRecord, EntitlementRecord
from schemas.entitlement_plans import active_of
from schemas.holds import (
    RECORD_BYTES_MAX,
    Confirm,
    Create,
    HoldCall,
    Release,
    encode_hold,
    hold_key,
)
from streams.holds.ledger import Ledger
from streams.holds.making_events import counting_of_event, counting_of_used
from streams.holds.ports import CatalogView, Values


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What a call is about: a metered entitlement of a live customer."""

    customer: CustomerRecord
    entitlement: EntitlementRecord


def customer_of(call: HoldCall, catalog: CatalogView) -> CustomerRecord:
    """The live customer that a call names. NotFound, PreconditionFailed for a deleted one."""
    customer = catalog.customer(call.customer)
    if customer is None:
        raise NotFound(f"no customer has {call.customer[:80]!r}")
    if customer.deleted_at is not None:
        raise PreconditionFailed(f"customer is deleted: {customer.id}")
    return customer


def place_of(call: HoldCall, catalog: CatalogView, now: datetime) -> Place:
    """Find the entitlement: by its id, or the active one of a feature. NotFound, PreconditionFailed; Refused when it is not metered."""
    customer = customer_of(call, catalog)
    live = [one for one in catalog.entitlements_of(customer.id) if one.deleted_at is None]
    found = next((one for one in live if one.id == call.entitlement), None) or next(
        (one for one in live if one.feature_key == call.entitlement and now in active_of(one)), None
    )
    if found is None:
        raise NotFound(f"the customer has no active entitlement {call.entitlement[:200]!r}")
    if found.type != "metered":
        raise Refused("hold_not_metered", "only metered entitlements can be held", "entitlement")
    return Place(customer=customer, entitlement=found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """`ttl` is a hold's time when it names none, `ttl_max` the longest. Bounds on active holds of an entitlement and a partition.

    `lag_max`: nothing is granted over a balance that has not counted what arrived that long ago.
    """

    ttl: timedelta = timedelta(seconds=60)
    ttl_max: timedelta = timedelta(hours=1)
    per_entitlement_max: int = 1_000
    active_max: int = 100_000
    lag_max: timedelta = timedelta(seconds=10)


@dataclass(slots=True)
class Batch:
    """What was judged so far: records to write, and what they will have reserved besides the ledger."""

    now: datetime
    holds: dict[bytes, Hold] = field(default_factory=dict)
    encoded: dict[bytes, bytes] = field(default_factory=dict)
    more: dict[str, Decimal] = field(default_factory=dict)
    made: dict[str, int] = field(default_factory=dict)
    free: dict[str, Decimal] = field(default_factory=dict)

    def put(self, key: bytes, hold: Hold) -> None:
        """A hold to write. Refused when it is too long a record."""
        value = encode_hold(hold)
        if len(value) > RECORD_BYTES_MAX:
            raise Refused(
                "hold_too_large", f"a hold and its events have at most {RECORD_BYTES_MAX} bytes"
            )
        self.holds[key] = hold
        self.encoded[key] = value

    def size(self) -> int:
        """Of all that is to be written."""
        return sum(map(len, self.encoded.values()))

    def records(self) -> list[tuple[bytes, bytes | None]]:
        """For the topic, the newest of each key."""
        return list(self.encoded.items())


class Judge:
    """Decides over the holds of one partition."""

    def __init__(
        self,
        ledger: Ledger,
        catalog: CatalogView,
        values: Values,
        *,
        new_id: Callable[[], str],
        wall_ms: Callable[[], int],
        rules: Rules,
    ) -> None:
        self._ledger, self._catalog, self._values = ledger, catalog, values
        self._new_id, self._wall_ms, self._rules = new_id, wall_ms, rules

    def judge(self, call: HoldCall, batch: Batch) -> tuple[Hold, bool]:
        """The hold that the call leads to, and whether it was made by it; what is to be written goes into `batch`.

        NotFound, Refused, HoldConflict; Unavailable when the balance is not known well enough.
        """
        match call.request:
            case Create() as create:
                place = place_of(call, self._catalog, batch.now)
                return self._create(create, place, batch)
            case Confirm() as asked:
                before = self._known(call, batch)
                return self._write(self._confirm(before, asked, batch.now), before, batch), False
            case Release():
                before = self._known(call, batch)
                return self._write(release(before, batch.now), before, batch), False
            case _:
                raise AssertionError("what only reads is not judged")

    def known(self, call: HoldCall, now: datetime) -> Hold:
        """The hold that a call names. NotFound."""
        return self._known(call, Batch(now))

    # -- creating

    def _create(self, create: Create, place: Place, batch: Batch) -> tuple[Hold, bool]:
        entitlement, now = place.entitlement, batch.now
        key = hold_key(entitlement.id, create.key)
        before = self._find(key, batch)
        if before is None and self._ledger.active >= self._rules.active_max:
            raise Unavailable(f"{self._rules.active_max} holds are active: no more room")
        free = Decimal(0) if before is not None else self._free(place, batch)
        hold = grant(
            Wanted(
                id=self._new_id(),
                key=create.key,
                customer_id=place.customer.id,
                entitlement_id=entitlement.id,
                feature_id=entitlement.feature_id,
                feature_key=entitlement.feature_key,
                amount=create.amount,
                digest=create.digest,
                expires_at=now if before is not None else self._expiry(create, now),
                metadata=create.metadata,
            ),
            before,
            free=free,
            active=self._ledger.active_of(entitlement.id) + batch.made.get(entitlement.id, 0),
            active_max=self._rules.per_entitlement_max,
            soft=entitlement.is_soft_limit,
            now=now,
        )
        if before is not None:
            return hold, False
        batch.put(key, hold)
        batch.more[entitlement.id] = batch.more.get(entitlement.id, Decimal(0)) + hold.lowers
        batch.made[entitlement.id] = batch.made.get(entitlement.id, 0) + 1
        return hold, True

    def _expiry(self, create: Create, now: datetime) -> datetime:
        if create.expires_at is not None:
            expires_at, field_ = create.expires_at, "$.expiresAt"
        else:
            seconds = create.expires_in_s
            ttl = self._rules.ttl if seconds is None else timedelta(seconds=seconds)
            expires_at, field_ = now + ttl, "$.expiresIn"
        if not now < expires_at <= now + self._rules.ttl_max:
            most = int(self._rules.ttl_max.total_seconds())
            raise Refused(
                "hold_expiry_invalid", f"a hold lasts more than 0 s and at most {most} s", field_
            )
        return expires_at

    def _free(self, place: Place, batch: Batch) -> Decimal:
        """The balance without everything that is held. Unavailable."""
        id = place.entitlement.id
        if id not in batch.free:
            batch.free[id] = self._balance(place, batch.now)
        return batch.free[id] - batch.more.get(id, Decimal(0))

    def _balance(self, place: Place, now: datetime) -> Decimal:
        question = Question(customer=place.customer.id, features=(place.entitlement.id,))
        answer = self._values(question, now)
        if answer.why is not None:
            raise Unavailable(f"the balance is not known here yet: {answer.why}")
        lag_ms = self._wall_ms() - answer.as_of_ms
        if lag_ms > self._rules.lag_max.total_seconds() * 1000:
            raise Unavailable(f"the balance is {lag_ms} ms behind")
        found = next((one for one in answer.values if one.balance is not None), None)
        if found is None or found.balance is None:
            return Decimal(0)
        return found.balance

    # -- what is there

    def _confirm(self, before: Hold, asked: Confirm, now: datetime) -> Hold:
        if before.confirmed_digest == asked.digest:
            return before
        refuse_late(before, now)
        if asked.used is not None:
            counting = counting_of_used(before, asked.used, self._catalog, now)
        else:
            assert asked.event is not None
            counting = counting_of_event(before, asked.event, self._catalog)
        return confirm(before, used=asked.used, counting=counting, digest=asked.digest, now=now)

    def _known(self, call: HoldCall, batch: Batch) -> Hold:
        """By the entitlement's id, or the newest entitlement to the feature that has the key."""
        customer = customer_of(call, self._catalog)
        request_key = call.request.key  # type: ignore[union-attr]  # a list is not looked up
        for one in reversed(self._catalog.entitlements_of(customer.id)):
            if call.entitlement in (one.id, one.feature_key):
                found = self._find(hold_key(one.id, request_key), batch)
                if found is not None:
                    return found
        raise NotFound(f"no hold with the key {request_key[:80]!r}")

    def _find(self, key: bytes, batch: Batch) -> Hold | None:
        return batch.holds.get(key) or self._ledger.find(key)

    def _write(self, after: Hold, before: Hold, batch: Batch) -> Hold:
        if after is not before:
            id = after.entitlement_id
            batch.put(hold_key(id, after.key), after)
            grown = after.lowers - before.lowers
            if grown > 0:
                batch.more[id] = batch.more.get(id, Decimal(0)) + grown
        return after
