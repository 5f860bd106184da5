"""Whom to ask for a customer: the owner of its partition, then its standbys, and for a while not who did not answer."""

from __future__ import annotations

import re
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Sequence

from schemas.balances import Question
from schemas.owners import WorkerRecord, owner_by_partition
from schemas.partitioner import partition_of

_ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}\Z")
_REMEMBERED_KEY_MAX = 256
_CALL_S_MAX = 2.0


class Whom:
    """What the workers say, what their answers taught, and who was silent. One thread.

    `learnt_max` keys of customers and subjects are remembered with their partitions. A worker that did not answer is left out
    for `silent_s`; then one call goes to it, and when that is answered it is as before.
    """

    def __init__(
        self,
        live: Callable[[], Sequence[WorkerRecord]],
        *,
        partitions: int,
        learnt_max: int = 200_000,
        silent_s: float = 0.25,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._live = live
        self._partitions = partitions
        self._learnt: OrderedDict[tuple[bool, str], int] = OrderedDict()
        self._learnt_max = learnt_max
        self._silent: dict[str, float] = {}
        """By name: when it is asked again."""
        self._silent_s = silent_s
        self._monotonic = monotonic
        self._turn = 0

    def choices(self) -> Choices:
        """The workers as they are now, for one round of questions."""
        now = self._monotonic()
        due = [record for record in self._live() if self._may_be_asked(record.name, now)]
        self._turn += 1
        return Choices(due, self._turn)

    def partition(self, question: Question) -> int | None:
        """The partition of the customer that is asked about; None for a key or subject that no answer has told of yet."""
        name = _name(question)
        known = self._learnt.get(name)
        if known is not None:
            self._learnt.move_to_end(name)
            return known
        if not question.by_subject and _ULID.match(question.customer):
            return partition_of(question.customer.encode(), self._partitions)
        return None

    def learn(self, question: Question, customer_id: str) -> None:
        """A worker said whose key or subject it is."""
        if question.customer == customer_id or len(question.customer) > _REMEMBERED_KEY_MAX:
            return
        if len(self._learnt) >= self._learnt_max:
            self._learnt.popitem(last=False)
        self._learnt[_name(question)] = partition_of(customer_id.encode(), self._partitions)

    def is_asked(self, record: WorkerRecord) -> None:
        """A call goes to it; while it is silent, no other one until that is over."""
        if record.name in self._silent:
            self._silent[record.name] = self._monotonic() + _CALL_S_MAX

    def has_answered(self, record: WorkerRecord) -> None:
        """It did."""
        self._silent.pop(record.name, None)

    def was_silent(self, record: WorkerRecord) -> None:
        """It did not."""
        self._silent[record.name] = self._monotonic() + self._silent_s

    def _may_be_asked(self, name: str, now: float) -> bool:
        return now >= self._silent.get(name, now)


def _name(question: Question) -> tuple[bool, str]:
    """A subject may be called as another customer's key."""
    return question.by_subject, question.customer


class Choices:
    """The workers that can be asked in one round."""

    def __init__(self, live: Sequence[WorkerRecord], turn: int) -> None:
        self._live = live
        self._turn = turn
        self._owners = owner_by_partition(live)

    def of(self, partition: int | None, tried: Collection[str]) -> WorkerRecord | None:
        """The next one to ask about a partition; about a key that nobody knows yet, any."""
        for record in self._in_order(partition):
            if record.name not in tried:
                return record
        return None

    def _in_order(self, partition: int | None) -> Iterator[WorkerRecord]:
        if partition is None:
            first = self._turn % max(1, len(self._live))
            yield from self._live[first:]
            yield from self._live[:first]
            return
        owner = self._owners.get(partition)
        if owner is not None:
            yield owner
        yield from (record for record in self._live if partition in record.standby)
        yield from (record for record in self._live if partition in record.owned)
