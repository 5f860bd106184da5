"""What ClickHouse has of a partition's log, for an audit: events by position, ids from before, and what rows count."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from connectors.clickhouse.asking import Asking, limit_of
from connectors.clickhouse.client import Clients
from connectors.clickhouse.sql import Parameters, is_one_of, millisecond

T = TypeVar("T")

KEYS_UNDER_WAY_MAX = 20_000
"""Subjects and minutes whose rows have gone on past the position asked; with more of them rows cannot be compared."""

_BLOCK = 50_000
_IDENTITIES_SETTINGS = {"max_execution_time": 0}


class EventRow(NamedTuple):
    """A stored event. `digest`: MD5 of its data."""

    position: int
    id: str
    source: str
    type: str
    subject: str
    second: int
    arrived_ms: int
    digest: bytes
    accepted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CoveredRange:
    """A meter version's rows count the events at `[start, until)` of a partition; None = still."""

    meter: str
    version: int
    partition: int
    start: int
    until: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """Events that a meter version's rows count in a partition. `under_way`: (subject, minute) of rows that went on, not in `rows`."""

    rows: int
    under_way: Sequence[tuple[str, int]]


class AuditedUsage:
    """Reads what the sinks of one topic wrote for one namespace."""

    def __init__(self, clients: Clients, *, namespace: str, topic: str) -> None:
        self._asking = Asking(clients, namespace=namespace, topic=topic, threads=1)

    async def call(self, ask: Callable[..., T], *arguments: Any) -> T:
        """The result of one of the methods below, on a thread. Unavailable."""
        return await self._asking.in_thread(ask, *arguments)

    def close(self) -> None:
        """Stop the thread, after the statement under way."""
        self._asking.close()

    def visible(self) -> Mapping[int, int]:
        """Up to which position reads may see each partition."""
        return self._asking.visible()

    def events(
        self, partition: int, first: int, next: int, subjects: Collection[str] | None
    ) -> list[EventRow]:
        """Stored events at `[first, next)` in order; an insert that was repeated gives one, other contents at a place another."""
        parameters = Parameters()
        only = _only(subjects, parameters)
        found = self._asking.rows(
            "SELECT position, id, source, type, subject, toUnixTimestamp64Second(time), "
            "toUnixTimestamp64Milli(ingested_at), MD5(data), verdict = 'accepted' FROM events "
            f"WHERE namespace = {parameters.text(self._asking.namespace)} AND partition = {int(partition)} "
            f"AND position >= {int(first)} AND position < {int(next)}{only} "
            "GROUP BY position, id, source, type, subject, time, ingested_at, MD5(data), verdict ORDER BY position, verdict",
            parameters,
        )
        return [
            EventRow(
                int(at), id, source, type, subject, int(s), int(ms), bytes(digest), bool(accepted)
            )
            for at, id, source, type, subject, s, ms, digest, accepted in found
        ]

    def identities(
        self, partition: int, before: int, since_ms: int, subjects: Collection[str] | None
    ) -> Iterator[Sequence[tuple[str, str, str, int, int]]]:
        """(source, id, subject, position, arrived in ms) of accepted events before `before` that arrived since, in blocks."""
        parameters = Parameters()
        only = _only(subjects, parameters)
        sql = (
            "SELECT source, id, subject, position, toUnixTimestamp64Milli(ingested_at) FROM events "
            f"WHERE namespace = {parameters.text(self._asking.namespace)} AND partition = {int(partition)} "
            f"AND verdict = 'accepted' AND position < {int(before)} AND ingested_at >= {millisecond(max(0, since_ms))}{only}"
        )
        for rows in self._asking.blocks(sql, parameters, _IDENTITIES_SETTINGS):
            for start in range(0, len(rows), _BLOCK):
                yield [
                    (source, id, subject, int(at), int(ms))
                    for source, id, subject, at, ms in rows[start : start + _BLOCK]
                ]

    def has_event(self, partition: int, source: str, id: str, subject: str) -> bool:
        """Whether there is an event of this identity, whatever its verdict."""
        parameters = Parameters()
        return bool(
            self._asking.rows(
                f"SELECT 1 FROM events WHERE namespace = {parameters.text(self._asking.namespace)} "
                f"AND partition = {int(partition)} AND id = {parameters.text(id)} "
                f"AND source = {parameters.text(source)} AND subject = {parameters.text(subject)} LIMIT 1",
                parameters,
            )
        )

    def ranges(self) -> list[CoveredRange]:
        """What rows cover, of every meter version."""
        parameters = Parameters()
        found = self._asking.rows(
            "SELECT meter, version, partition, from_position, until_position, closed FROM meter_ranges FINAL "
            f"WHERE namespace = {parameters.text(self._asking.namespace)} AND topic = {parameters.text(self._asking.topic)} "
            "ORDER BY meter, version, partition",
            parameters,
        )
        return [
            CoveredRange(
                meter=meter,
                version=int(version),
                partition=int(partition),
                start=int(start),
                until=int(until) if closed else None,
            )
            for meter, version, partition, start, until, closed in found
        ]

    def counted(
        self, meter: str, version: int, limits: Mapping[int, int], subjects: Collection[str] | None
    ) -> dict[int, Counted]:
        """What the rows of a meter version count, by partition, as far as they hold nothing at or after its limit."""
        parameters = Parameters()
        where = (
            f"namespace = {parameters.text(self._asking.namespace)} AND meter = {parameters.text(meter)} "
            f"AND version = {int(version)} AND partition IN ({', '.join(map(str, sorted(limits)))}){_only(subjects, parameters)}"
        )
        found = self._asking.rows(
            f"SELECT partition, sumIf(counted, NOT ahead), groupArrayIf({KEYS_UNDER_WAY_MAX + 1})((subject, at), ahead) FROM ("
            "SELECT partition, subject, intDiv(toUnixTimestamp64Second(minute), 60) AS at, "
            f"max(position) >= {limit_of(limits)} AS ahead, sum(count) AS counted FROM usage FINAL WHERE {where} "
            "GROUP BY partition, subject, at) GROUP BY partition",
            parameters,
        )
        return {
            int(partition): Counted(
                rows=int(rows), under_way=[(subject, int(at)) for subject, at in under_way]
            )
            for partition, rows, under_way in found
        }

    def accepted_of(
        self,
        event_type: str,
        partition: int,
        start: int,
        until: int,
        keys: Sequence[tuple[str, int]] | None,
        subjects: Collection[str] | None,
    ) -> int:
        """Accepted events of a type at `[start, until)`; `keys`: only those of these subjects and minutes."""
        parameters = Parameters()
        only = _only(subjects, parameters)
        if keys is not None:
            if not keys:
                return 0
            only += (
                f" AND (subject, intDiv(toUnixTimestamp64Second(time), 60)) IN arrayZip("
                f"{parameters.texts([subject for subject, _ in keys])}, {parameters.numbers([at for _, at in keys])})"
            )
        found = self._asking.rows(
            f"SELECT uniqExact(position) FROM events WHERE namespace = {parameters.text(self._asking.namespace)} "
            f"AND partition = {int(partition)} AND type = {parameters.text(event_type)} AND verdict = 'accepted' "
            f"AND position >= {int(start)} AND position < {int(until)}{only}",
            parameters,
        )
        return int(found[0][0])


def _only(subjects: Collection[str] | None, parameters: Parameters) -> str:
    return "" if subjects is None else f" AND {is_one_of('subject', sorted(subjects), parameters)}"
