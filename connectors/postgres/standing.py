"""How much waits in Postgres for others to do: for metrics."""

from __future__ import annotations

from dataclasses import dataclass

from connectors.postgres.pool import Pool, connection

COUNT_MAX = 100_000
"""Rows that are counted; more are reported as this many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Changes in the outbox and the age of the first in seconds (0 without one); lines of the book of redrives by whether they were finished."""

    outbox_waiting: int
    outbox_oldest_s: float
    redrives_done: int
    redrives_begun: int


class PostgresStanding:
    """Asks for one namespace."""

    def __init__(self, pool: Pool, namespace: str) -> None:
        self._pool = pool
        self._namespace = namespace

    async def look(self) -> Standing:
        """As of now; Unavailable."""
        async with connection(self._pool) as acquired:
            row = await acquired.fetchrow(
                """
                SELECT (SELECT count(*) FROM (SELECT 1 FROM outbox WHERE namespace = $1 LIMIT $2) AS o),
                       (SELECT extract(epoch FROM now() - written_at)::float8
                          FROM outbox WHERE namespace = $1 ORDER BY id LIMIT 1),
                       (SELECT count(*) FROM (SELECT 1 FROM redrives
                          WHERE namespace = $1 AND done_at IS NOT NULL LIMIT $2) AS d),
                       (SELECT count(*) FROM (SELECT 1 FROM redrives
                          WHERE namespace = $1 AND done_at IS NULL LIMIT $2) AS b)
                """,
                self._namespace,
                COUNT_MAX,
            )
        assert row is not None
        waiting, oldest_s, done, begun = row
        return Standing(
            outbox_waiting=waiting,
            outbox_oldest_s=max(0.0, oldest_s or 0.0),
            redrives_done=done,
            redrives_begun=begun,
        )
