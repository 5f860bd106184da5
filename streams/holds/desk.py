"""Decides of the holds of one partition while this worker owns it: judges a batch, writes it, reads it back, answers.

One batch at a time, so that each is judged over everything before it. What comes meanwhile is the next batch: the wait
for the brokers is shared. A batch that does not stand where it was expected has not happened: somebody else wrote in
between, which is read first, and then all of it is judged again. Source: docs/decisions/0162.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from domain.errors import DomainError, Unavailable
from domain.holds.hold import sent
from schemas.holds import (
    BATCH_BYTES_MAX,
    Confirm,
    Create,
    HoldCall,
    HoldTold,
    List,
    Read,
    view_of,
)
from schemas.partitioner import partition_of
from schemas.position import record_start
from streams import metrics
from streams.holds.judging import Batch, Judge, place_of
from streams.holds.ledger import Ledger
from streams.holds.making_events import record_of
from streams.holds.ports import CatalogView, HoldsLog
from streams.holds.telling import told_error
from streams.steps import Step, StepHook

log = logging.getLogger(__name__)

_CALLS_MAX = 500
"""Of one batch."""
_WAITING_MAX = 5_000
_TRIES = 5
_CLEARED_MAX = 500
"""Records that are forgotten or mended together."""
_TICK_S = 0.1
_AGAIN_S = 1.0

Record = tuple[bytes, bytes | None]


@dataclass(slots=True, eq=False)
class _Waiting:
    """A call, or a record of our own (`key`: its events are in the log up to `until`), and who waits for it."""

    done: asyncio.Future[HoldTold]
    call: HoldCall | None = None
    key: bytes = b""
    until: tuple[int, int] = (0, 0)


class Desk:
    """The owner's side of one partition. `run` while it is owned."""

    def __init__(
        self,
        ledger: Ledger,
        judge: Judge,
        topic: HoldsLog,
        catalog: CatalogView,
        *,
        end: Callable[[int], Awaitable[int]],
        partition: int,
        partitions: int,
        now: Callable[[], datetime],
        append_s_max: float,
        reached: StepHook,
    ) -> None:
        self._ledger, self._judge, self._topic, self._catalog = ledger, judge, topic, catalog
        self._end, self._partition, self._partitions = end, partition, partitions
        self._now, self._append_s_max, self._reached = now, append_s_max, reached
        self._waiting: asyncio.Queue[_Waiting] = asyncio.Queue(_WAITING_MAX)
        self._sending: dict[bytes, asyncio.Task[None]] = {}
        self.ready = False

    async def ask(self, call: HoldCall) -> HoldTold:
        """The answer to a call."""
        if not self.ready:
            return HoldTold(why="unavailable", message="the holds are being read")
        if isinstance(call.request, Read | List):
            return self._read(call)
        done: asyncio.Future[HoldTold] = asyncio.get_running_loop().create_future()
        try:
            self._waiting.put_nowait(_Waiting(done, call))
        except asyncio.QueueFull:
            return HoldTold(why="unavailable", message="too many calls wait for this partition")
        return await done

    async def run(self) -> None:
        """Decide until cancelled. All who wait are told then that it is not known."""
        try:
            await self._catch_up()
            self.ready = True
            while True:
                await self._turn()
        finally:
            self.ready = False
            for task in self._sending.values():
                task.cancel()
            while not self._waiting.empty():
                _tell_unavailable(self._waiting.get_nowait(), "the partition has another owner")

    # -- reading

    def _read(self, call: HoldCall) -> HoldTold:
        now = self._now()
        try:
            match call.request:
                case List() as asked:
                    entitlement = place_of(call, self._catalog, now).entitlement
                    holds = self._ledger.list_holds(entitlement.id, asked.after or "", asked.limit)
                case _:
                    holds = [self._judge.known(call, now)]
        except DomainError as error:
            return told_error(error)
        return HoldTold(holds=tuple(view_of(hold, now) for hold in holds))

    # -- deciding

    async def _catch_up(self) -> None:
        """Read all that was there, also what a former life of ours may still have had under way."""
        while True:
            try:
                await self._ledger.reached(await self._end(self._partition))
            except Unavailable as error:
                log.warning("the end of the holds is not known", extra={"cause": str(error)})
                await asyncio.sleep(_AGAIN_S)
            else:
                return

    async def _turn(self) -> None:
        waiting = await self._gather()
        if waiting or self._ledger.to_mend(1):
            await self._decide(waiting)
        await self._clear()
        self._send_events()

    async def _gather(self) -> list[_Waiting]:
        """What waits; an empty list when nothing has come for a moment."""
        try:
            async with asyncio.timeout(_TICK_S):
                found = [await self._waiting.get()]
        except TimeoutError:
            return []
        while len(found) < _CALLS_MAX and not self._waiting.empty():
            found.append(self._waiting.get_nowait())
        return found

    async def _decide(self, waiting: list[_Waiting]) -> None:
        """Judge until a batch counts, and answer. The answers are never given before that."""
        try:
            for _ in range(_TRIES):
                batch = Batch(self._now())
                answers = [self._judged(one, batch) for one in waiting]
                self._reached(Step.HOLDS_JUDGED)
                if len(waiting) > 1 and batch.size() > BATCH_BYTES_MAX:
                    await self._decide(waiting[::2])
                    await self._decide(waiting[1::2])
                    return
                if await self._write(batch):
                    _answer(waiting, answers)
                    self._reached(Step.HOLDS_ANSWERED)
                    return
            raise Unavailable("others write holds of this partition, too")
        except Unavailable as error:
            log.warning("holds are not decided", extra={"cause": str(error)})
            for one in waiting:
                _tell_unavailable(one, str(error))
        finally:
            for one in waiting:
                _tell_unavailable(one, "the partition has another owner")

    def _judged(self, one: _Waiting, batch: Batch) -> HoldTold:
        if one.call is None:
            self._note_sent(one, batch)
            return HoldTold()
        try:
            hold, created = self._judge.judge(one.call, batch)
        except DomainError as error:
            return told_error(error)
        except Unavailable as error:
            return HoldTold(why="unavailable", message=str(error))
        return HoldTold(holds=(view_of(hold, batch.now),), created=created)

    def _note_sent(self, one: _Waiting, batch: Batch) -> None:
        hold = self._ledger.find(one.key)
        if hold is not None and hold.is_to_send:
            batch.put(one.key, sent(hold, *one.until))

    # -- writing

    async def _write(self, batch: Batch) -> bool:
        """Append the batch and read it back. Whether it counts; nothing to append always does. Unavailable."""
        mending = [
            (key, self._ledger.value_of(key))
            for key in self._ledger.to_mend(_CLEARED_MAX)
            if key not in batch.holds
        ]
        records = [*mending, *batch.records()]
        if not records:
            return True
        pinned = self._ledger.pinned
        pinned.update(batch.holds)
        try:
            return await self._append(records)
        finally:
            pinned.difference_update(batch.holds)

    async def _append(self, records: list[Record]) -> bool:
        """Whether it counts. After Unavailable it may still come: then the next one stands elsewhere, and is judged again."""
        at = self._ledger.next_offset
        try:
            async with asyncio.timeout(self._append_s_max):
                began = await self._topic.append(self._partition, records, at)
                self._reached(Step.HOLDS_APPENDED)
                await self._ledger.reached(began + len(records))
        except TimeoutError:
            raise Unavailable("the holds topic does not answer in time") from None
        self._reached(Step.HOLDS_READ_BACK)
        if began != at:
            metrics.holds_judged_again.inc()
        return began == at

    async def _clear(self) -> None:
        """Forget holds that ended long ago."""
        keys = self._ledger.to_forget(self._now(), _CLEARED_MAX)
        if not keys:
            return
        records: list[Record] = [(key, None) for key in keys]
        try:
            counts = await self._append(records)
        except Unavailable as error:
            log.warning("holds are forgotten later", extra={"cause": str(error)})
            counts = False
        if not counts:
            self._ledger.forget_later(keys)

    # -- the events of confirmations

    def _send_events(self) -> None:
        for key, _ in self._ledger.to_send():
            if key not in self._sending:
                task = asyncio.get_running_loop().create_task(self._send(key))
                self._sending[key] = task
                task.add_done_callback(partial(self._has_sent, key))

    def _has_sent(self, key: bytes, task: asyncio.Task[None]) -> None:
        self._sending.pop(key, None)
        if not task.cancelled():
            task.result()

    async def _send(self, key: bytes) -> None:
        """Put the events into the log, however long that takes, and note where they stand. They may be there already: by their ids they count once."""
        while True:
            hold = self._ledger.find(key)
            if hold is None or hold.counting is None or not hold.is_to_send:
                return
            subject = hold.counting.subject.encode()
            partition = partition_of(subject, self._partitions)
            try:
                end = await self._topic.append_events(partition, subject, record_of(hold.counting))
            except Unavailable as error:
                log.warning("events of a hold are sent later", extra={"cause": str(error)})
                await asyncio.sleep(_AGAIN_S)
                continue
            self._reached(Step.HOLD_EVENTS_SENT)
            done: asyncio.Future[HoldTold] = asyncio.get_running_loop().create_future()
            await self._waiting.put(_Waiting(done, key=key, until=(partition, record_start(end))))
            if (await done).why is None:
                return
            await asyncio.sleep(_AGAIN_S)


def _answer(waiting: list[_Waiting], answers: list[HoldTold]) -> None:
    for one, told in zip(waiting, answers, strict=True):
        if one.call is not None:
            metrics.holds.labels(_outcome(one.call, told)).inc()
        if not one.done.done():
            one.done.set_result(told)


def _outcome(call: HoldCall, told: HoldTold) -> str:
    if told.why is not None:
        return told.code or told.why
    match call.request:
        case Create():
            return "granted" if told.created else "granted_before"
        case Confirm():
            return "confirmed"
        case _:
            return "released"


def _tell_unavailable(one: _Waiting, message: str) -> None:
    if not one.done.done():
        one.done.set_result(HoldTold(why="unavailable", message=message))
