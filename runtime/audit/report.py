"""What an audit counts and finds. docs/audit.md says where each number comes from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

DIFFERENCES_MAX = 10_000
"""Differences that a report lists; more are only counted. The same for what could not be decided."""


class Kind(StrEnum):
    """What is wrong with one event."""

    LOST = "lost"
    DOUBLE = "double"
    NOT_COUNTED = "not_counted"
    STORED_TWICE = "stored_twice"
    REPEAT_MISSING = "repeat_missing"
    ALTERED = "altered"
    INVENTED = "invented"
    REFUSAL_MISSING = "refusal_missing"
    REFUSED_WRONGLY = "refused_wrongly"
    NOT_FORWARDED = "not_forwarded"
    ROWS_DIFFER = "rows_differ"
    STATE_BEHIND = "state_behind"


MEANING = {
    Kind.LOST: "accepted by the log, absent in ClickHouse: it does not count",
    Kind.DOUBLE: "a repeat that ClickHouse has as accepted: it counts twice",
    Kind.NOT_COUNTED: "the first of its identity, which ClickHouse has as a duplicate: it does not count",
    Kind.STORED_TWICE: "ClickHouse has more than one event at this place",
    Kind.REPEAT_MISSING: "a repeat that ClickHouse does not have: no number is wrong, its verdict is missing",
    Kind.ALTERED: "ClickHouse has other contents than were sent",
    Kind.INVENTED: "ClickHouse has an event where the log has none",
    Kind.REFUSAL_MISSING: "refused, but the rejected topic does not have it",
    Kind.REFUSED_WRONGLY: "in the rejected topic, though it can be counted",
    Kind.NOT_FORWARDED: "stood in a partition that does not own its subject, and never came to the one that does",
    Kind.ROWS_DIFFER: "the rows of usage count another number of events than were accepted",
    Kind.STATE_BEHIND: "the worker's state has less than ClickHouse shows",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One event, by its place, or one number, when `offset` is None."""

    kind: Kind
    partition: int
    offset: int | None = None
    index: int | None = None
    id: str | None = None
    subject: str | None = None
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Undecided:
    """What could not be compared, and why."""

    what: str
    why: str
    partition: int | None = None


@dataclass(slots=True)
class Counts:
    """Sums of one partition's range. Those of the log come first, then what ClickHouse and the rejected topic have there."""

    records: int = 0
    events: int = 0
    accepted: int = 0
    duplicate: int = 0
    rejected: int = 0
    forwarded: int = 0
    handed_over: int = 0
    waiting: int = 0
    stored_accepted: int = 0
    stored_duplicate: int = 0
    stored_rejected: int = 0

    def add(self, other: Counts) -> None:
        """Take in the sums of another part."""
        for name in COUNTED:
            setattr(self, name, getattr(self, name) + getattr(other, name))


COUNTED = tuple(Counts.__slots__)


@dataclass(slots=True, kw_only=True)
class PartitionReport:
    """One partition: offsets `[start, end)` were compared; ids were read from `ids_from` on. `state` and `visible` are positions."""

    partition: int
    ids_from: int
    start: int
    end: int
    visible: int
    state: int | None = None
    counts: Counts = field(default_factory=Counts)


@dataclass(slots=True, kw_only=True)
class MeterReport:
    """One version of a meter: how many events its rows count, beside those of its type that the log and ClickHouse have.

    `why` says why its rows could not be compared; the numbers are then None.
    """

    slug: str
    id: str
    version: int
    event_type: str
    sent: int | None = None
    stored: int | None = None
    rows: int | None = None
    why: str | None = None


@dataclass(slots=True)
class Report:
    """What one run found. Times in Unix milliseconds; `reached` of `records_of` records were read, those for ids too."""

    namespace: str = ""
    topic: str = ""
    topic_id: str = ""
    version: str = ""
    began_ms: int = 0
    ended_ms: int = 0
    from_ms: int | None = None
    to_ms: int | None = None
    window_ms: int = 0
    subjects: tuple[str, ...] | None = None
    records_of: int = 0
    reached: int = 0
    earlier_ids: int = 0
    """Ids from before the part of the log that was read, taken from ClickHouse."""
    partitions: list[PartitionReport] = field(default_factory=list)
    meters: list[MeterReport] = field(default_factory=list)
    kinds: Counter[Kind] = field(default_factory=Counter)
    differences: list[Difference] = field(default_factory=list)
    undecided_count: int = 0
    undecided: list[Undecided] = field(default_factory=list)
    interrupted: bool = False

    @property
    def total(self) -> Counts:
        """Of all partitions."""
        total = Counts()
        for one in self.partitions:
            total.add(one.counts)
        return total

    def found(self, differences: Iterable[Difference]) -> None:
        """Take in differences."""
        for one in differences:
            self.kinds[one.kind] += 1
            if len(self.differences) < DIFFERENCES_MAX:
                self.differences.append(one)

    def give_up(self, what: str, why: str, partition: int | None = None) -> None:
        """Take in something that could not be decided."""
        self.undecided_count += 1
        if len(self.undecided) < DIFFERENCES_MAX:
            self.undecided.append(Undecided(what=what, why=why, partition=partition))
