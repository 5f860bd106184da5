"""The outbox as the relay sees it: one holder among all processes, rows in the order of their ids."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

from connectors.postgres.changes import CHANNEL
from connectors.postgres.locks import lock_key
from connectors.postgres.pool import Connection, Options, connect, failing_as_unavailable
from schemas.catalog import CatalogRecord, decode_catalog_record

_ASK_AGAIN_S = 0.5
"""How often a process that waits for its turn asks for it."""

_POLL_S = 1.0
"""A notification that got lost is made up for after this time."""


class HeldOutbox:
    """The outbox while this process is its holder. Every call raises Unavailable once the connection, and so the lock, is lost."""

    def __init__(self, connection: Connection, namespace: str) -> None:
        self._connection = connection
        self._namespace = namespace
        self._woken = asyncio.Event()

    async def start(self) -> None:
        """Begin to listen."""
        self._connection.add_termination_listener(lambda _: self._woken.set())
        await self._connection.add_listener(CHANNEL, self._notified)

    async def read(self, limit: int) -> list[CatalogRecord]:
        """The first `limit` changes that are not removed yet; a record's version is its row's id."""
        with failing_as_unavailable():
            rows = await self._connection.fetch(
                "SELECT payload FROM outbox WHERE namespace = $1 ORDER BY id LIMIT $2",
                self._namespace,
                limit,
            )
        return [decode_catalog_record(row["payload"]) for row in rows]

    async def remove(self, versions: Sequence[int]) -> None:
        """Remove what the topic has."""
        with failing_as_unavailable():
            await self._connection.execute(
                "DELETE FROM outbox WHERE id = ANY($1::bigint[])", list(versions)
            )

    async def changed(self) -> None:
        """Return soon after a change was committed, and now and then without one."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_POLL_S):
                await self._woken.wait()
        self._woken.clear()

    def _notified(self, connection: object, pid: int, channel: str, payload: object) -> None:
        if payload == self._namespace:
            self._woken.set()


class PostgresOutbox:
    """The outbox of a namespace."""

    def __init__(self, options: Options, namespace: str) -> None:
        self._options = options
        self._namespace = namespace

    @asynccontextmanager
    async def hold(self) -> AsyncIterator[HeldOutbox]:
        """Wait until no other process holds the outbox, then hold it while the block runs. Unavailable, PostgresProblem.

        The lock belongs to the session that also reads and removes: who has lost the one cannot do the other.
        """
        connection = await connect(self._options)
        try:
            with failing_as_unavailable():
                await self._wait_for_turn(connection)
                held = HeldOutbox(connection, self._namespace)
                await held.start()
            yield held
        finally:
            connection.terminate()  # not `close`, which waits for a server that may be gone

    async def _wait_for_turn(self, connection: Connection) -> None:
        """Asks again and again: a blocking wait would keep a snapshot open and vacuum from working."""
        key = lock_key("relay", self._namespace)
        while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", key):  # noqa: ASYNC110 - only the server knows
            await asyncio.sleep(_ASK_AGAIN_S)
