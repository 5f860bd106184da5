"""One account as it is kept: its running balance, which rows are counted in it, and what has to be written."""

from __future__ import annotations

from datetime import datetime, timedelta

from domain.credits.account import Account, second_of
from domain.metering.meter import Aggregation
from domain.metering.rows import Exact, Latest
from domain.time.interval import earlier
from schemas.balance_state import CONTRIBUTION, VALUE, LoadingWire, key_of
from schemas.balances import Value
from schemas.catalog import EntitlementRecord
from streams.balances.route import Route

LET_GO_AFTER = timedelta(days=1)
"""How long an account is kept after its entitlement has ended."""

CLEAN, MOVED, CHANGED = range(3)
"""Nothing to write; usage of the phase it is in; everything."""

NO_ROW: tuple[int, int] = (-1, 0)
"""(position, quantity) of a row that has contributed nothing."""


class Kept:
    """An account in memory. `account` None: it is loading; rows are kept, but nothing can be said."""

    __slots__ = (
        "account",
        "checked",
        "contributions",
        "counted_to",
        "covered",
        "customer_id",
        "dirty",
        "first_waiting",
        "gone",
        "id",
        "key",
        "kind",
        "loading",
        "measured_minute",
        "period",
        "record",
        "retime",
        "route",
        "route_checked",
        "rows",
        "timer",
        "told",
        "told_for",
        "told_until",
        "values",
        "version",
    )

    def __init__(self, record: EntitlementRecord, version: int, route: Route) -> None:
        self.id = record.id
        self.key = key_of(record.id)
        self.contributions = CONTRIBUTION + self.key
        self.values = VALUE + self.key
        self.account: Account | None = None
        self.loading: LoadingWire | None = None
        self.covered: dict[int, int] = {}
        """Below these positions, by source partition, the history that the account began with had everything."""
        self.counted_to = 0
        """The minute before which rows are in the account; later ones wait in the store."""
        self.first_waiting: int | None = None
        self.timer: int | None = None
        """The minute under which it stands in the store's index of timers."""
        self.rows: dict[bytes, tuple[int, Exact]] = {}
        """What rows have contributed, as far as remembered, by the rest of their key; of UNIQUE_COUNT: (first second, 0)."""
        self.checked = -1
        self.route_checked = -1
        self.dirty = CLEAN
        self.retime = True
        """When it is due next may have changed."""
        self.gone = False
        """Not in the cache any more: whoever still has it asks for it again."""
        self.period: tuple[datetime, datetime] | None = None
        """A usage period of its timeline, to be told without looking for its end again."""
        self.told: Value | None = None
        self.told_for: datetime | None = None
        self.told_until: datetime | None = None
        self.follow(record, version, route)

    def follow(self, record: EntitlementRecord, version: int, route: Route) -> None:
        """It is of this record, and of these rows, from now on."""
        self.record = record
        self.version = version
        self.route = route
        self.customer_id = record.customer_id
        self.kind = route.aggregation
        self.told = self.period = None
        assert record.measured_from is not None
        self.measured_minute = second_of(record.measured_from) // 60

    def touch(self, how: int) -> None:
        """Something has changed and has to be written."""
        self.told = None
        if how > self.dirty:
            self.dirty = how
            if how == CHANGED:
                self.retime = True

    def wait(self, minute: int) -> None:
        """A row of a minute that has not come was kept."""
        if self.first_waiting is None or minute < self.first_waiting:
            self.first_waiting = minute
            self.retime = True
        if self.dirty == CLEAN:
            self.dirty = MOVED

    @property
    def let_go_at(self) -> datetime | None:
        """When nobody needs the account any more."""
        return let_go_at(self.record)

    def due_minute(self) -> int | None:
        """When this minute is over something has to be done without a row: a cut point, rows that waited, letting go."""
        moments = [self.let_go_at]
        if self.account is not None:
            moments.append(self.account.next_cut_at)
        minutes = [-(-second_of(at) // 60) for at in moments if at is not None]
        if self.account is not None and self.first_waiting is not None:
            minutes.append(self.first_waiting)
        return min(minutes, default=None)

    def add(self, second: int, change: Exact) -> None:
        """Count a change of usage."""
        assert self.account is not None
        self.touch(CHANGED if self.account.count(second, change) else MOVED)

    def offer(self, second: int, latest: Latest) -> None:
        """Count a level."""
        assert self.account is not None
        self.touch(CHANGED if self.account.offer(second, latest) else MOVED)

    @property
    def counts_values(self) -> bool:
        """Whether it counts distinct values."""
        return self.kind is Aggregation.UNIQUE_COUNT


def let_go_at(record: EntitlementRecord) -> datetime | None:
    """A day after the entitlement's end; None while it has none."""
    end = earlier(record.active_to, record.deleted_at)
    return None if end is None else end + LET_GO_AFTER
