"""The clock that tests set, in Postgres: the port `TestingClock` of api/ports.py."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from connectors.postgres.changes import append_change, catalog_change
from connectors.postgres.pool import Pool, connection
from schemas.catalog import CatalogRecord, ClockRecord, catalog_record

_STORE = (
    "INSERT INTO testing_clock (namespace, at, since, frozen, version) VALUES ($1, $2, $3, $4, $5)"
    " ON CONFLICT (namespace) DO UPDATE SET at = $2, since = $3, frozen = $4, version = $5"
)


class PostgresTestingClock:
    """The clock of one namespace. Every call raises Unavailable when Postgres is down.

    `wall_now` is the real time. `on_change` is told of every record that this process made, before `set` returns.
    """

    def __init__(
        self,
        pool: Pool,
        namespace: str,
        wall_now: Callable[[], datetime],
        on_change: Callable[[CatalogRecord], None],
    ) -> None:
        self._pool = pool
        self._namespace = namespace
        self._wall_now = wall_now
        self._on_change = on_change

    async def set(self, at: datetime | None, *, frozen: bool) -> ClockRecord:
        """It is `at` now, in every process that learns of it; None: the real time."""
        async with catalog_change(self._pool, self._namespace) as change:
            record = ClockRecord(
                at=at, since=None if at is None else self._wall_now(), frozen=frozen
            )
            version = await append_change(change, self._namespace, record)
            await change.execute(
                _STORE, self._namespace, record.at, record.since, record.frozen, version
            )
        self._on_change(catalog_record(record, version))
        return record

    async def read(self) -> CatalogRecord | None:
        """The newest change; None when the clock was never set."""
        async with connection(self._pool) as reading:
            row = await reading.fetchrow(
                "SELECT at, since, frozen, version FROM testing_clock WHERE namespace = $1",
                self._namespace,
            )
        if row is None:
            return None
        record = ClockRecord(at=row["at"], since=row["since"], frozen=row["frozen"])
        return catalog_record(record, row["version"])
