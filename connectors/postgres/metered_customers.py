"""Customers with metered entitlements: whom reconcile looks at."""

from __future__ import annotations

from collections.abc import AsyncIterator

from connectors.postgres.pool import Pool, connection

PAGE = 1_000
_LIVE = (
    "FROM customers AS c WHERE c.namespace = $1 AND c.deleted_at IS NULL AND EXISTS ("
    "SELECT 1 FROM entitlements AS e WHERE e.namespace = $1 AND e.customer_id = c.id"
    " AND e.kind = 'metered' AND e.deleted_at IS NULL)"
)


class MeteredCustomers:
    """Of one namespace, live ones. Every call raises Unavailable when Postgres is down."""

    def __init__(self, pool: Pool, namespace: str) -> None:
        self._pool = pool
        self._namespace = namespace

    async def ids(self) -> AsyncIterator[str]:
        """In the order of the ids, a page at a time; those made meanwhile may be there or not."""
        last = ""
        while page := await self._page(last):
            for id in page:
                yield id
            last = page[-1]

    async def count(self) -> int:
        """How many there are."""
        async with connection(self._pool) as reading:
            found: int = await reading.fetchval(f"SELECT count(*) {_LIVE}", self._namespace)
        return found

    async def _page(self, after: str) -> list[str]:
        async with connection(self._pool) as reading:
            rows = await reading.fetch(
                f"SELECT c.id {_LIVE} AND c.id > $2 ORDER BY c.id LIMIT $3",
                self._namespace,
                after,
                PAGE,
            )
        return [row["id"] for row in rows]
