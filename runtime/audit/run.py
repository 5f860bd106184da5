"""One audit: every partition of the events topic is read again, judged again, and compared with what was made of it.

How the moment is fixed: the ends of the log are read first, then `visible` is waited for, a bounded time; what stands at or
after `visible` is still on its way and nothing is said of it. Source: docs/audit.md.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Protocol

from connectors.clickhouse.audited import AuditedUsage
from connectors.kafka.log_times import LogTimes
from connectors.kafka.partition_reader import PartitionReader
from domain.errors import NotFound
from domain.metering.rejected import RejectedRecord
from runtime.audit.comparing import FOLD_REFUSES, Sent, Slice, Stored, compare
from runtime.audit.judging import Fate, First, Judge
from runtime.audit.meters import MeterCounts
from runtime.audit.remembered import Remembered
from runtime.audit.report import Difference, Kind, PartitionReport, Report
from runtime.audit.slices import Moved, Read, own_events
from schemas.partitioner import partition_of
from schemas.position import index_of, offset_of, position, record_start
from schemas.state import WEEK_MS, identities

MOVED_MAX = 100_000
"""Forwarded events of a run that are followed to their partition; of more it is said that they were not."""
_REFUSALS_AT_ONCE = 5_000


class Refusals(Protocol):
    """The rejected topic."""

    def since(self, moment_ms: int) -> Iterable[RejectedRecord]:
        """What was refused at or after a moment. Unavailable."""
        ...

    async def begins_ms(self, partition: int) -> int:
        """When the oldest refusal that is left in a partition was written, 0 when none has gone. Unavailable."""
        ...


class States(Protocol):
    """What the workers' states hold."""

    async def positions(self) -> Mapping[int, int]:
        """The position after it, by partition; none for one that no worker has. Unavailable."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What to audit. `from_ms`/`to_ms` are times of appending, `everything`: all that the log holds, whatever `from_ms`.

    `subjects`: only events of these. `ids_from_log`: ids from before the range are read from the log, else taken from
    ClickHouse. `keeps_events_ms`: for how long ClickHouse keeps events. `registry`: records of unknown schemas may go to one.
    """

    namespace: str
    topic: str
    window_ms: int
    from_ms: int
    to_ms: int | None
    demanded: bool
    subjects: frozenset[str] | None = None
    partitions: frozenset[int] | None = None
    ids_from_log: bool = True
    wait_s: float = 15.0
    keeps_events_ms: int
    registry: bool = False


@dataclass(slots=True, kw_only=True)
class Auditor:
    """One run; `report` says how far it came, also when it is broken off."""

    order: Order
    reader: PartitionReader
    times: LogTimes
    usage: AuditedUsage
    refusals: Refusals
    states: States
    remembered: Remembered
    meters: MeterCounts
    report: Report
    on_progress: Callable[[Report], None] = lambda report: None
    _moved: list[Moved] = field(default_factory=list)
    _moved_left_out: int = 0
    _expired: set[int] = field(default_factory=set)
    _refusals_from: dict[int, int] = field(default_factory=dict)
    _count: int = 0

    async def run(self) -> None:
        """Fill the report. NotFound for a partition that is not there; Unavailable."""
        order = self.order
        bounds = await self.times.bounds()
        self._count = len(bounds)
        chosen = sorted(self._chosen(bounds))
        starts = await self.times.at(order.from_ms)
        ends = {n: bounds[n][1] for n in chosen}
        if order.to_ms is not None:
            at = await self.times.at(order.to_ms)
            ends = {n: min(ends[n], at[n]) for n in chosen}
        horizon_ms = order.from_ms - order.window_ms - WEEK_MS
        ids_from = await self.times.at(horizon_ms) if order.ids_from_log else starts
        visible = await self._wait_visible(ends)
        for number in chosen:
            start = min(max(starts[number], bounds[number][0]), ends[number])
            self.report.partitions.append(
                PartitionReport(
                    partition=number,
                    ids_from=min(max(ids_from[number], bounds[number][0]), start),
                    start=start,
                    end=ends[number],
                    visible=visible.get(number, 0),
                )
            )
        self.report.records_of = sum(one.end - one.ids_from for one in self.report.partitions)
        self._say_what_is_cut(bounds)
        await self._read_refusals(horizon_ms)
        await self.meters.begin(self.report.partitions)
        for one in self.report.partitions:
            await self._partition(one, horizon_ms)
        await self._follow_moved()
        await self.meters.finish(self.report)
        await self._compare_states()
        self._say_what_waits()

    # -- what is compared

    def _chosen(self, bounds: Mapping[int, tuple[int, int]]) -> Collection[int]:
        """Partitions that were asked for; of subjects, those that own them."""
        order = self.order
        if order.subjects is not None:
            return {self._owner_of(subject) for subject in order.subjects}
        if order.partitions is None:
            return bounds
        if missing := order.partitions - bounds.keys():
            raise NotFound(f"--partition: {order.topic} has no partition {min(missing)}")
        return order.partitions

    def _owner_of(self, subject: str) -> int:
        return partition_of(subject.encode(), self._count)

    async def _wait_visible(self, ends: Mapping[int, int]) -> Mapping[int, int]:
        """What ClickHouse shows: everything before `ends`, or what it has when `wait_s` have passed."""
        deadline = time.monotonic() + self.order.wait_s
        while True:
            visible = await self.usage.call(self.usage.visible)
            behind = [n for n, end in ends.items() if end and visible.get(n, 0) < record_start(end)]
            if not behind or time.monotonic() > deadline:
                return visible
            await asyncio.sleep(0.1)

    def _say_what_is_cut(self, bounds: Mapping[int, tuple[int, int]]) -> None:
        """The range that was asked for may begin before the log."""
        if not self.order.demanded:
            return
        for one in self.report.partitions:
            low = bounds[one.partition][0]
            if low and one.start == low:
                self.report.give_up(
                    "the beginning of the range",
                    f"the log begins at offset {low}: what was before it has left Kafka (kafka.retention)",
                    one.partition,
                )

    async def _read_refusals(self, horizon_ms: int) -> None:
        """Keep what the rejected topic has of these partitions."""
        topic = self.order.topic

        def read() -> None:
            refused = (
                (r.origin.partition, position(r.origin.offset, r.index), r.code)
                for r in self.refusals.since(max(0, horizon_ms))
                if r.origin is not None and r.origin.topic == topic
            )
            while some := list(islice(refused, _REFUSALS_AT_ONCE)):
                self.remembered.refuse(some)

        await asyncio.to_thread(read)

    # -- a partition

    async def _partition(self, one: PartitionReport, horizon_ms: int) -> None:
        known = self.remembered.of(one.partition)
        judge = Judge(known, self.order.window_ms)
        await self._earlier_ids(one, horizon_ms)
        read = Read(record_start(one.ids_from), record_start(one.ids_from))
        async for records, reached in self.reader.read(
            self.order.topic, one.partition, one.ids_from, one.start
        ):
            read.take(records, self.order.namespace, one.partition, self._owner_of)
            self._learn(one, judge, read)
            read = Read(record_start(reached), record_start(reached))
            self._progress(one, reached)
        read = Read(record_start(one.start), record_start(one.start))
        async for records, reached in self.reader.read(
            self.order.topic, one.partition, one.start, one.end
        ):
            read.take(records, self.order.namespace, one.partition, self._owner_of)
            read.next = record_start(reached)
            if read.is_full:
                await self._compare(one, judge, read)
                read = Read(record_start(reached), record_start(reached))
            self._progress(one, reached)
        read.next = record_start(one.end)
        await self._compare(one, judge, read)

    async def _earlier_ids(self, one: PartitionReport, horizon_ms: int) -> None:
        """Ids that arrived within the window and before the part of the log that is read, from ClickHouse."""
        if not one.ids_from:
            return
        known = self.remembered.of(one.partition)

        def take() -> int:
            count = 0
            for rows in self.usage.identities(
                one.partition, record_start(one.ids_from), horizon_ms, self.order.subjects
            ):
                sources, ids, subjects, positions, arrived = zip(*rows, strict=True)
                hashes = identities(self.order.namespace, sources, ids, subjects)
                found: dict[bytes, First] = {}
                for key, at, ms in zip(hashes, positions, arrived, strict=True):
                    if key not in found or found[key].position < at:
                        found[key] = First(at, ms)
                before = known.find(list(found))
                known.remember(
                    {
                        key: first
                        for (key, first), old in zip(found.items(), before, strict=True)
                        if old is None or old.position < first.position
                    }
                )
                count += len(rows)
            return count

        self.report.earlier_ids += await self.usage.call(take)

    def _learn(self, one: PartitionReport, judge: Judge, read: Read) -> None:
        """Remember the ids of events before the range."""
        told = self.remembered.refused(one.partition, read.first, read.next)
        own = own_events(read, self.order.subjects)
        judge.judge(
            own.positions,
            own.hashes,
            own.arrived_ms,
            {},
            newest_ms=read.newest_ms,
            without=_refused_by_fold(told),
        )

    async def _compare(self, one: PartitionReport, judge: Judge, read: Read) -> None:
        if read.first >= read.next:
            return
        order = self.order
        stored = await self.usage.call(
            self.usage.events, one.partition, read.first, read.next, order.subjects
        )
        told = self.remembered.refused(one.partition, read.first, read.next)
        own = own_events(read, order.subjects)
        verdicts = {row.position: row.accepted for row in stored}
        judged = judge.judge(
            own.positions,
            own.hashes,
            own.arrived_ms,
            verdicts,
            newest_ms=read.newest_ms,
            without=_refused_by_fold(told),
        )
        sent = own.sent(judged)
        if order.subjects is not None:
            wanted = set(own.positions)
            told = {at: code for at, code in told.items() if at in wanted}
        found = compare(
            Slice(
                partition=one.partition,
                visible=one.visible,
                sent=sent,
                refused=read.refused() if order.subjects is None else {},
                handed_over=read.handed_over() if order.subjects is None else set(),
                stored=map(Stored._make, stored),
                told=told,
            ),
            one.counts,
        )
        self.report.found(
            await self._without_gone_refusals(one, self._without_expired(one, found, sent))
        )
        one.counts.records += read.records
        self._take_moved(one, read)
        self.meters.add(
            one.partition,
            [
                e
                for e in sent
                if e.fate is Fate.ACCEPTED and told.get(e.position) not in FOLD_REFUSES
            ],
            stored,
        )

    def _without_expired(
        self, one: PartitionReport, found: Sequence[Difference], sent: Sequence[Sent]
    ) -> Iterable[Difference]:
        """Without what ClickHouse no longer keeps: that is said once a partition."""
        kept_since = self.report.began_ms - self.order.keeps_events_ms
        gone = {event.position for event in sent if event.arrived_ms < kept_since}
        if not gone:
            return found
        if one.partition not in self._expired:
            self._expired.add(one.partition)
            self.report.give_up(
                "the oldest events of the range",
                "they are older than what ClickHouse keeps (retention.events_days)",
                one.partition,
            )
        return [
            difference
            for difference in found
            if difference.kind not in (Kind.LOST, Kind.REPEAT_MISSING)
            or position(difference.offset or 0, difference.index or 0) not in gone
        ]

    async def _without_gone_refusals(
        self, one: PartitionReport, found: Iterable[Difference]
    ) -> list[Difference]:
        """Without refusals that are missing because the rejected topic does not go back that far."""
        left = list(found)
        missing = [each for each in left if each.kind is Kind.REFUSAL_MISSING]
        if not missing:
            return left
        if one.partition not in self._refusals_from:
            begins_ms = await self.refusals.begins_ms(one.partition)
            at = await self.times.at(begins_ms) if begins_ms else {}
            self._refusals_from[one.partition] = at.get(one.partition, 0)
        since = self._refusals_from[one.partition]
        gone = {each for each in missing if (each.offset or 0) < since}
        if gone:
            why = "the rejected topic does not go back that far"
            self.report.give_up(f"{len(gone)} refusals", why, one.partition)
        return [each for each in left if each not in gone]

    def _take_moved(self, one: PartitionReport, read: Read) -> None:
        """Count what was forwarded; it is followed at the end, when every partition was read."""
        if self.order.subjects is not None:
            return
        for moved in read.moved(self.order.namespace, one.partition, self._owner_of):
            one.counts.events += 1
            if moved.position >= one.visible:
                one.counts.waiting += 1
                continue
            one.counts.forwarded += 1
            if len(self._moved) < MOVED_MAX:
                self._moved.append(moved)
            else:
                self._moved_left_out += 1

    def _progress(self, one: PartitionReport, reached: int) -> None:
        done = sum(
            o.end - o.ids_from for o in self.report.partitions if o.partition < one.partition
        )
        self.report.reached = done + reached - one.ids_from
        self.on_progress(self.report)

    # -- at the end

    async def _follow_moved(self) -> None:
        """Forwarded events must have come to their partition: a worker goes on only when the copy is in the log."""
        missing = [
            moved
            for moved in self._moved
            if self.remembered.of(moved.owner).find([moved.hash])[0] is None
        ]
        if missing:
            missing = await self._still_missing(missing)
        self.report.found(
            Difference(
                kind=Kind.NOT_FORWARDED,
                partition=moved.partition,
                offset=offset_of(moved.position),
                index=index_of(moved.position),
                id=moved.id,
                subject=moved.subject,
                note=f"to partition {moved.owner}",
            )
            for moved in missing
        )
        if self._moved_left_out:
            self.report.give_up(
                f"{self._moved_left_out} forwarded events", f"more than {MOVED_MAX} were forwarded"
            )

    async def _still_missing(self, moved: Sequence[Moved]) -> list[Moved]:
        """Those whose copy is not in ClickHouse either: it may stand after the range."""
        owners = {one.owner for one in moved}
        bounds = await self.times.bounds()
        ends = {n: bounds[n][1] for n in owners}
        visible = await self._wait_visible(ends)
        missing = []
        for one in moved:
            ask = (one.owner, one.source, one.id, one.subject)
            if await self.usage.call(self.usage.has_event, *ask):
                continue
            if visible.get(one.owner, 0) < record_start(ends[one.owner]):
                self.report.give_up(
                    f"forwarded event {offset_of(one.position)}/{index_of(one.position)}",
                    f"ClickHouse does not have all of partition {one.owner} yet",
                    one.partition,
                )
            else:
                missing.append(one)
        return missing

    async def _compare_states(self) -> None:
        """A state has at least what ClickHouse showed before."""
        states = await self.states.positions()
        for one in self.report.partitions:
            one.state = states.get(one.partition)
            if one.state is None:
                self.report.give_up("state", "no worker says what it holds", one.partition)
            elif one.state < one.visible:
                note = f"state {offset_of(one.state)}, ClickHouse {offset_of(one.visible)}"
                self.report.found(
                    [Difference(kind=Kind.STATE_BEHIND, partition=one.partition, note=note)]
                )

    def _say_what_waits(self) -> None:
        for one in self.report.partitions:
            if one.counts.waiting:
                self.report.give_up(
                    f"{one.counts.waiting} events",
                    f"ClickHouse has everything before offset {offset_of(one.visible)} of {one.end}: the sink is behind",
                    one.partition,
                )
            if one.counts.handed_over and not self.order.registry:
                self.report.give_up(
                    f"{one.counts.handed_over} records of unknown schemas",
                    "neither refused nor, as avro.registry_url is not set, for the registry",
                    one.partition,
                )


def _refused_by_fold(told: Mapping[int, str]) -> set[int]:
    return {at for at, code in told.items() if code in FOLD_REFUSES}
