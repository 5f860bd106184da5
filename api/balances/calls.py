"""What endpoints that read balances find in their application: it is there before Postgres is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from starlette.requests import Request

from api.balances.ports import BalanceRecords, UsageEvents
from api.balances.reading import Balances
from api.balances.recompute import Recompute
from domain.errors import Unavailable


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What is read from Postgres and ClickHouse."""

    records: BalanceRecords
    recompute: Recompute
    events: UsageEvents


@dataclass(slots=True, kw_only=True)
class BalanceCalls:
    """Handed to every endpoint that reads balances. `now` is the clock of the rules, `wall_ms` the real time."""

    balances: Balances
    now: Callable[[], datetime]
    wall_ms: Callable[[], int]
    _stored: Stored | None = None

    @property
    def stored(self) -> Stored:
        """Unavailable while the process still waits for the services."""
        if self._stored is None:
            raise Unavailable("starting: waiting for PostgreSQL and ClickHouse")
        return self._stored

    def began(self, stored: Stored) -> None:
        """The services are there."""
        self._stored = stored
        self.balances.recompute = stored.recompute


def balance_calls_of(request: Request) -> BalanceCalls:
    """Of the application. Unavailable when it has none."""
    found: BalanceCalls | None = request.app.state.balances
    if found is None:
        raise Unavailable("starting")
    return found
