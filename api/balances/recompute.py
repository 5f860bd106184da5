"""Values from what is stored: records of management and usage in ClickHouse, by the same rules as the running balances.

Nothing is written, and nothing of the workers is needed. Source: docs/reading-balances.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from api.balances.accounts import Account, Accounts, Found
from api.balances.ports import BalanceRecords, LogEnds, UsageHistory
from api.balances.valuing import needs_usage, phases_until, value_of
from domain.entitlements.entitlement import value_instant
from domain.metering.series import Series, SeriesRow
from schemas.balances import Answer, Question

T = TypeVar("T")

_WORK_IN_THE_LOOP = 1_000
"""Rows and phases together; more are evaluated on a thread."""
_THREADS = 2
"""Evaluations that hold one of the processors at a time."""
_MINUTE_S = 60


@dataclass(frozen=True, slots=True)
class Usage:
    """Of each account its rows, in the order of the accounts, and up to when they are complete."""

    rows: Sequence[Sequence[SeriesRow]]
    as_of_ms: int | None


class Recompute:
    """Answers questions from Postgres and ClickHouse."""

    def __init__(self, records: BalanceRecords, history: UsageHistory, log_ends: LogEnds) -> None:
        self.accounts = Accounts(records)
        self._history = history
        self._log_ends = log_ends
        self._busy = asyncio.Semaphore(_THREADS)

    async def answers(self, questions: Sequence[Question], at: datetime) -> list[Answer]:
        """One for each question, as of `at`; `why` is None, `unknown` or `deleted`. Refused, Unavailable."""
        found = await self.accounts.find(questions, at)
        accounts = [account for one in found for account in one.accounts]
        metered = [account for account in accounts if needs_usage(account.record, at)]
        for account in metered:
            phases_until(account.record, value_instant(at))
        usage = await self.usage(metered, value_instant(at))
        rows = {account.record.id: its for account, its in zip(metered, usage.rows, strict=True)}

        def evaluate() -> list[Answer]:
            return [_answer(one, rows, at, usage.as_of_ms) for one in found]

        return await self.evaluated(evaluate, metered, usage, value_instant(at))

    async def evaluated(
        self, call: Callable[[], T], accounts: Sequence[Account], usage: Usage, until: datetime
    ) -> T:
        """The result of `call`, which evaluates the accounts up to `until`: on a thread when that takes long. Refused."""
        work = sum(map(len, usage.rows))
        work += sum(phases_until(account.record, until) for account in accounts)
        if work <= _WORK_IN_THE_LOOP:
            return call()
        async with self._busy:
            return await asyncio.to_thread(call)

    async def usage(self, accounts: Sequence[Account], until: datetime) -> Usage:
        """The usage of metered accounts from where each measures, up to `until`: one question to ClickHouse for all that
        share meter, filters and start. Refused, Unavailable.
        """
        looking = asyncio.ensure_future(self._log_ends.look())
        groups: dict[object, list[Account]] = {}
        for account in accounts:
            groups.setdefault(_group(account), []).append(account)
        try:
            series = await asyncio.gather(*(self._read(of, until) for of in groups.values()))
        finally:
            await looking
        rows: dict[str, list[SeriesRow]] = {account.record.id: [] for account in accounts}
        for of, one in zip(groups.values(), series, strict=True):
            owners: dict[str, list[str]] = {}
            for account in of:
                for subject in account.subjects:
                    owners.setdefault(subject, []).append(account.record.id)
            for row in one.rows:
                for id_ in owners[row.subject]:
                    rows[id_].append(row)
        return Usage([rows[a.record.id] for a in accounts], self._as_of_ms(accounts, series))

    async def _read(self, accounts: Sequence[Account], until: datetime) -> Series:
        first = accounts[0]
        assert first.meter is not None
        assert first.record.measured_from is not None
        subjects = sorted({subject for account in accounts for subject in account.subjects})
        return await self._history.read(
            first.meter,
            subjects,
            int(first.record.measured_from.timestamp()) // _MINUTE_S,
            int(until.timestamp()) // _MINUTE_S,
            first.filters,
        )

    def _as_of_ms(self, accounts: Sequence[Account], series: Sequence[Series]) -> int | None:
        """The oldest of what was read."""
        partitions = {
            self._log_ends.partition_of(subject) for a in accounts for subject in a.subjects
        }
        known = [self._log_ends.as_of_ms(one.visible, partitions) for one in series]
        if not known:
            return self._log_ends.as_of_ms({}, ())
        return None if None in known else min(at for at in known if at is not None)


def _group(account: Account) -> object:
    assert account.meter is not None
    return (account.meter.id, account.record.measured_from, account.filters)


def _answer(
    found: Found, rows: dict[str, Sequence[SeriesRow]], at: datetime, as_of_ms: int | None
) -> Answer:
    if found.customer is None:
        return Answer(why="unknown", as_of_ms=as_of_ms or 0)
    if found.customer.deleted_at is not None:
        return Answer(why="deleted", customer_id=found.customer.id, as_of_ms=as_of_ms or 0)
    return Answer(
        values=tuple(
            value_of(account, rows.get(account.record.id, ()), at) for account in found.accounts
        ),
        customer_id=found.customer.id,
        as_of_ms=as_of_ms or 0,
    )
