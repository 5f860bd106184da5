"""An account begins with its history: rows as ClickHouse had them at one moment, and the rows kept since.

Of a row in both the greater position counts. Source: docs/decisions/0160.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime

from domain.credits.account import Account, just_before, moment_of, second_of
from domain.metering.meter import Aggregation
from domain.metering.rows import EXACT, Exact, Latest
from domain.metering.series import SeriesRow, nearest
from schemas import balance_state as stored
from schemas.entitlement_plans import plan_of
from schemas.state import pack_u64, row_key_body
from streams.balances.accounts import Accounts, minute_of
from streams.balances.kept import CHANGED, Kept
from tables.balances import BalanceStore

Entries = dict[bytes, tuple[int, Exact | Latest | None]]
"""By the rest of a row's key: position and quantity, or level. Of distinct values by minute and hash: (-1, None)."""


class Beginning:
    """Makes accounts of histories."""

    def __init__(self, store: BalanceStore, accounts: Accounts) -> None:
        self._store = store
        self._accounts = accounts

    def begin(
        self,
        kept: Kept,
        history: Iterable[SeriesRow],
        covered: Mapping[int, int],
        now: datetime,
    ) -> None:
        """The account stands where it would if it had been there from the first event on. Refused: its plan cannot be followed."""
        accounts = self._accounts
        plan = plan_of(kept.record, kept.kind)
        assert kept.record.measured_from is not None
        account = Account.begin(plan, kept.record.measured_from)
        accounts.flush()
        entries, known = self._entries(kept, history)
        minute = minute_of(now)
        firsts = _count(account, kept.kind, entries, minute)
        account.advance(just_before(moment_of(minute * 60)))
        account.forget(account.period_start - accounts.keep)
        kept.account, kept.loading = account, None
        kept.counted_to, kept.covered, kept.rows = minute, dict(covered), {}
        self._write(kept, entries, known, firsts)
        accounts.batch.delete(stored.LOADING + kept.key)
        accounts.loading.pop(kept.id, None)
        kept.touch(CHANGED)
        accounts.mark(kept)

    def _entries(self, kept: Kept, history: Iterable[SeriesRow]) -> tuple[Entries, Entries]:
        """All rows of the account, and those that are kept already."""
        entries: Entries = {}
        for row in history:
            if row.minute >= kept.measured_minute:
                _put(entries, row, kept.kind)
        known: Entries = {}
        for key, raw in self._store.items(kept.contributions, stored.after(kept.contributions)):
            rest = key[17:]
            entry = _decoded(raw, kept.kind)
            known[rest] = entry
            if rest not in entries or entry[0] > entries[rest][0]:
                entries[rest] = entry
        return entries, known

    def _write(
        self,
        kept: Kept,
        entries: Entries,
        known: Entries,
        firsts: Mapping[tuple[int, bytes], int],
    ) -> None:
        """What later rows may replace is kept, the rest not."""
        account, batch = kept.account, self._accounts.batch
        assert account is not None
        least = account.start if not kept.counts_values else kept.counted_to * 60
        waiting = None
        for rest in known.keys() - entries.keys():
            batch.delete(kept.contributions + rest)
        for rest, (position, what) in entries.items():
            minute = stored.minute_in(rest)
            if minute >= kept.counted_to and (waiting is None or minute < waiting):
                waiting = minute
            if minute * 60 < least:
                if rest in known:
                    batch.delete(kept.contributions + rest)
            elif known.get(rest) != (position, what):
                batch.put(kept.contributions + rest, _encoded(position, what))
        kept.first_waiting = waiting
        period_least = second_of(account.phases[0].opened.period_start)
        for (period, value), first in firsts.items():
            if period >= period_least:
                key = kept.values + stored.packed_minute(period) + value
                batch.put(key, stored.packed_minute(first))


def _put(entries: Entries, row: SeriesRow, kind: Aggregation) -> None:
    if kind is Aggregation.UNIQUE_COUNT:
        for value in row.values:
            entries[stored.packed_minute(row.minute) + value] = (-1, None)
        return
    what: Exact | Latest | None
    if kind is Aggregation.LATEST:
        what = row.row.latest
        if what is None:
            return
    elif kind is Aggregation.COUNT:
        what = row.row.count
    elif row.row.outside is None:
        what = row.row.total
    else:
        what = nearest(float(row.row.total) + row.row.outside)
    rest = row_key_body(row.subject, row.minute, row.groups) + pack_u64(row.row.epoch)
    entries[rest] = (row.row.position, what)


def _decoded(raw: bytes, kind: Aggregation) -> tuple[int, Exact | Latest | None]:
    if kind is Aggregation.UNIQUE_COUNT:
        return -1, None
    return stored.decode_latest(raw) if kind is Aggregation.LATEST else stored.decode_added(raw)


def _encoded(position: int, what: Exact | Latest | None) -> bytes:
    if what is None:
        return b""
    if isinstance(what, Latest):
        return stored.encode_latest(position, what)
    return stored.encode_added(position, what)


def _count(
    account: Account, kind: Aggregation, entries: Entries, until: int
) -> dict[tuple[int, bytes], int]:
    """Count what lies before the minute `until`, in order; returns of distinct values when each period first saw them."""
    firsts: dict[tuple[int, bytes], int] = {}
    if kind is Aggregation.UNIQUE_COUNT:
        for rest in sorted(entries):
            second = stored.minute_in(rest) * 60
            if second < until * 60:
                key = account.period_of(second), rest[8:]
                firsts[key] = account.see(firsts.get(key), second)
        return firsts
    totals: dict[int, Exact] = defaultdict(int)
    levels: dict[int, Latest] = {}
    for rest, (_, what) in entries.items():
        minute = stored.minute_in(rest)
        if minute >= until or what is None:
            continue
        if isinstance(what, Latest):
            levels[minute] = max(levels.get(minute, what), what)
        else:
            totals[minute] = EXACT.add(totals[minute], what)
    for minute in sorted(totals):
        account.count(minute * 60, totals[minute])
    for minute in sorted(levels):
        account.offer(minute * 60, levels[minute])
    return firsts
