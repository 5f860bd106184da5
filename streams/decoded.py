"""Judged events of consecutive records, as columns; and what became of those that do not count here."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

import msgspec

from domain.errors import Refused
from domain.metering.reading import Columns
from schemas.binary_mode import Headers
from schemas.cloudevents import Envelope


class Record(Protocol):
    """A Kafka record as aiokafka hands it out."""

    @property
    def offset(self) -> int: ...  # noqa: D102
    @property
    def timestamp(self) -> int: ...  # noqa: D102
    @property
    def key(self) -> bytes | None: ...  # noqa: D102
    @property
    def value(self) -> bytes | None: ...  # noqa: D102
    @property
    def headers(self) -> Headers: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class RejectedEvent:
    """What goes to the rejected topic: the original bytes and headers, why, and where they stood."""

    position: int
    key: bytes | None
    value: bytes
    code: str
    field: str | None
    message: str
    headers: Headers = ()


@dataclass(frozen=True, slots=True)
class ForwardedEvent:
    """An event that stands in a partition that does not own its subject; `value` has its time filled in."""

    position: int
    subject: str
    value: bytes


@dataclass(frozen=True, slots=True)
class HandedOver:
    """A record whose schema only a registry may know: it goes to the route agent as it is."""

    position: int
    key: bytes | None
    value: bytes
    headers: Headers
    schema_id: int


@dataclass(slots=True, eq=False)
class Decoded:
    """Events of consecutive records as parallel lists in log order; `first`/`next` are positions `[first, next)`.

    `texts` are the data's JSON, b"" for none; `columns` what the meters read of it.
    """

    first: int
    next: int
    newest_ms: int = 0
    positions: list[int] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    types: list[str] = field(default_factory=list)
    subjects: list[str] = field(default_factory=list)
    seconds: list[int] = field(default_factory=list)
    texts: list[bytes] = field(default_factory=list)
    columns: Columns = field(default_factory=Columns)
    hashes: list[bytes] = field(default_factory=list)
    appended_ms: list[int] = field(default_factory=list)
    rejected: list[RejectedEvent] = field(default_factory=list)
    forwarded: list[ForwardedEvent] = field(default_factory=list)
    handed_over: list[HandedOver] = field(default_factory=list)

    @property
    def count(self) -> int:
        """How many events there are."""
        return len(self.positions)

    def before(self, end: int) -> Decoded:
        """The part below position `end`."""
        if self.next <= end:
            return self
        return self._part(0, bisect_left(self.positions, end), self.first, end)

    def forget_read(self) -> None:
        """It is folded: let go of what only the fold reads. Chunks wait for the brokers, and there may be many."""
        self.columns, self.hashes = Columns(), []

    def refused(self, refused: Refused) -> Decoded:
        """The same positions with every event rejected."""
        rejected = [
            RejectedEvent(
                at,
                self.subjects[i].encode(),
                msgspec.json.encode(self._envelope(i)),
                refused.code,
                refused.field,
                str(refused),
            )
            for i, at in enumerate(self.positions)
        ]
        return Decoded(
            self.first,
            self.next,
            self.newest_ms,
            rejected=self.rejected + rejected,
            forwarded=self.forwarded,
            handed_over=self.handed_over,
        )

    def _envelope(self, i: int) -> Envelope:
        return Envelope(
            id=self.ids[i],
            source=self.sources[i],
            type=self.types[i],
            subject=self.subjects[i],
            specversion="1.0",
            time=datetime.fromtimestamp(self.seconds[i], UTC),
            data=msgspec.Raw(self.texts[i]),
        )

    def _part(self, start: int, stop: int, first: int, end: int) -> Decoded:
        return Decoded(
            first,
            end,
            self.newest_ms,
            self.positions[start:stop],
            self.ids[start:stop],
            self.sources[start:stop],
            self.types[start:stop],
            self.subjects[start:stop],
            self.seconds[start:stop],
            self.texts[start:stop],
            self.columns.part(start, stop),
            self.hashes[start:stop],
            self.appended_ms[start:stop],
            [r for r in self.rejected if first <= r.position < end],
            [f for f in self.forwarded if first <= f.position < end],
            [h for h in self.handed_over if first <= h.position < end],
        )

    def cut(self, size: int) -> Iterator[Decoded]:
        """The same in parts of at most `size` events; a part ends where the next one begins."""
        if self.count <= size:
            yield self
            return
        for start in range(0, self.count, size):
            stop = start + size
            first = self.first if start == 0 else self.positions[start]
            last = stop >= self.count
            end = self.next if last else self.positions[stop]
            yield self._part(start, stop, first, end)
