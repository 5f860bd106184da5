"""The route agent: events of producers with another key or partitioner go to the partition that owns their subject.

Each record of `…_events_raw` is judged as the meter judges; its events follow one by one under their subject as key, what
is refused goes to the rejected topic. Read, send, wait for every acknowledgement, then commit: a router that dies in between
repeats, in the same order, and a repeated event has the same identity and time and does not count again.
Only here a schema registry is asked: no state depends on its answer. Source: docs/decisions/0121.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from domain.errors import Refused
from schemas.avro_records import schema_id
from schemas.position import offset_of
from streams import metrics
from streams.decoded import Decoded, ForwardedEvent, Record, RejectedEvent
from streams.decoding import decode
from streams.fates import tell_refused
from streams.fetched_schemas import FetchedSchemas, Found
from streams.ports import RouteLog
from streams.steps import Step, StepHook

log = logging.getLogger(__name__)

_NOBODY = -1
"""No partition: every event is for another one, comes out on its own and with its time."""
_TRY_AGAIN_S = 0.5
_TOO_OLD = Refused(
    "older_than_dedupe_window",
    "arrived longer ago than ids are remembered, and how far the topic was routed is not known",
)


class RawFeed(Protocol):
    """The raw topic, read by a group."""

    async def fetch(self) -> Mapping[int, Sequence[Record]]:
        """The next records of the partitions that are ours; after a short while none."""
        ...

    def assigned(self) -> set[int]:
        """The partitions that are ours."""
        ...

    def begun_anew(self) -> set[int]:
        """Those of which nobody remembered how far they were read."""
        ...

    def go_back(self, partition: int, offset: int, *, paused: bool) -> None:
        """Read on from `offset`, when paused only after `resume`."""
        ...

    def resume(self, partition: int) -> None:
        """Read on."""
        ...

    async def commit(self, offsets: Mapping[int, int]) -> None:
        """Remember how far each partition was read. A partition that is another's by now is left out."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteOptions:
    """`wait_s`: how long a partition waits for a registry that is down before what needs it is rejected.

    `window_ms`: the dedupe window; see `_too_old`.
    """

    namespace: str
    wait_s: float
    window_ms: int


@dataclass(slots=True, eq=False)
class _Waiting:
    """A partition that needs a schema which cannot be had: since when, and when it is tried again."""

    since: float
    again_at: float


class Router:
    """Routes what the feed brings until cancelled; whatever fails is the end of it, and of the worker."""

    def __init__(
        self,
        feed: RawFeed,
        route_log: RouteLog,
        schemas: FetchedSchemas,
        options: RouteOptions,
        *,
        reached: StepHook,
        now: Callable[[], float] = time.monotonic,
        now_ms: Callable[[], int],
    ) -> None:
        self._feed = feed
        self._log = route_log
        self._schemas = schemas
        self._options = options
        self._reached = reached
        self._now = now
        self._now_ms = now_ms
        self._waiting: dict[int, _Waiting] = {}

    async def run(self) -> None:
        """Route until cancelled."""
        while True:
            await self.turn()

    async def turn(self) -> None:
        """Route what one fetch brings."""
        self._wake()
        fetched = await self._feed.fetch()
        if not fetched:
            return
        self._reached(Step.ROUTE_RECEIVED)
        done: dict[int, int] = {}
        sent = []
        for partition, records in fetched.items():
            ready, found = await self._ready(partition, records)
            if not ready:
                continue
            decoded = self._decode(partition, ready, found)
            if decoded.forwarded:
                sent.append(await self._log.append_forwarded(decoded.forwarded))
            if decoded.rejected:
                sent.append(await self._log.append_rejected(partition, decoded.rejected))
            tell_refused(partition, decoded.rejected)
            done[partition] = ready[-1].offset + 1
            _count(decoded)
        self._reached(Step.ROUTE_SENT)
        await asyncio.gather(*sent)
        self._reached(Step.ROUTE_ACKNOWLEDGED)
        if done:
            await self._feed.commit(done)
            self._reached(Step.ROUTE_COMMITTED)

    # -- schemas

    async def _ready(
        self, partition: int, records: Sequence[Record]
    ) -> tuple[Sequence[Record], Found]:
        """The records that can be judged now; reading goes on behind them."""
        ids: set[int] = set()
        for at, record in enumerate(records):
            id = schema_id(record.value)
            if id is not None and id not in ids:
                if len(ids) == self._schemas.kept_max:
                    self._feed.go_back(partition, record.offset, paused=False)
                    records = records[:at]
                    break
                ids.add(id)
        found = await self._schemas.find(ids)
        if not found.unavailable:
            self._waiting.pop(partition, None)
            return records, found
        waiting = self._waiting.setdefault(partition, _Waiting(self._now(), 0.0))
        if self._now() - waiting.since >= self._options.wait_s:
            return records, found
        at = next(i for i, r in enumerate(records) if schema_id(r.value) in found.unavailable)
        waiting.again_at = self._now() + _TRY_AGAIN_S
        self._feed.go_back(partition, records[at].offset, paused=True)
        return records[:at], found

    def _wake(self) -> None:
        """Read on where a schema may be had by now."""
        mine = self._feed.assigned()
        self._waiting = {number: w for number, w in self._waiting.items() if number in mine}
        for number, waiting in self._waiting.items():
            if waiting.again_at and self._now() >= waiting.again_at:
                waiting.again_at = 0.0
                self._feed.resume(number)
        metrics.route_waiting.set(len(self._waiting))

    # -- records

    def _decode(self, partition: int, records: Sequence[Record], found: Found) -> Decoded:
        """The events under their subjects, and what is refused."""
        decoded = decode(
            records,
            namespace=self._options.namespace,
            partition=_NOBODY,
            owner_of=lambda subject: 0,
            not_before=0,
            schemas=found,
            hand_over=True,
        )
        for raw in decoded.handed_over:
            refused = _why(raw.schema_id, found)
            decoded.rejected.append(
                RejectedEvent(
                    raw.position,
                    raw.key,
                    raw.value,
                    refused.code,
                    refused.field,
                    str(refused),
                    raw.headers,
                )
            )
        if partition in self._feed.begun_anew():
            self._refuse_too_old(decoded, records)
        return decoded

    def _refuse_too_old(self, decoded: Decoded, records: Sequence[Record]) -> None:
        """Nobody knows whether these were routed before, and the ids of that time are forgotten: they could count twice."""
        oldest_ms = self._now_ms() - self._options.window_ms
        old = {record.offset: record for record in records if record.timestamp < oldest_ms}
        if not old:
            return
        kept: list[ForwardedEvent] = []
        for event in decoded.forwarded:
            record = old.get(offset_of(event.position))
            if record is None:
                kept.append(event)
                continue
            decoded.rejected.append(
                RejectedEvent(
                    event.position,
                    event.subject.encode(),
                    event.value,
                    _TOO_OLD.code,
                    None,
                    str(_TOO_OLD),
                )
            )
        decoded.forwarded = kept


def _why(id: int, found: Found) -> Refused:
    if id in found.unavailable:
        return Refused(
            "avro_schema_unavailable", f"the schema registry could not be asked for schema {id}"
        )
    return found.refused.get(id) or Refused(
        "avro_schema_unknown", f"no schema with the id {id} is known"
    )


def _count(decoded: Decoded) -> None:
    metrics.routed.labels("forwarded").inc(len(decoded.forwarded))
    metrics.routed.labels("rejected").inc(len(decoded.rejected))
    metrics.count_rejected(decoded.rejected)
