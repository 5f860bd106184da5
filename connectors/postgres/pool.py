"""The pool of connections to Postgres, and what its failures mean.

Sessions keep settings and locks: a PgBouncer in between must be in session mode.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import asyncpg
from asyncpg import exceptions as pg
from tenacity import (
    AsyncRetrying,
    retry_if_exception_type,
    stop_after_delay,
    wait_random_exponential,
)

from domain.errors import Unavailable

# In quotes: only their stubs are generic.
Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
PooledConnection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"

SCHEMA = "meterstream"
"""The Postgres schema of our tables: the database may hold others' tables, too."""

_ACQUIRE_TIMEOUT_S = 10.0
"""For how long a call waits for a free connection of the pool."""

_NOT_NOW = (
    pg.PostgresConnectionError,
    pg.OperatorInterventionError,
    pg.InsufficientResourcesError,
    pg.TransactionRollbackError,
    pg.LockNotAvailableError,
    pg.ReadOnlySQLTransactionError,
    OSError,  # TimeoutError is one
)
_CLOSING = re.compile("clos|^cannot switch to state")
"""How asyncpg says that a connection or the pool is closed, or that the server's last word came before the question."""

_WRONG = (
    pg.InvalidAuthorizationSpecificationError,
    pg.InvalidCatalogNameError,
    pg.ClientConfigurationError,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Where Postgres is and what may take how long."""

    dsn: str
    pool_max: int = 10
    wait_s: float = 30.0
    """For how long a start waits for Postgres."""
    connect_timeout_s: float = 5.0
    statement_timeout_s: float = 10.0


class PostgresProblem(Exception):
    """Postgres answers but cannot be used as it is; the message says why and what to do."""


async def open_pool(options: Options) -> Pool:
    """A pool, as soon as Postgres answers. Unavailable after `wait_s`; PostgresProblem when waiting would not help."""
    retrying = AsyncRetrying(
        retry=retry_if_exception_type(Unavailable),
        wait=wait_random_exponential(multiplier=0.1, max=2),
        stop=stop_after_delay(options.wait_s),
        reraise=True,
    )
    async for attempt in retrying:
        with attempt, failing_as_unavailable(), _naming_what_is_wrong():
            return await _answering_pool(options)
    raise AssertionError("a retry either returns or raises")


async def _answering_pool(options: Options) -> Pool:
    # min_size 0: a pool that keeps a floor logs a traceback each second while Postgres is down.
    pool = await asyncpg.create_pool(min_size=0, max_size=options.pool_max, **_settings(options))
    try:
        async with pool.acquire():
            return pool
    except BaseException:
        pool.terminate()
        raise


async def connect(options: Options) -> Connection:
    """A connection of its own, for what must outlive a call. Unavailable, PostgresProblem."""
    with failing_as_unavailable(), _naming_what_is_wrong():
        return await asyncpg.connect(**_settings(options))


@asynccontextmanager
async def connection(pool: Pool) -> AsyncIterator[PooledConnection]:
    """A connection of the pool while the block runs. Unavailable, also when Postgres no longer lets us in."""
    with failing_as_unavailable():
        try:
            async with pool.acquire(timeout=_ACQUIRE_TIMEOUT_S) as acquired:
                yield acquired
        except _WRONG as error:
            raise Unavailable(f"Postgres: {error}") from error


@asynccontextmanager
async def transaction(pool: Pool) -> AsyncIterator[PooledConnection]:
    """A transaction that commits when the block ends and is rolled back when it raises.

    Unavailable: the transaction was rolled back, unless the connection broke during the commit; then it is not known.
    """
    async with connection(pool) as acquired, acquired.transaction():
        yield acquired


@contextmanager
def failing_as_unavailable() -> Iterator[None]:
    """Turns errors after which the same call may succeed later into Unavailable."""
    try:
        yield
    except _NOT_NOW as error:
        raise Unavailable(f"Postgres: {str(error) or type(error).__name__}") from error
    except (pg.InterfaceError, pg.InternalClientError) as error:
        if not _CLOSING.search(str(error)):
            raise  # a mistake of ours
        raise Unavailable(f"Postgres: the connection was lost: {error}") from error


@contextmanager
def _naming_what_is_wrong() -> Iterator[None]:
    try:
        yield
    except _WRONG as error:
        raise PostgresProblem(f"postgres.dsn cannot be used: {error}") from error


def _settings(options: Options) -> dict[str, Any]:
    timeout_ms = str(int(options.statement_timeout_s * 1000))
    return {
        "dsn": options.dsn,
        "timeout": options.connect_timeout_s,
        # The server gives up first; this one is for a server that does not answer at all.
        "command_timeout": options.statement_timeout_s + 2,
        "server_settings": {
            "application_name": "meterstream",
            "search_path": SCHEMA,
            "statement_timeout": timeout_ms,
            "lock_timeout": timeout_ms,
            "idle_in_transaction_session_timeout": timeout_ms,
            # A peer that vanished without a word is noticed after 25 s, and its locks are free.
            "tcp_keepalives_idle": "10",
            "tcp_keepalives_interval": "5",
            "tcp_keepalives_count": "3",
        },
    }
