"""Counting usage records in the accounts that they concern. The hot path of the balances: a few microseconds a row and account.

A row is absolute: what it contributes replaces what it contributed before, if its position is greater. Who takes the rows of
a meter, subject and groups is remembered until the catalog changes it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from datetime import datetime
from struct import Struct
from struct import error as StructError

import msgspec

from domain.credits.running import TooOld
from domain.metering.meter import Aggregation
from domain.metering.rows import EXACT, Exact
from domain.metering.series import nearest
from schemas import balance_state as stored
from schemas.catalog import CatalogRecord, EntitlementRecord
from schemas.partitioner import partition_of
from schemas.state import decode_row, decode_row_key
from schemas.usage_records import is_unique
from streams.balances.accounts import Accounts, minute_of
from streams.balances.kept import CHANGED, MOVED, NO_ROW, Kept, let_go_at
from streams.balances.options import BalanceOptions
from streams.balances.ports import CatalogView, Now
from streams.balances.route import usable_route
from tables.balances import BalanceStore

log = logging.getLogger(__name__)

_COUNT, _LATEST = Aggregation.COUNT, Aggregation.LATEST
_decode_head, _encode_added = stored.decode_head, stored.encode_added
_minute_in = Struct(">q").unpack_from

_UNREADABLE = (StructError, msgspec.DecodeError, ValueError, TypeError, IndexError)
"""What decoding something else than a row or its key ends in."""

_ABSENT: tuple[int, Exact] = (-1, 0)
"""Of a distinct value that the store does not have."""


class Match:
    """Who takes rows of one meter version, subject and groups."""

    __slots__ = ("customer_id", "kepts", "partition", "subject")

    def __init__(self, subject: str, partition: int, customer_id: str | None) -> None:
        self.subject = subject
        self.partition = partition
        self.customer_id = customer_id
        self.kepts: list[Kept] = []


class Rows:
    """Applies rows and values of UNIQUE_COUNT, a slice at a time."""

    def __init__(
        self,
        store: BalanceStore,
        catalog: CatalogView,
        accounts: Accounts,
        *,
        number: int,
        now: Now,
        options: BalanceOptions,
    ) -> None:
        self._store = store
        self._catalog = catalog
        self._accounts = accounts
        self._number = number
        self._now = now
        self._options = options
        self._matches: dict[bytes, Match] = {}
        self._by_subject: dict[str, set[bytes]] = {}
        self._by_customer: dict[str, set[bytes]] = {}

    # -- who takes a row

    def forget_matches(self, record: CatalogRecord) -> None:
        """The catalog has changed: matches that it concerns are made anew."""
        if isinstance(record.entity, EntitlementRecord):
            self._drop(self._by_customer.pop(record.entity.customer_id, ()))
        elif record.kind in ("feature", "meter"):
            self._forget_all()

    def forget_subject(self, subject: str) -> None:
        """Its usage is another customer's now."""
        self._drop(self._by_subject.pop(subject, ()))

    def _drop(self, keys: Iterable[bytes]) -> None:
        for key in keys:
            self._matches.pop(key, None)

    def _forget_all(self) -> None:
        self._matches.clear()
        self._by_subject.clear()
        self._by_customer.clear()

    def _match(self, key: bytes, row_key: bytes) -> Match:
        try:
            row = decode_row_key(row_key)
        except _UNREADABLE:
            return self._nobody(key)
        partition = partition_of(row.subject.encode(), self._options.partitions)
        customer_id = self._catalog.customer_of(row.subject)
        match = Match(row.subject, partition, customer_id)
        if max(len(self._matches), len(self._by_subject)) >= self._options.rows_max:
            self._forget_all()
        self._matches[key] = match
        self._by_subject.setdefault(row.subject, set()).add(key)
        if customer_id is None:
            return match
        self._by_customer.setdefault(customer_id, set()).add(key)
        if partition_of(customer_id.encode(), self._options.partitions) != self._number:
            return match
        for record in self._catalog.entitlements_of(customer_id):
            if record.type != "metered" or not self._has_meter(record, row.meter, row.version):
                continue
            route = usable_route(record, self._catalog)
            if route is None or route.meter is None or not route.takes(row.subject):
                continue
            groups = dict(zip(sorted(route.meter.group_by), row.groups, strict=False))
            if route.passes(groups):
                kept = self._accounts.find(record.id)
                if kept is not None:
                    match.kepts.append(kept)
        return match

    def _nobody(self, key: bytes) -> Match:
        """Anybody can write to a topic: a key that is no row's is nobody's, and counting goes on."""
        log.warning("a record of the usage topic has no key of ours: left out")
        return Match("", self._number, None)

    def _has_meter(self, record: EntitlementRecord, meter_id: str, version: int) -> bool:
        feature = self._catalog.feature(record.feature_id)
        if feature is None or feature.meter_id != meter_id:
            return False
        end = let_go_at(record)
        if end is not None and end <= self._now():
            return False
        meter = self._catalog.meter(meter_id)
        return meter is not None and meter.version == version

    # -- counting

    def apply(self, records: Sequence[tuple[bytes, bytes]], now: datetime) -> None:
        """Count records of the usage topic and write what has changed."""
        minute = minute_of(now)
        pairs = self._pairs(records, minute)
        if pairs:
            self._remember(pairs)
            for kept, match, rest, value in pairs:
                if value is None:
                    self._take_value(kept, match, rest)
                elif kept.kind is _LATEST:
                    self._take_latest(kept, match, rest, value)
                else:
                    self._take_row(kept, match, rest, value)
        self._accounts.make_room()

    def _pairs(
        self, records: Sequence[tuple[bytes, bytes]], minute: int
    ) -> list[tuple[Kept, Match, bytes, bytes | None]]:
        """Each record with each account that takes it, the accounts up to the catalog and the minute.

        The third is the rest of the row's key; of a distinct value, which has no fourth, its minute and hash.
        """
        matches, accounts = self._matches, self._accounts
        catalog_version = self._catalog.version
        found: list[tuple[Kept, Match, bytes, bytes | None]] = []
        for key, value in records:
            unique = is_unique(key)
            if unique:
                row_key = value
                match_key = row_key[:20] + row_key[28:]
            else:
                match_key = key[:20] + key[28:-8]
            match = matches.get(match_key)
            if match is None:
                match = self._match(match_key, value if unique else key[:-8])
            if not match.kepts:
                continue
            rest = row_key[20:28] + key[16:] if unique else key[20:]
            for place, kept in enumerate(match.kepts):
                if kept.gone or kept.checked != catalog_version:
                    again = accounts.find(kept.id)
                    if again is None:
                        continue
                    match.kepts[place] = kept = again
                if kept.counts_values is not unique:
                    continue
                if kept.counted_to < minute:
                    accounts.reach(kept, minute)
                found.append((kept, match, rest, None if unique else value))
        return found

    def _remember(self, pairs: Sequence[tuple[Kept, Match, bytes, bytes | None]]) -> None:
        """Read what the rows have contributed so far, in one go."""
        if not self._accounts.batch.is_empty():
            self._accounts.flush()
        places: list[tuple[Kept, bytes]] = []
        keys: list[bytes] = []
        for kept, _, rest, _ in pairs:
            prefix = kept.contributions
            if kept.counts_values:
                second = stored.minute_in(rest) * 60
                if kept.account is None or not kept.account.start <= second < kept.counted_to * 60:
                    continue
                rest = stored.packed_minute(kept.account.period_of(second)) + rest[8:]
                prefix = kept.values
            if rest not in kept.rows:
                kept.rows[rest] = _ABSENT
                places.append((kept, rest))
                keys.append(prefix + rest)
        if not keys:
            return
        self._accounts.remembered += len(keys)
        for (kept, rest), raw in zip(places, self._store.get(keys), strict=True):
            if raw is None:
                continue
            if kept.counts_values:
                kept.rows[rest] = (stored.minute_in(raw), 0)
            elif kept.kind is _LATEST:
                kept.rows[rest] = (stored.decode_latest(raw)[0], 0)
            else:
                kept.rows[rest] = stored.decode_added(raw)

    def _take_row(self, kept: Kept, match: Match, rest: bytes, value: bytes) -> None:
        try:
            head = _decode_head(value)
        except _UNREADABLE:
            log.warning("a row of the usage topic cannot be read: left out", extra=_of(kept))
            return
        position = head.position
        known = kept.rows.get(rest, NO_ROW)
        if position <= known[0]:
            return
        if kept.kind is _COUNT:
            quantity: Exact = head.count
        else:
            total = head.total
            quantity = total if type(total) is int else stored.exact_of(total)  # type: ignore[arg-type]
            if head.outside is not None:
                quantity = nearest(float(quantity) + head.outside)
        minute = _minute_in(rest)[0]
        if minute < kept.measured_minute:
            return
        account = kept.account
        if account is not None and minute < kept.counted_to:
            if minute * 60 < account.start:
                self._too_old(kept, match, position)
                return
            before = known[1]
            if type(quantity) is int and type(before) is int:
                change: Exact = quantity - before
            else:
                change = EXACT.subtract(quantity, before)
            kept.told = None
            if account.count(minute * 60, change):
                kept.touch(CHANGED)
            elif not kept.dirty:
                kept.dirty = MOVED
            self._accounts.mark(kept)
        else:
            self._wait(kept, minute)
        kept.rows[rest] = (position, quantity)
        self._accounts.batch.put(kept.contributions + rest, _encode_added(position, quantity))

    def _take_latest(self, kept: Kept, match: Match, rest: bytes, value: bytes) -> None:
        try:
            row = decode_row(value)
        except _UNREADABLE:
            log.warning("a row of the usage topic cannot be read: left out", extra=_of(kept))
            return
        was, _ = kept.rows.get(rest, NO_ROW)
        minute = stored.minute_in(rest)
        if row.position <= was or row.latest is None or minute < kept.measured_minute:
            return
        account = kept.account
        if account is not None and minute < kept.counted_to:
            if minute * 60 < account.start:
                self._too_old(kept, match, row.position)
                return
            kept.offer(minute * 60, row.latest)
            self._accounts.mark(kept)
        else:
            self._wait(kept, minute)
        kept.rows[rest] = (row.position, 0)
        raw = stored.encode_latest(row.position, row.latest)
        self._accounts.batch.put(kept.contributions + rest, raw)

    def _take_value(self, kept: Kept, match: Match, rest: bytes) -> None:
        minute = stored.minute_in(rest)
        if minute < kept.measured_minute:
            return
        if kept.account is not None and minute < kept.counted_to:
            try:
                self._accounts.see(kept, minute * 60, rest[8:])
            except TooOld:
                self._too_old(kept, match, None)
            return
        self._wait(kept, minute)
        self._accounts.batch.put(kept.contributions + rest, b"")

    def _wait(self, kept: Kept, minute: int) -> None:
        """Kept until its minute comes, or until history is there."""
        if kept.account is not None:
            kept.wait(minute)
            self._accounts.mark(kept)

    def _too_old(self, kept: Kept, match: Match, position: int | None) -> None:
        """A row of a time that is not kept: history had it already, or has to be read again."""
        if position is None or position >= kept.covered.get(match.partition, 0):
            self._accounts.load_again(kept)


def _of(kept: Kept) -> dict[str, str]:
    return {"entitlement": kept.id}
