"""The holds of one balance partition as their topic has them: the same at the owner and at a standby, whoever wrote.

A record counts when it stands where its writer expected it. So the topic itself decides between an owner and one that has
not learned yet that it is none: of two that judged over the same holds the first counts, the other one reads it and judges
again. Nothing else changes the holds: the owner, too, answers from what it has read back.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import msgspec

from domain.holds.hold import Hold
from schemas.holds import HoldRecord, decode_hold, hold_key
from streams.holds.ports import SourceNext
from streams.holds.reserved import Reserved
from tables.holds import HoldsStore

log = logging.getLogger(__name__)

Changed = Callable[[Sequence[str]], None]


class Ledger:
    """Reads the topic's records and knows every hold. All sync but `reached`."""

    def __init__(
        self,
        store: HoldsStore,
        source_next: SourceNext,
        now: Callable[[], datetime],
        *,
        kept: timedelta,
    ) -> None:
        self._store, self._now, self._kept = store, now, kept
        self._reserved = Reserved(source_next)
        self._to_send: dict[bytes, Hold] = {}
        self._to_mend = dict.fromkeys(store.to_mend())
        self._ended: deque[tuple[datetime, bytes]] = deque()
        self._waiters: set[asyncio.Future[None]] = set()
        self.changed: Changed = lambda ids: None
        """Called with the entitlements whose holds changed."""
        self._load()

    def _load(self) -> None:
        now = self._now()
        ended = []
        for key, value in self._store.after(b""):
            hold = decode_hold(value)
            ended.append((hold.over_at(), key))
            if hold.over_at() > now or hold.counting is not None:
                self._remember(key, hold, now)
        self._ended = deque(sorted(ended))

    # -- asking

    @property
    def next_offset(self) -> int:
        """Offset of the first record that has not been read."""
        return self._store.next

    @property
    def active(self) -> int:
        """Holds that reserve something."""
        return self._reserved.count

    @property
    def pinned(self) -> set[bytes]:
        """Holds that do not expire now, because their confirmation is being written."""
        return self._reserved.pinned

    def held(self, entitlement_id: str, now: datetime) -> Decimal:
        """How much of the entitlement is reserved."""
        return self._reserved.held(entitlement_id, now)

    def active_of(self, entitlement_id: str) -> int:
        """How many holds of the entitlement reserve something."""
        return self._reserved.active_of(entitlement_id)

    def find(self, key: bytes) -> Hold | None:
        """The hold under a key of the topic."""
        found = self._store.get(key)
        return None if found is None else decode_hold(found)

    def value_of(self, key: bytes) -> bytes | None:
        """The same as it stands in the topic."""
        return self._store.get(key)

    def list_holds(self, entitlement_id: str, after: str, limit: int) -> list[Hold]:
        """Holds of an entitlement in the order of their keys."""
        found: list[Hold] = []
        for _, value in self._store.after(hold_key(entitlement_id, ""), after.encode()):
            if len(found) == limit:
                break
            found.append(decode_hold(value))
        return found

    def to_send(self) -> list[tuple[bytes, Hold]]:
        """Confirmed holds whose events are not known to be in the log."""
        return list(self._to_send.items())

    def to_mend(self, limit: int) -> list[bytes]:
        """Keys under which the topic's newest record does not count."""
        return list(self._to_mend)[:limit]

    def to_forget(self, now: datetime, limit: int) -> list[bytes]:
        """Keys of holds that ended long enough ago."""
        found: dict[bytes, None] = {}
        while self._ended and self._ended[0][0] + self._kept <= now and len(found) < limit:
            _, key = self._ended.popleft()
            hold = self.find(key)
            if hold is None or hold.is_to_send:
                continue
            if hold.over_at() + self._kept <= now:
                found[key] = None
            else:
                self._insert_ended(hold.over_at(), key)
        return list(found)

    def forget_later(self, keys: Sequence[bytes]) -> None:
        """They could not be forgotten now."""
        self._ended.extendleft((datetime.min.replace(tzinfo=UTC), key) for key in keys)

    async def reached(self, offset: int) -> None:
        """Returns when all records before `offset` have been read."""
        while self.next_offset < offset:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.add(waiter)
            try:
                await waiter
            finally:
                self._waiters.discard(waiter)

    # -- reading the topic

    def take(self, records: Sequence[HoldRecord], next_offset: int) -> None:
        """The next records; reading goes on at `next_offset`."""
        now = self._now()
        holds: dict[bytes, bytes | None] = {}
        mend: dict[bytes, None] = {}
        mended: dict[bytes, None] = {}
        changed: dict[str, None] = {}
        for record in records:
            counts = record.at == record.offset
            if not counts or not self._apply(record, now, changed):
                mend[record.key] = None
                mended.pop(record.key, None)
                continue
            holds[record.key] = record.value
            mended[record.key] = None
            mend.pop(record.key, None)
        self._store.write(
            holds,
            mend=mend,
            mended=mended,
            next_offset=next_offset,
            now_ms=int(now.timestamp() * 1000),
        )
        for key in mended:
            self._to_mend.pop(key, None)
        self._to_mend |= mend
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        if changed:
            self.changed(list(changed))

    def over(self) -> None:
        """Let go of what time or the balances have settled."""
        changed = self._reserved.over(self._now())
        if changed:
            self.changed(list(changed))

    def close(self) -> None:
        """Close the store."""
        self._store.close()

    def _apply(self, record: HoldRecord, now: datetime, changed: dict[str, None]) -> bool:
        """Whether the record could be read: one that cannot is as good as none, and is written over."""
        entitlement_id = record.key.split(b"/", 1)[0].decode(errors="replace")
        if record.value is None:
            self._reserved.remove(record.key, entitlement_id)
            self._to_send.pop(record.key, None)
            changed[entitlement_id] = None
            return True
        try:
            hold = decode_hold(record.value)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            log.error(
                "a record of a hold left out",
                extra={"offset": record.offset, "key": str(record.key), "error": str(error)},
            )
            return False
        self._insert_ended(hold.over_at(), record.key)
        self._remember(record.key, hold, now)
        changed[entitlement_id] = None
        return True

    def _remember(self, key: bytes, hold: Hold, now: datetime) -> None:
        self._reserved.put(key, hold, now)
        if hold.is_to_send:
            self._to_send[key] = hold
        else:
            self._to_send.pop(key, None)

    def _insert_ended(self, at: datetime, key: bytes) -> None:
        """Nearly in order: what ends later than what follows it is forgotten a little later."""
        self._ended.append((at, key))
