"""How many events the rows of each meter count, beside those of its type that the log and ClickHouse have.

Rows are sums by minute, so they can be compared only when all that they hold is in the range: when the meter began to
count inside it. Rows that have gone on past the range's end are left out, and their events taken for them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from connectors.clickhouse.audited import (
    KEYS_UNDER_WAY_MAX,
    AuditedUsage,
    CoveredRange,
)
from runtime.audit.report import Difference, Kind, MeterReport, PartitionReport, Report
from schemas.catalog import MeterRecord
from schemas.position import record_start

Key = tuple[str, int]
"""Meter id and version."""


class Placed(Protocol):
    """An event of the log or of ClickHouse."""

    @property
    def position(self) -> int: ...  # noqa: D102
    @property
    def type(self) -> str: ...  # noqa: D102


class _Range(NamedTuple):
    """What of a partition the rows of a meter version count, as far as the audit goes."""

    key: Key
    start: int
    until: int


@dataclass(slots=True)
class MeterCounts:
    """Counts while the log is read, and compares at the end."""

    usage: AuditedUsage
    meters: Mapping[str, MeterRecord]
    subjects: Collection[str] | None
    _ranges: dict[Key, dict[int, _Range]] = field(default_factory=lambda: defaultdict(dict))
    _by_type: dict[tuple[int, str], list[_Range]] = field(default_factory=lambda: defaultdict(list))
    _why: dict[Key, str] = field(default_factory=dict)
    _limits: dict[int, int] = field(default_factory=dict)
    _sent: Counter[tuple[Key, int]] = field(default_factory=Counter)
    _stored: Counter[tuple[Key, int]] = field(default_factory=Counter)

    async def begin(self, partitions: Sequence[PartitionReport]) -> None:
        """Learn what rows cover, before the log is read. Unavailable."""
        parts = {one.partition: one for one in partitions}
        self._limits = {n: min(one.visible, record_start(one.end)) for n, one in parts.items()}
        for found in await self.usage.call(self.usage.ranges):
            one = parts.get(found.partition)
            if one is not None:
                self._take(found, one)

    def _take(self, found: CoveredRange, one: PartitionReport) -> None:
        key = (found.meter, found.version)
        meter = self.meters.get(found.meter)
        until = self._limits[found.partition]
        if found.until is not None:
            until = min(until, found.until)
        if found.start < record_start(one.start) and found.until != found.start:
            self._why[key] = "its rows hold events from before the range"
        if meter is None:
            self._why[key] = "the catalog does not have this meter any more"
            self._ranges[key] = {}
            return
        known = _Range(key, found.start, until)
        self._ranges[key][found.partition] = known
        self._by_type[found.partition, meter.event_type].append(known)

    def add(self, partition: int, sent: Sequence[Placed], stored: Sequence[Placed]) -> None:
        """Count accepted events of the log and of ClickHouse."""
        _count(self._by_type, partition, sent, self._sent)
        _count(self._by_type, partition, _accepted(stored), self._stored)

    async def finish(self, report: Report) -> None:
        """Compare with the rows, and tell the report. Unavailable."""
        for key in sorted(self._ranges.keys() | self._why.keys()):
            meter = self.meters.get(key[0])
            told = MeterReport(
                slug="" if meter is None else meter.slug,
                id=key[0],
                version=key[1],
                event_type="" if meter is None else meter.event_type,
                why=self._why.get(key),
            )
            report.meters.append(told)
            if told.why is None:
                await self._compare(key, told, report)

    async def _compare(self, key: Key, told: MeterReport, report: Report) -> None:
        ranges = self._ranges[key]
        limits = {n: self._limits[n] for n in ranges}
        counted = await self.usage.call(self.usage.counted, *key, limits, self.subjects)
        told.sent = told.stored = told.rows = 0
        for number, covered in sorted(ranges.items()):
            rows = 0
            if number in counted:
                under_way = counted[number].under_way
                if len(under_way) > KEYS_UNDER_WAY_MAX:
                    told.sent = told.stored = told.rows = None
                    told.why = "too many of its rows have gone on past the range"
                    report.give_up(f"rows of meter {told.slug}", told.why, number)
                    return
                rows = counted[number].rows + await self.usage.call(
                    self.usage.accepted_of,
                    told.event_type,
                    number,
                    covered.start,
                    covered.until,
                    under_way,
                    self.subjects,
                )
            sent = self._sent[key, number]
            told.sent += sent
            told.stored += self._stored[key, number]
            told.rows += rows
            if rows != sent:
                note = f"meter {told.slug} version {key[1]}: rows count {rows}, the log has {sent}"
                report.found([Difference(kind=Kind.ROWS_DIFFER, partition=number, note=note)])


def _count(
    by_type: Mapping[tuple[int, str], Sequence[_Range]],
    partition: int,
    events: Sequence[Placed],
    into: Counter[tuple[Key, int]],
) -> None:
    for event in events:
        for key, start, until in by_type.get((partition, event.type), ()):
            if start <= event.position < until:
                into[key, partition] += 1


def _accepted(stored: Sequence[Placed]) -> list[Placed]:
    """Each accepted place once."""
    return list({one.position: one for one in stored if getattr(one, "accepted", False)}.values())
