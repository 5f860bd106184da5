"""The accounts of a balance partition: loaded when somebody needs them, brought up to the catalog, written in batches.

What is in memory may be ahead of the disk until `flush`. A crash before it loses nothing: rows are absolute and are read again
from the offset on disk, and what the catalog changed is seen again by comparing versions.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from itertools import islice

from rocksdict import WriteBatch

from domain.credits.account import just_before, moment_of, second_of
from domain.credits.running import TooOld
from domain.metering.meter import Aggregation
from domain.metering.rows import EXACT, Exact
from schemas import balance_state as stored
from schemas.balance_state import AccountWire, BalanceStamp, LoadingWire, StandWire
from schemas.catalog import EntitlementRecord
from schemas.entitlement_plans import plan_of
from schemas.plan_changes import differ_since, resets_differ
from streams.balances.kept import CHANGED, CLEAN, MOVED, Kept, let_go_at
from streams.balances.options import BalanceOptions
from streams.balances.ports import CatalogView, Now
from streams.balances.route import usable_route
from tables.balances import BalanceStore

Raw = tuple[bytes | None, bytes | None]


class Accounts:
    """Accounts by entitlement id. `taken_offset`: usage records before it have been taken, if not applied."""

    def __init__(
        self, store: BalanceStore, catalog: CatalogView, now: Now, options: BalanceOptions
    ) -> None:
        self._store = store
        self._catalog = catalog
        self._now = now
        self._options = options
        self.keep = options.keep
        self._kept: dict[str, Kept] = {}
        self._dirty: dict[str, Kept] = {}
        self.batch: WriteBatch = store.batch()
        self.taken_offset = 0
        self._routings = 0
        """How often the way of rows to accounts has changed; accounts remember by which of these theirs was looked at."""
        self._routing = 0
        self._routing_of: dict[str, int] = {}
        self.changed: dict[str, None] = {}
        """Ids of those whose value has changed since this was last emptied."""
        self.useless: deque[tuple[bytes, bytes]] = deque()
        """Ranges of keys to be deleted a slice at a time (each only when written keys are on disk)."""
        self.loading: dict[str, None] = {}
        """Ids of those that began to load; the store's index has all of them."""
        self.remembered = 0
        """Rows remembered in all accounts, about."""

    def __len__(self) -> int:
        return len(self._kept)

    def reroute(self, customers: Iterable[str] | None = None) -> None:
        """Rows may go elsewhere now: those of some customers, or of anybody. Each account is looked at when it is found next."""
        self._routings += 1
        if customers is not None and len(self._routing_of) < self._options.rows_max:
            self._routing_of.update(dict.fromkeys(customers, self._routings))
        else:
            self._routing = self._routings
            self._routing_of.clear()

    # -- finding

    def find(self, id_: str) -> Kept | None:
        """The account of a metered entitlement, up to the catalog; a new one begins to load. None: it has none."""
        kept = self._kept.get(id_)
        if kept is None:
            kept = self._restored(id_, None)
            if kept is None:
                return None
        if kept.checked != self._catalog.version and not self._check(kept):
            return None
        return kept

    def prepare(self, ids: Iterable[str]) -> None:
        """Read those that are not in memory at once; `find` gives them."""
        wanted = [id_ for id_ in ids if id_ not in self._kept]
        keys = [stored.key_of(id_) for id_ in wanted]
        raws = self._store.get(
            [stored.ACCOUNT + key for key in keys] + [stored.STAND + key for key in keys]
        )
        for place, id_ in enumerate(wanted):
            if raws[place] is not None and id_ not in self._kept:
                self._restored(id_, (raws[place], raws[place + len(keys)]))

    def _restored(self, id_: str, raw: Raw | None) -> Kept | None:
        record = self._catalog.entitlement(id_)
        if record is None or record.measured_from is None:
            return None
        if raw is None:
            key = stored.key_of(id_)
            one, other = self._store.get([stored.ACCOUNT + key, stored.STAND + key])
            raw = one, other
        kept = self._made(record, raw)
        if kept is not None:
            self._kept[id_] = kept
        return kept

    def _made(self, record: EntitlementRecord, raw: Raw) -> Kept | None:
        """The account as stored, or a new one; None when there is nothing to keep."""
        version = self._catalog.version_of("entitlement", record.id)
        route = usable_route(record, self._catalog)
        if route is None:
            return None
        account, stand = raw
        if account is None or stand is None:
            end = let_go_at(record)
            if end is not None and end <= self._now():
                return None
            kept = Kept(record, version, route)
            kept.route_checked, kept.checked = self._routings, self._catalog.version
            self.load_again(kept, new=True)
            return kept
        wire, standing = stored.decode_account(account), stored.decode_stand(stand)
        known = record
        if wire.version != version:
            raw_record = self._store.get([stored.RECORD + stored.key_of(record.id)])[0]
            assert raw_record is not None  # written with the account
            known = stored.decode_record(raw_record)
        kept = Kept(known, wire.version, route)
        kept.timer, kept.loading, kept.covered = standing.timer, wire.loading, wire.covered
        kept.counted_to, kept.first_waiting = standing.counted_to, standing.first_waiting
        if wire.signature != route.signature:
            kept.follow(record, version, route)
            self.load_again(kept)
        elif wire.loading is None:
            plan = plan_of(known, route.aggregation)
            kept.account = stored.unpack_account(wire, standing, plan)
        kept.route_checked = self._routings
        if kept.version == version:
            kept.checked = self._catalog.version
        kept.retime = False
        if kept.dirty == CHANGED:
            kept.retime = True
        return kept

    def _check(self, kept: Kept) -> bool:
        """Bring an account up to the catalog; False when it has none any more."""
        record = self._catalog.entitlement(kept.id)
        if record is None or record.measured_from is None:
            return False
        version = self._catalog.version_of("entitlement", kept.id)
        routing = max(self._routing, self._routing_of.get(kept.customer_id, 0))
        if kept.route_checked < routing or version != kept.version:
            route = usable_route(record, self._catalog)
            if route is None:
                return False
            if route.signature != kept.route.signature:
                kept.follow(record, version, route)
                self.load_again(kept)
            kept.route_checked = self._routings
        if version != kept.version:
            self._replan(kept, record, version)
        kept.checked = self._catalog.version
        return True

    # -- changes of plan and of rows

    def load_again(self, kept: Kept, *, new: bool = False) -> None:
        """Everything is forgotten; rows are kept from the next record on, and history is to be read."""
        kept.account = None
        kept.loading = LoadingWire(self.taken_offset, self._catalog.version)
        kept.covered, kept.first_waiting, kept.counted_to = {}, None, 0
        kept.rows = {}
        if not new:
            for prefix in (kept.contributions, kept.values):
                self.batch.delete_range(prefix, stored.after(prefix))
        self.batch.put(stored.RECORD + kept.key, stored.encode(kept.record))
        self.batch.put(stored.LOADING + kept.key, b"")
        kept.touch(CHANGED)
        self.loading[kept.id] = None
        self.mark(kept)

    def _replan(self, kept: Kept, record: EntitlementRecord, version: int) -> None:
        """Another record of the same entitlement, over the same rows."""
        self.flush()
        old = kept.record
        since = differ_since(old, record)
        kept.follow(record, version, kept.route)
        self.batch.put(stored.RECORD + kept.key, stored.encode(record))
        kept.touch(CHANGED)
        self.mark(kept)
        if kept.account is None or since is None:
            return
        plan = plan_of(record, kept.kind)
        counted_to = moment_of(kept.counted_to * 60)
        if since >= counted_to and since > kept.account.phase_start:
            kept.account.replan(plan)
        elif kept.counts_values and resets_differ(old, record):
            self.load_again(kept)
        else:
            try:
                again = kept.account.change(plan, since, self._usage_of(kept))
            except TooOld:
                self.load_again(kept)
                return
            self._count_again(kept, again)
            kept.account.advance(just_before(counted_to))

    def _usage_of(self, kept: Kept) -> Callable[[int, int], Exact] | None:
        """What an account has counted in seconds `[start, end)`; None of a level, which cannot be taken back."""
        if kept.kind is Aggregation.LATEST:
            return None

        def usage(start: int, end: int) -> Exact:
            total: Exact = 0
            for second, quantity in self._counted(kept, start):
                if second < end:
                    total = EXACT.add(total, quantity)
            return total

        return usage

    def _count_again(self, kept: Kept, start: int) -> None:
        account = kept.account
        assert account is not None
        if kept.kind is Aggregation.LATEST:
            for second, raw in self._stored_rows(kept, start, kept.counted_to * 60):
                account.offer(second, stored.decode_latest(raw)[1])
        else:
            for second, quantity in self._counted(kept, start):
                account.count(second, quantity)

    def _counted(self, kept: Kept, start: int) -> Iterator[tuple[int, Exact]]:
        """(second, quantity) of all that is counted since `start`."""
        if kept.counts_values:
            for _, raw in self._store.items(kept.values, stored.after(kept.values)):
                second = stored.minute_in(raw)
                if second >= start:
                    yield second, 1
            return
        for second, raw in self._stored_rows(kept, start, kept.counted_to * 60):
            yield second, stored.decode_added(raw)[1]

    def _stored_rows(self, kept: Kept, start: int, end: int) -> Iterator[tuple[int, bytes]]:
        """(second, contribution) of the rows of seconds `[start, end)`, both of whole minutes."""
        first = kept.contributions + stored.packed_minute(max(-(-start // 60), 0))
        last = kept.contributions + stored.packed_minute(end // 60)
        for key, raw in self._store.items(first, last):
            yield stored.minute_in(key, 17) * 60, raw

    # -- time

    def reach(self, kept: Kept, minute: int) -> None:
        """Everything before `minute` is counted, and cut points before it are gone through. Nothing while it loads."""
        account = kept.account
        if account is None or minute <= kept.counted_to:
            return
        if kept.first_waiting is not None and kept.first_waiting < minute:
            self._count_waiting(kept, minute)
        at = moment_of(minute * 60)
        if account.next_cut_at is not None and account.next_cut_at < at:
            account.advance(just_before(at))
            kept.touch(CHANGED)
            self.mark(kept)
            self._forget(kept)
        kept.counted_to = minute

    def _count_waiting(self, kept: Kept, minute: int) -> None:
        assert kept.first_waiting is not None
        self.flush()
        start = kept.contributions + stored.packed_minute(kept.first_waiting)
        end = kept.contributions + stored.packed_minute(minute)
        for key, raw in list(self._store.items(start, end)):
            second = stored.minute_in(key, 17) * 60
            if kept.counts_values:
                self.see(kept, second, key[25:])
                self.batch.delete(key)
            elif kept.kind is Aggregation.LATEST:
                kept.offer(second, stored.decode_latest(raw)[1])
            else:
                kept.add(second, stored.decode_added(raw)[1])
        left = islice(self._store.items(end, stored.after(kept.contributions)), 1)
        kept.first_waiting = next((stored.minute_in(key, 17) for key, _ in left), None)
        kept.touch(CHANGED)
        self.mark(kept)

    def see(self, kept: Kept, second: int, value: bytes) -> None:
        """A distinct value at a second that is counted. Raises TooOld."""
        account = kept.account
        assert account is not None
        rest = stored.packed_minute(account.period_of(second)) + value
        known = kept.rows.get(rest)
        if known is None:
            raw = self._store.get([kept.values + rest])[0]
            first = None if raw is None else stored.minute_in(raw)
        else:
            first = known[0] if known[0] >= 0 else None
        now = account.see(first, second)
        if now != first:
            self.batch.put(kept.values + rest, stored.packed_minute(now))
            kept.touch(CHANGED)
            self.mark(kept)
        kept.rows[rest] = (now, 0)
        self.remembered += 1

    def _forget(self, kept: Kept) -> None:
        """What ended long before the current period cannot be changed any more without reading history again."""
        account = kept.account
        assert account is not None
        if not account.forget(account.period_start - self.keep):
            return
        if kept.counts_values:
            period = second_of(account.phases[0].opened.period_start)
            self.useless.append((kept.values, kept.values + stored.packed_minute(period)))
        else:
            first = stored.packed_minute(-(-account.start // 60))
            self.useless.append((kept.contributions, kept.contributions + first))

    def delete_useless(self, most: int) -> None:
        """Delete up to so many rows that nobody will read. What a crash forgets to delete, the account's next cut point finds."""
        left = most
        while self.useless and left > 0:
            start, end = self.useless.popleft()
            keys = [key for key, _ in islice(self._store.items(start, end), left)]
            for key in keys:
                self.batch.delete(key)
            left -= len(keys) + 1
            if left <= 0:
                self.useless.append((start, end))

    def let_go(self, kept: Kept) -> None:
        """Nobody asks for it any more: it is deleted."""
        for kind in (stored.ACCOUNT, stored.STAND, stored.RECORD, stored.LOADING):
            self.batch.delete(kind + kept.key)
        for prefix in (kept.contributions, kept.values):
            self.batch.delete_range(prefix, stored.after(prefix))
        if kept.timer is not None:
            self.batch.delete(stored.timer_key(kept.timer, kept.key))
        kept.gone, kept.dirty = True, CLEAN
        self._kept.pop(kept.id, None)
        self._dirty.pop(kept.id, None)
        self.loading.pop(kept.id, None)

    # -- writing

    def mark(self, kept: Kept) -> None:
        """It has changed: `flush` writes it, and whoever follows values is told."""
        self._dirty[kept.id] = kept

    def touch(self, kept: Kept) -> None:
        """It has to be written."""
        kept.touch(MOVED)
        self._dirty[kept.id] = kept

    def flush(self, stamp: BalanceStamp | None = None) -> None:
        """Write all that has changed, whole or not at all, with where the state stands if that moves."""
        batch = self.batch
        for kept in self._dirty.values():
            self._put(kept, batch)
        if stamp is not None:
            batch.put(stored.STAMP, stored.encode(stamp))
        if not batch.is_empty():
            self._store.write(batch)
            self.batch = self._store.batch()
        self.changed.update(dict.fromkeys(self._dirty))
        self._dirty.clear()

    def _put(self, kept: Kept, batch: WriteBatch) -> None:
        account = kept.account
        if kept.retime:
            kept.retime = False
            due = kept.due_minute()
            if due != kept.timer:
                if kept.timer is not None:
                    batch.delete(stored.timer_key(kept.timer, kept.key))
                if due is not None:
                    batch.put(stored.timer_key(due, kept.key), b"")
                kept.timer = due
        if kept.dirty == CHANGED:
            wire = AccountWire(
                customer_id=kept.customer_id,
                version=kept.version,
                signature=kept.route.signature,
                aggregation=kept.kind.value,
                loading=kept.loading,
                whole=account is not None and account.whole,
                covered=kept.covered,
                phases=() if account is None else stored.pack_phases(account),
            )
            batch.put(stored.ACCOUNT + kept.key, stored.encode(wire))
        if kept.dirty >= MOVED:
            stand = StandWire(
                used=None if account is None else stored.pack_used(account.used_now),
                counted_to=kept.counted_to,
                first_waiting=kept.first_waiting,
                timer=kept.timer,
            )
            batch.put(stored.STAND + kept.key, stored.encode(stand))
        kept.dirty = CLEAN

    def make_room(self) -> None:
        """Write, and let go of what is remembered past its bounds, the oldest first. Nobody may hold on to an account meanwhile."""
        self.flush()
        if len(self._kept) > self._options.accounts_max:
            for id_ in list(islice(self._kept, len(self._kept) // 4)):
                self._kept.pop(id_).gone = True
        if self.remembered > self._options.rows_max:
            self.remembered = 0
            for kept in self._kept.values():
                kept.rows = {}


def minute_of(at: datetime) -> int:
    """The minute that begins at or after a moment: values are those of full minutes."""
    return -(-second_of(at) // 60)
