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


class Whom:
    """What the workers say, what their answers taught, and who was silent. One thread.

    `learnt_max` keys of customers and subjects are remembered with their partitions. A worker that did not answer is left out until it has
    said something again on the owners topic, and for `silent_s` at least.
    """

    def __init__(
        self,
        live: Callable[[], Sequence[WorkerRecord]],
        *,
        partitions: int,
        learnt_max: int = 200_000,
        silent_s: float = 1.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._live = live
        self._partitions = partitions
        self._learnt: OrderedDict[tuple[bool, str], int] = OrderedDict()
        self._learnt_max = learnt_max
        self._silent: dict[str, tuple[float, int]] = {}
        """By name: when it did not answer, and `at_ms` of what it had said last."""
        self._silent_s = silent_s
        self._monotonic = monotonic
        self._turn = 0

    def choices(self) -> Choices:
        """The workers as they are now, for one round of questions."""
        live = [record for record in self._live() if not self._is_silent(record)]
        self._turn += 1
        return Choices(live, self._turn)

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

    def was_silent(self, record: WorkerRecord) -> None:
        """It did not answer."""
        self._silent[record.name] = (self._monotonic(), record.at_ms)

    def _is_silent(self, record: WorkerRecord) -> bool:
        found = self._silent.get(record.name)
        if found is None:
            return False
        since, said_ms = found
        if record.at_ms == said_ms or self._monotonic() - since < self._silent_s:
            return True
        del self._silent[record.name]
        return False


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
