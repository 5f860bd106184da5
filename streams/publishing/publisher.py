"""Publishes the balances of one partition to their topic while this worker owns it: who changed, at most once an interval.

Never holds up what changes them: ids wait, each once, and their values are asked for when they are sent. A standby
remembers what changed of late. Whoever becomes owner publishes that at once, then looks at everything in the background
and publishes what differs from the topic, so that no last value is missing whatever its forerunner left undone.
Source: docs/decisions/0162.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from domain.errors import Unavailable
from schemas.balance_changes import (
    Cause,
    Change,
    change_key,
    decode_change,
    digest_of,
    encode_change,
)
from schemas.balances import Question, Value
from schemas.catalog import EntitlementRecord
from streams import metrics
from streams.publishing.ports import BalancesLog, CatalogView, Values
from streams.publishing.waiting import Waiting

log = logging.getLogger(__name__)

Record = tuple[bytes, bytes | None]

_AGAIN_S = 0.5
_LOADING_AGAIN_S = 1.0
_PERIODS_MAX = 50_000
_EXPECTED_MAX = 10_000
_ALIEN_RECORDS_MAX = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """`interval_s`: between two records of an entitlement. `share` of the time at most for evaluating. Bounds on what waits.

    `compare_max`: records of the topic that are compared with at a takeover (about 200 bytes each); past it all is published.
    """

    interval_s: float = 0.05
    share: float = 0.2
    waiting_max: int = 100_000
    records_max: int = 1_000
    slice_s: float = 0.005
    compare_max: int = 200_000
    look_share: float = 0.1


class Publisher:
    """Of one partition. `changed` and `own` may be called at any time, in the thread of the event loop."""

    def __init__(
        self,
        partition: int,
        values: Values,
        catalog: CatalogView,
        topic: BalancesLog,
        *,
        now: Callable[[], datetime],
        options: Options,
    ) -> None:
        self._partition, self._values, self._catalog = partition, values, catalog
        self._topic, self._now, self._options = topic, now, options
        self._waiting = Waiting(options.waiting_max)
        self._some = asyncio.Event()
        self._owned = False
        self._periods: OrderedDict[str, datetime | None] = OrderedDict()
        self._expected: dict[str, Cause] = {}
        self._end: int | None = None
        """Where the topic ends when nobody else has written."""

    @property
    def waiting(self) -> int:
        """How many balances are to be published."""
        return len(self._waiting)

    def changed(self, ids: Iterable[str], cause: Cause = Cause.USAGE) -> None:
        """The values of these entitlements changed."""
        for id in ids:
            self._waiting.add((id,), self._expected.pop(id, cause))
        if self._owned:
            self._some.set()
        elif self._waiting.overflowed:
            self._waiting.forget_oldest()

    def expect(self, id: str, cause: Cause) -> None:
        """The next change of the entitlement has this cause: its record has come, and is about to be worked in."""
        self._expected[id] = cause
        if len(self._expected) > _EXPECTED_MAX:
            del self._expected[next(iter(self._expected))]

    async def run(self) -> None:
        """Publish until cancelled: while this worker owns the partition."""
        self._owned, self._end = True, None
        self._some.set()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._publish())
                tasks.create_task(self._look_at_everything())
        finally:
            self._owned = False

    # -- what waits

    async def _publish(self) -> None:
        while True:
            await self._some.wait()
            self._some.clear()
            began = time.monotonic()
            taken = list(self._waiting.take().items())
            for start in range(0, len(taken), self._options.records_max):
                await self._publish_some(dict(taken[start : start + self._options.records_max]))
            metrics.balances_to_publish.labels(self._partition).set(len(self._waiting))
            await asyncio.sleep(max(0.0, self._options.interval_s - (time.monotonic() - began)))

    async def _publish_some(self, causes: dict[str, Cause]) -> None:
        """Their values as they are now; what cannot be sent waits again."""
        began = time.perf_counter()
        records: list[Record] = []
        loading: list[str] = []
        for id, cause in causes.items():
            found = self._record(id, cause)
            if found is None:
                loading.append(id)
            else:
                records += found
            if time.perf_counter() - began > self._options.slice_s:
                await asyncio.sleep((time.perf_counter() - began) * (1 / self._options.share - 1))
                began = time.perf_counter()
        try:
            await self._append(records)
        except Unavailable as error:
            log.warning("balances are published later", extra={"cause": str(error)})
            for id, cause in causes.items():
                self._waiting.add((id,), cause)
            asyncio.get_running_loop().call_later(_AGAIN_S, self._some.set)
            return
        if loading:
            asyncio.get_running_loop().call_later(_LOADING_AGAIN_S, self.changed, loading)

    async def _append(self, records: Sequence[Record]) -> None:
        """Append; what somebody else wrote meanwhile, who did not know that he is no owner any more, is published anew."""
        if not records:
            return
        expected = self._end
        self._end = None
        began = await self._topic.append(self._partition, records)
        self._end = began + len(records)
        metrics.balances_published.inc(len(records))
        if expected is not None and began > expected:
            await self._publish_aliens(expected, began)

    async def _publish_aliens(self, start: int, end: int) -> None:
        start = max(start, end - _ALIEN_RECORDS_MAX)
        async for found, _ in self._topic.read(self._partition, start, end):
            self.changed(r.key.decode(errors="replace") for r in found if r.key)

    def _record(self, id: str, cause: Cause) -> list[Record] | None:
        """What to publish of an entitlement; nothing for one that is not here; None while its history is read."""
        record = self._catalog.entitlement(id)
        if record is None:
            return []
        answer = self._values(Question(customer=record.customer_id, features=(id,)), self._now())
        if answer.why in ("loading", "behind"):
            return None
        if answer.why == "elsewhere":
            return []
        if record.deleted_at is not None:
            return self._gone(record, answer.as_of_ms)
        value = next((one for one in answer.values if one.entitlement_id == id), _nothing(record))
        return [self._told(value, self._cause(value, cause), answer.as_of_ms)]

    def _told(self, value: Value, cause: Cause, as_of_ms: int, *, gone: bool = False) -> Record:
        customer = self._catalog.customer(value.customer_id)
        change = Change(
            value=value,
            cause=cause,
            as_of_ms=as_of_ms,
            customer_key=None if customer is None else customer.key,
            gone=gone,
        )
        return change_key(value.entitlement_id), encode_change(change)

    def _gone(self, record: EntitlementRecord, as_of_ms: int) -> list[Record]:
        """The last word on a deleted entitlement, for who follows; then a tombstone, so that the topic forgets it."""
        self._periods.pop(record.id, None)
        last = self._told(_nothing(record), Cause.MANAGEMENT, as_of_ms, gone=True)
        return [last, (last[0], None)]

    def _cause(self, value: Value, cause: Cause) -> Cause:
        """A new period since the last publication is a reset, whatever else happened in it."""
        id, start = value.entitlement_id, value.period_start
        before = self._periods.pop(id, start)
        self._periods[id] = start
        if len(self._periods) > _PERIODS_MAX:
            self._periods.popitem(last=False)
        return Cause.RESET if before != start else cause

    # -- everything

    async def _look_at_everything(self) -> None:
        """Once after a takeover, and again when more changed than could be remembered, or somebody else wrote."""
        await self._look()
        while True:
            await asyncio.sleep(_LOOK_AGAIN_S)
            if self._waiting.overflowed:
                self._waiting.overflowed = False
                await self._look()
            await self._notice_aliens()

    async def _notice_aliens(self) -> None:
        if self._end is None:
            return
        expected = self._end
        try:
            _, end = await self._topic.bounds(self._partition)
            if self._end == expected < end:
                self._end = end
                await self._publish_aliens(expected, end)
        except Unavailable as error:
            log.info("the end of the balances is not known", extra={"cause": str(error)})

    async def _look(self) -> None:
        """Compare every value with the topic."""
        published = await self._published()
        began = time.perf_counter()
        for customer_id in self._catalog.customers_in(self._partition):
            answer = self._values(Question(customer=customer_id), self._now())
            if answer.why is not None:
                self.changed(one.id for one in self._catalog.entitlements_of(customer_id))
            for value in answer.values:
                if published.pop(value.entitlement_id, None) != digest_of(value):
                    self.changed((value.entitlement_id,))
            took = time.perf_counter() - began
            if took > self._options.slice_s:
                await asyncio.sleep(took * (1 / self._options.look_share - 1))
                began = time.perf_counter()
            while len(self._waiting) > self._options.waiting_max // 2:
                await asyncio.sleep(self._options.interval_s)
                began = time.perf_counter()
        self.changed(published)

    async def _published(self) -> dict[str, bytes]:
        """What the topic says last, by entitlement; nothing when that is more than can be compared."""
        while True:
            found: dict[str, bytes] = {}
            try:
                first, end = await self._topic.bounds(self._partition)
                async for records, _ in self._topic.read(self._partition, first, end):
                    for record in records:
                        _note(record, found)
                    if len(found) > self._options.compare_max:
                        return {}
                return found
            except Unavailable as error:
                log.info("balances are compared later", extra={"cause": str(error)})
                await asyncio.sleep(_AGAIN_S)


_LOOK_AGAIN_S = 5.0


def _note(record: Any, found: dict[str, bytes]) -> None:
    id = record.key.decode(errors="replace") if record.key else ""
    if record.value is None:
        found.pop(id, None)
        return
    try:
        found[id] = digest_of(decode_change(record.value).value)
    except (msgspec.DecodeError, UnicodeDecodeError):
        found[id] = b""  # a stranger's: it equals no value, so ours is told again over it


def _nothing(record: EntitlementRecord) -> Value:
    """The value of an entitlement that gives nothing."""
    return Value(
        entitlement_id=record.id,
        customer_id=record.customer_id,
        feature_id=record.feature_id,
        feature_key=record.feature_key,
        type=record.type,
        has_access=False,
    )
