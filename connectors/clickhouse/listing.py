"""Lists stored events, newest first, in the order that the table `events` is kept in: a page reads its end, not the whole.

The order is (time, append time, partition, position), descending; the last three make the row id. An insert that was
repeated leaves equal rows side by side until ClickHouse merges them: they are told by partition and position and left
out here, which is cheaper than FINAL.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from connectors.clickhouse.asking import Asking, is_seen
from connectors.clickhouse.client import Clients
from connectors.clickhouse.sql import (
    Parameters,
    millisecond,
    second,
    text_condition,
    time_condition,
)
from domain.metering.listing import EventListing, StoredEvent

_COLUMNS = (
    "id, source, type, subject, toUnixTimestamp64Second(time), data, toUnixTimestamp64Milli(ingested_at), "
    "toUnixTimestamp64Milli(stored_at), partition, position"
)
_NEWEST_FIRST = "namespace DESC, time DESC, ingested_at DESC, partition DESC, position DESC"
_FIELDS = frozenset(("id", "source", "subject", "type"))
_RowId = tuple[int, int, int, int]


class EventLister:
    """Implements the API's port EventStore."""

    def __init__(self, clients: Clients, *, namespace: str, topic: str, threads: int) -> None:
        self._asking = Asking(clients, namespace=namespace, topic=topic, threads=threads)

    async def list_events(self, listing: EventListing) -> list[StoredEvent]:
        """The visible accepted events that fit; Unavailable."""
        return await self._asking.in_thread(self._list, listing)

    def close(self) -> None:
        """Stop the threads."""
        self._asking.close()

    def _list(self, listing: EventListing) -> list[StoredEvent]:
        visible = self._asking.visible()
        found: dict[tuple[int, int], StoredEvent] = {}
        before = listing.before
        while len(found) < listing.limit:
            wanted = listing.limit - len(found)
            page = self._page(listing, visible, before, wanted)
            found.update({(event.partition, event.position): event for event in page})
            if len(page) < wanted:
                break
            last = page[-1]
            before = (last.time_s, last.ingested_ms, last.partition, last.position)
        return list(found.values())

    def _page(
        self,
        listing: EventListing,
        visible: Mapping[int, int],
        before: _RowId | None,
        limit: int,
    ) -> list[StoredEvent]:
        parameters = Parameters()
        where = [
            f"namespace = {parameters.text(self._asking.namespace)}",
            "verdict = 'accepted'",
            is_seen(visible),
        ]
        for name, test in sorted(listing.fields.items()):
            assert name in _FIELDS
            where.append(text_condition(name, test, parameters))
        if listing.time is not None:
            where.append(time_condition("time", listing.time, in_ms=False))
        if listing.ingested is not None:
            where.append(time_condition("ingested_at", listing.ingested, in_ms=True))
        if before is not None:
            where += _older(before)
        rows = self._asking.rows(
            f"SELECT {_COLUMNS} FROM events WHERE {' AND '.join(where)} ORDER BY {_NEWEST_FIRST} LIMIT {limit}",
            parameters,
        )
        return [_event(row) for row in rows]


def _older(than: _RowId) -> list[str]:
    """Strictly after `than` in the listing; the first condition is what the primary key can use."""
    time_s, ingested_ms, partition, position = than
    return [
        f"time <= {second(time_s)}",
        "(time, ingested_at, partition, position) < "
        f"({second(time_s)}, {millisecond(ingested_ms)}, toUInt32({int(partition)}), toUInt64({int(position)}))",
    ]


def _event(row: Sequence[Any]) -> StoredEvent:
    id, source, type, subject, time_s, data, ingested_ms, stored_ms, partition, position = row
    return StoredEvent(
        id=id,
        source=source,
        type=type,
        subject=subject,
        time_s=int(time_s),
        data=data,
        ingested_ms=int(ingested_ms),
        stored_ms=int(stored_ms),
        partition=int(partition),
        position=int(position),
    )
