"""Stored events with their verdicts, duplicates too, and how many counted since a second."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from connectors.clickhouse.asking import Asking, is_seen
from connectors.clickhouse.client import Clients
from connectors.clickhouse.sql import Parameters, second
from domain.metering.verdicts import StoredVerdict, VerdictListing

_COLUMNS = (
    "id, source, type, subject, toUnixTimestamp64Second(time), toUnixTimestamp64Milli(ingested_at), "
    "toUnixTimestamp64Milli(stored_at), partition, position, verdict = 'accepted'"
)


class EventVerdicts:
    """Implements the API's port Verdicts."""

    def __init__(self, clients: Clients, *, namespace: str, topic: str, threads: int) -> None:
        self._asking = Asking(clients, namespace=namespace, topic=topic, threads=threads)
        self.topic = topic

    async def find(self, listing: VerdictListing) -> list[StoredVerdict]:
        """The first `limit` by place, those too that queries do not see yet; Unavailable."""
        return await self._asking.in_thread(self._find, listing)

    async def counted_since(self, second: int, limit: int) -> list[tuple[str, int]]:
        """Accepted events at or after `second` by subject, the `limit` subjects with the most; Unavailable."""
        return await self._asking.in_thread(self._counted_since, second, limit)

    def close(self) -> None:
        """Stop the threads."""
        self._asking.close()

    def _find(self, listing: VerdictListing) -> list[StoredVerdict]:
        parameters = Parameters()
        where = [
            f"namespace = {parameters.text(self._asking.namespace)}",
            f"id = {parameters.text(listing.id)}",
        ]
        if listing.source is not None:
            where.append(f"source = {parameters.text(listing.source)}")
        if listing.subject is not None:
            where.append(f"subject = {parameters.text(listing.subject)}")
        if listing.start_s is not None:
            where.append(f"time >= {second(listing.start_s)}")
        if listing.end_s is not None:
            where.append(f"time < {second(listing.end_s)}")
        rows = self._asking.rows(
            f"SELECT {_COLUMNS} FROM events WHERE {' AND '.join(where)} "
            f"ORDER BY partition, position LIMIT 1 BY partition, position LIMIT {int(listing.limit)}",
            parameters,
        )
        return [_verdict(row) for row in rows]

    def _counted_since(self, since: int, limit: int) -> list[tuple[str, int]]:
        visible = self._asking.visible()
        parameters = Parameters()
        where = (
            f"namespace = {parameters.text(self._asking.namespace)} AND verdict = 'accepted' "
            f"AND {is_seen(visible)} AND time >= {second(since)}"
        )
        rows = self._asking.rows(
            # Not count(): an insert that was repeated leaves equal rows until ClickHouse merges them.
            f"SELECT subject, uniqExact(partition, position) AS found FROM events WHERE {where} "
            f"GROUP BY subject ORDER BY found DESC, subject LIMIT {int(limit)}",
            parameters,
        )
        return [(subject, int(found)) for subject, found in rows]


def _verdict(row: Sequence[Any]) -> StoredVerdict:
    id, source, type, subject, time_s, ingested_ms, stored_ms, partition, position, accepted = row
    return StoredVerdict(
        id=id,
        source=source,
        type=type,
        subject=subject,
        time_s=int(time_s),
        ingested_ms=int(ingested_ms),
        stored_ms=int(stored_ms),
        partition=int(partition),
        position=int(position),
        accepted=bool(accepted),
    )
