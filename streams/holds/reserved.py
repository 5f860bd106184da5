"""What the holds of a partition reserve, by entitlement, in memory: asked with every balance that is read."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from domain.holds.hold import Hold, HoldState, reserves
from streams.holds.ports import SourceNext

_NOTHING = Decimal(0)


@dataclass(slots=True)
class _Of:
    """Of one entitlement: its holds by key, the sum of the active ones, and when the first of those expires."""

    holds: dict[bytes, Hold] = field(default_factory=dict)
    active: Decimal = _NOTHING
    expires_first: datetime | None = None
    confirmed: int = 0


class Reserved:
    """Holds that lower a balance, or may. Bounded by what is granted: `holds.active_max` of them."""

    def __init__(self, source_next: SourceNext) -> None:
        self._source_next = source_next
        self._by_entitlement: dict[str, _Of] = {}
        self._expiring: list[tuple[datetime, str, bytes]] = []
        self._confirmed: dict[bytes, str] = {}
        self.pinned: set[bytes] = set()
        """Holds that are being confirmed: decided in time, so that they do not expire while it is being written."""
        self.count = 0

    def held(self, entitlement_id: str, now: datetime) -> Decimal:
        """How much of the entitlement is reserved at `now`."""
        of = self._by_entitlement.get(entitlement_id)
        if of is None:
            return _NOTHING
        if not of.confirmed and (of.expires_first is None or now < of.expires_first):
            return of.active
        source_next = self._source_next()
        return sum(
            (
                hold.lowers if key in self.pinned else reserves(hold, now, source_next)
                for key, hold in of.holds.items()
            ),
            _NOTHING,
        )

    def active_of(self, entitlement_id: str) -> int:
        """How many holds of the entitlement reserve something."""
        of = self._by_entitlement.get(entitlement_id)
        return 0 if of is None else len(of.holds)

    def put(self, key: bytes, hold: Hold, now: datetime) -> None:
        """A hold as it is now."""
        self.remove(key, hold.entitlement_id)
        if not hold.lowers and not hold.is_to_send:
            return
        if hold.state is HoldState.RELEASED:
            return
        of = self._by_entitlement.setdefault(hold.entitlement_id, _Of())
        of.holds[key] = hold
        self.count += 1
        if hold.state is HoldState.ACTIVE:
            heapq.heappush(self._expiring, (hold.expires_at, hold.entitlement_id, key))
        else:
            self._confirmed[key] = hold.entitlement_id
        _sum_up(of)

    def remove(self, key: bytes, entitlement_id: str) -> None:
        """A hold that reserves nothing any more."""
        of = self._by_entitlement.get(entitlement_id)
        if of is None or of.holds.pop(key, None) is None:
            return
        self.count -= 1
        self._confirmed.pop(key, None)
        _sum_up(of)
        if not of.holds:
            del self._by_entitlement[entitlement_id]

    def over(self, now: datetime) -> Collection[str]:
        """Let go of what has expired or is counted; the entitlements whose balances that raises or settles."""
        changed = set(self._let_go_expired(now))
        if self._confirmed:
            changed |= set(self._let_go_counted(now))
        return changed

    def _let_go_expired(self, now: datetime) -> Iterable[str]:
        again = []
        while self._expiring and self._expiring[0][0] <= now:
            entry = heapq.heappop(self._expiring)
            expires_at, entitlement_id, key = entry
            of = self._by_entitlement.get(entitlement_id)
            hold = None if of is None else of.holds.get(key)
            if hold is None or hold.state is not HoldState.ACTIVE or hold.expires_at != expires_at:
                continue
            if key in self.pinned:
                again.append(entry)
                continue
            self.remove(key, entitlement_id)
            yield entitlement_id
        for entry in again:
            heapq.heappush(self._expiring, entry)

    def _let_go_counted(self, now: datetime) -> Iterable[str]:
        source_next = self._source_next()
        for key, entitlement_id in list(self._confirmed.items()):
            hold = self._by_entitlement[entitlement_id].holds[key]
            if not hold.is_to_send and not reserves(hold, now, source_next):
                self.remove(key, entitlement_id)
                yield entitlement_id


def _sum_up(of: _Of) -> None:
    active = [hold for hold in of.holds.values() if hold.state is HoldState.ACTIVE]
    of.active = sum((hold.lowers for hold in active), _NOTHING)
    of.expires_first = min((hold.expires_at for hold in active), default=None)
    of.confirmed = len(of.holds) - len(active)
