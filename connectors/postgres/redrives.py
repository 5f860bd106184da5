"""The book of what was sent again: written before and after, by one process at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

from connectors.postgres.locks import lock_key
from connectors.postgres.pool import (
    Connection,
    Options,
    Pool,
    PostgresProblem,
    connect,
    connection,
    failing_as_unavailable,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Redrive:
    """When sending was begun, and when it was acknowledged; None when that is not known."""

    begun_at: datetime
    done_at: datetime | None


class HeldBook:
    """The book while this process alone may write it; every call raises Unavailable once the connection, and so the lock, is lost."""

    def __init__(self, connection: Connection, namespace: str) -> None:
        self._connection = connection
        self._namespace = namespace

    async def find(self, ids: Sequence[str]) -> Mapping[str, Redrive]:
        """What is known of these."""
        with failing_as_unavailable():
            rows = await self._connection.fetch(
                "SELECT id, begun_at, done_at FROM redrives WHERE namespace = $1 AND id = ANY($2)",
                self._namespace,
                list(ids),
            )
        return {
            row["id"]: Redrive(begun_at=row["begun_at"], done_at=row["done_at"]) for row in rows
        }

    async def begin(self, ids: Sequence[str], at: datetime) -> None:
        """They are about to be sent; the first beginning is kept."""
        with failing_as_unavailable():
            await self._connection.execute(
                "INSERT INTO redrives (namespace, id, begun_at) SELECT $1, unnest($2::text[]), $3"
                " ON CONFLICT DO NOTHING",
                self._namespace,
                list(ids),
                at,
            )

    async def finish(self, ids: Sequence[str], at: datetime) -> None:
        """They were sent and acknowledged."""
        with failing_as_unavailable():
            await self._connection.execute(
                "UPDATE redrives SET done_at = $3 WHERE namespace = $1 AND id = ANY($2)",
                self._namespace,
                list(ids),
                at,
            )

    async def forget(self, begun_before: datetime) -> None:
        """Remove what the rejected topic cannot hold any more."""
        with failing_as_unavailable():
            await self._connection.execute(
                "DELETE FROM redrives WHERE namespace = $1 AND begun_at < $2",
                self._namespace,
                begun_before,
            )


@asynccontextmanager
async def hold_book(options: Options, namespace: str) -> AsyncIterator[HeldBook]:
    """The book, for the one process that sends again. PostgresProblem when another one does; Unavailable."""
    opened = await connect(options)
    try:
        with failing_as_unavailable():
            key = lock_key("redrive", namespace)
            mine = await opened.fetchval("SELECT pg_try_advisory_lock($1)", key)
        if not mine:
            raise PostgresProblem("another redrive of this namespace is running")
        yield HeldBook(opened, namespace)
    finally:
        opened.terminate()  # not `close`, which waits for a server that may be gone


class PostgresRedrives:
    """Implements the API's port Redrives."""

    def __init__(self, pool: Pool, namespace: str) -> None:
        self._pool = pool
        self._namespace = namespace

    async def done_at(self, ids: Sequence[str]) -> Mapping[str, datetime]:
        """When each of these was sent again; those that were not are left out. Unavailable."""
        async with connection(self._pool) as acquired:
            rows = await acquired.fetch(
                "SELECT id, done_at FROM redrives"
                " WHERE namespace = $1 AND id = ANY($2) AND done_at IS NOT NULL",
                self._namespace,
                list(ids),
            )
        return {row["id"]: row["done_at"] for row in rows}
