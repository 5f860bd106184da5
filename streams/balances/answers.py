"""Answering what customers may use, from accounts in memory or on disk and the catalog."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal

from domain.credits.account import Account, just_before, moment_of
from domain.credits.state import Standing
from domain.entitlements.entitlement import Entitlement, Metered, MeteredAccess, access
from domain.entitlements.usage_period import Timeline
from domain.metering.meter import Aggregation
from domain.time.interval import Interval, ceil_minute
from schemas import balance_state as stored
from schemas.balance_state import ProgressWire
from schemas.balances import Answer, Question, Value
from schemas.catalog import CustomerRecord, EntitlementRecord
from schemas.entitlement_plans import active_of
from schemas.partitioner import partition_of
from streams.balances.accounts import Accounts, minute_of
from streams.balances.kept import Kept
from streams.balances.ports import CatalogView, Held
from streams.balances.route import subjects_of
from tables.balances import BalanceStore

_ZERO = Decimal(0)
_ALWAYS = Interval(start=datetime.min.replace(tzinfo=UTC), end=None)
"""Of entitlements that have been found active already."""


class _Why(Exception):
    """The whole question has no answer here."""


class Answers:
    """Values of the accounts of one balance partition."""

    def __init__(
        self,
        store: BalanceStore,
        catalog: CatalogView,
        accounts: Accounts,
        progress: Mapping[int, ProgressWire],
        *,
        number: int,
        partitions: int,
        held: Held | None,
    ) -> None:
        self._store = store
        self._catalog = catalog
        self._accounts = accounts
        self._progress = progress
        self._number = number
        self._partitions = partitions
        self._held = held

    def answer(self, question: Question, now: datetime) -> Answer:
        """All values, or why there are none."""
        customer = self._catalog.customer(question.customer)
        if customer is None:
            return Answer(why="unknown")
        partition = partition_of(customer.id.encode(), self._partitions)
        if partition != self._number:
            return Answer(why="elsewhere", customer_id=customer.id, partition=partition)
        if customer.deleted_at is not None:
            return Answer(why="deleted", customer_id=customer.id, partition=partition)
        at = now if question.at is None else datetime.fromtimestamp(question.at, UTC)
        why: str | None = None
        values: list[Value] = []
        try:
            for record, active in self._asked(customer.id, question, at):
                values.append(self._value(record, active, at, now))
        except _Why as reason:
            why, values = str(reason), []
        return Answer(
            values=tuple(values),
            why=why,
            customer_id=customer.id,
            partition=partition,
            as_of_ms=self._as_of(customer),
        )

    def _asked(
        self, customer_id: str, question: Question, at: datetime
    ) -> list[tuple[EntitlementRecord, bool]]:
        """Those asked for that are there, and whether they are active: by id unless deleted, by feature key the active one."""
        records = [
            (record, active_of(record).contains(at))
            for record in self._catalog.entitlements_of(customer_id)
        ]
        if question.features is None:
            return [one for one in records if one[1]]
        found = []
        for name in question.features:
            for record, active in records:
                by_id = record.id == name and (record.deleted_at is None or record.deleted_at > at)
                if by_id or (active and record.feature_key == name):
                    found.append((record, active))
                    break
        return found

    def _as_of(self, customer: CustomerRecord) -> int:
        """Events of the customer's subjects appended up to then are counted."""
        numbers = {
            partition_of(subject.encode(), self._partitions)
            for subject in subjects_of(customer, self._catalog)
        } or range(self._partitions)
        told = [self._progress.get(number) for number in numbers]
        return min((0 if one is None else one.as_of_ms for one in told), default=0)

    # -- one value

    def _value(self, record: EntitlementRecord, active: bool, at: datetime, now: datetime) -> Value:
        if not active:
            return _plain(record, has_access=False)
        if record.type != "metered":
            return _plain(record, has_access=True, config=record.config)
        value = self._metered(record, at, now)
        held = _ZERO if self._held is None else self._held(record.id, now)
        return value if not held else _with_hold(value, held, record.is_soft_limit)

    def _metered(self, record: EntitlementRecord, at: datetime, now: datetime) -> Value:
        kept = self._accounts.find(record.id)
        if kept is None:
            raise _Why("loading")
        if kept.account is None:
            self._accounts.loading[kept.id] = None
            raise _Why("loading")
        instant = ceil_minute(at)
        minute = minute_of(instant)
        if minute < kept.counted_to:
            raise _Why("past")
        if at <= now or kept.first_waiting is None or kept.first_waiting >= minute:
            if at <= now:
                self._accounts.reach(kept, minute)
            if kept.told is not None and _holds(kept, instant):
                return kept.told
            return self._tell(kept, kept.account, instant)
        ahead = self._ahead(kept, minute)
        return _value_of(kept, ahead, ahead.standing_at(instant))

    def _tell(self, kept: Kept, account: Account, instant: datetime) -> Value:
        value = _value_of(kept, account, account.standing_at(instant))
        kept.told, kept.told_for, kept.told_until = value, instant, account.next_cut_at
        return value

    def _ahead(self, kept: Kept, minute: int) -> Account:
        """A copy of the account in which rows that wait for minutes before `minute` are counted."""
        self._accounts.flush()
        assert kept.account is not None
        assert kept.first_waiting is not None
        account = kept.account.copy()
        start = kept.contributions + stored.packed_minute(kept.first_waiting)
        end = kept.contributions + stored.packed_minute(minute)
        firsts: dict[bytes, int | None] = {}
        for key, raw in self._store.items(start, end):
            second = stored.minute_in(key, 17) * 60
            if kept.counts_values:
                rest = stored.packed_minute(account.period_of(second)) + key[25:]
                if rest not in firsts:
                    known = self._store.get([kept.values + rest])[0]
                    firsts[rest] = None if known is None else stored.minute_in(known)
                firsts[rest] = account.see(firsts[rest], second)
            elif kept.kind is Aggregation.LATEST:
                account.offer(second, stored.decode_latest(raw)[1])
            else:
                account.count(second, stored.decode_added(raw)[1])
        account.advance(just_before(moment_of(minute * 60)))
        return account


def _holds(kept: Kept, instant: datetime) -> bool:
    """Whether the value told last is that of `instant`, too: no cut point lies between."""
    until = kept.told_until
    if kept.told_for == instant:
        return True
    assert kept.told_for is not None
    return until is None or (kept.told_for < until and instant < until)


def _value_of(kept: Kept, account: Account, standing: Standing) -> Value:
    """The value of an account whose entitlement is active."""
    record, timeline = kept.record, account.plan.resets
    assert isinstance(timeline, Timeline)  # of an entitlement, always
    start = standing.period_start
    if kept.period is None or kept.period[0] != start:
        kept.period = (start, timeline.next_after(start))
    entitlement = Entitlement(
        id=record.id,
        customer_id=record.customer_id,
        feature_key=record.feature_key,
        active=_ALWAYS,
        terms=Metered(timeline=timeline, is_soft_limit=record.is_soft_limit),
    )
    given = access(entitlement, start, standing)
    assert isinstance(given, MeteredAccess)
    return Value(
        entitlement_id=record.id,
        customer_id=record.customer_id,
        feature_id=record.feature_id,
        feature_key=record.feature_key,
        type=record.type,
        has_access=given.has_access,
        balance=given.balance,
        usage=given.usage,
        overage=given.overage,
        total_available=given.total_available,
        grant_balances=dict(given.grant_balances),  # type: ignore[arg-type]  # ids are texts
        period_start=start,
        period_end=kept.period[1],
        next_cut_at=account.next_cut_at,
    )


def _plain(record: EntitlementRecord, *, has_access: bool, config: str | None = None) -> Value:
    return Value(
        entitlement_id=record.id,
        customer_id=record.customer_id,
        feature_id=record.feature_id,
        feature_key=record.feature_key,
        type=record.type,
        has_access=has_access,
        config=config,
    )


def _with_hold(value: Value, held: Decimal, is_soft_limit: bool) -> Value:
    """What is held is not there to use; never less than nothing is left."""
    assert value.balance is not None
    left = max(value.balance - held, min(value.balance, _ZERO))
    return Value(
        entitlement_id=value.entitlement_id,
        customer_id=value.customer_id,
        feature_id=value.feature_id,
        feature_key=value.feature_key,
        type=value.type,
        has_access=is_soft_limit or left > 0,
        balance=left,
        usage=value.usage,
        overage=value.overage,
        total_available=value.total_available,
        grant_balances=value.grant_balances,
        held=held,
        period_start=value.period_start,
        period_end=value.period_end,
        next_cut_at=value.next_cut_at,
    )
