"""Transactions that change the catalog: a change and its outbox row are committed together, in the order of their ids.

A sequence gives ids in the order of asking, not of committing: a transaction that takes 7 can commit after the one that takes 8.
A relay that reads in between would publish 8, and 7 after it; the worker, which goes by version, would drop 7 for the same
meter. So a transaction takes its namespace's lock before its id and keeps it until it has committed. Within a namespace,
then, whoever sees id n sees every id below it that will ever be. Changes are rare and short; reads take no lock.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from connectors.postgres.locks import lock_key
from connectors.postgres.pool import Pool, PooledConnection, transaction
from schemas.catalog import Entity, catalog_record, encode_catalog_record

CHANNEL = "meterstream_outbox"
"""Notified with the namespace at each commit."""


_appended: dict[PooledConnection, int] = {}
"""The newest version of each transaction that runs."""

_committed: dict[str, int] = {}


def committed_version(namespace: str) -> int:
    """The newest version that this process has committed in the namespace; 0 = none."""
    return _committed.get(namespace, 0)


@asynccontextmanager
async def catalog_change(pool: Pool, namespace: str) -> AsyncIterator[PooledConnection]:
    """A transaction that may call `append_change`; one at a time in a namespace. Unavailable."""
    version = 0
    async with transaction(pool) as connection:
        await connection.execute("SELECT pg_advisory_xact_lock($1)", lock_key("catalog", namespace))
        try:
            yield connection
        finally:
            version = _appended.pop(connection, 0)
    _committed[namespace] = max(version, committed_version(namespace))


async def append_change(connection: PooledConnection, namespace: str, entity: Entity) -> int:
    """Write the outbox row that tells the workers what `entity` is now; the catalog's version of this change."""
    version: int = await connection.fetchval(
        "SELECT nextval(pg_get_serial_sequence('outbox', 'id'))"
    )
    await connection.execute(
        "INSERT INTO outbox (id, namespace, payload) VALUES ($1, $2, $3)",
        version,
        namespace,
        encode_catalog_record(catalog_record(entity, version)),
    )
    await connection.execute("SELECT pg_notify($1, $2)", CHANNEL, namespace)
    _appended[connection] = version
    return version
