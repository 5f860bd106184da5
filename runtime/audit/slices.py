"""From records of the log to what is compared: decoded again, in parts of bounded size."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from hashlib import md5
from typing import NamedTuple

from runtime.audit.comparing import Sent
from runtime.audit.judging import Judged
from schemas.cloudevents import ENVELOPE_DECODER
from schemas.position import position, record_start
from schemas.state import identity
from streams.decoded import Decoded, Record
from streams.decoding import decode

EVENTS_MAX = 50_000
BYTES_MAX = 32 << 20
"""What is compared at once; one fetch and one record more may come on top."""


class Moved(NamedTuple):
    """An event that stands in a partition that does not own its subject."""

    partition: int
    position: int
    owner: int
    hash: bytes
    source: str
    id: str
    subject: str


@dataclass(slots=True)
class Read:
    """Records of one partition, decoded. Positions `[first, next)`."""

    first: int
    next: int
    records: int = 0
    bytes: int = 0
    parts: list[Decoded] = field(default_factory=list)

    @property
    def is_full(self) -> bool:
        """Whether it is time to compare."""
        events = sum(part.count + len(part.rejected) for part in self.parts)
        return events >= EVENTS_MAX or self.bytes >= BYTES_MAX

    @property
    def newest_ms(self) -> int:
        """The newest arrival of a record, whatever became of it."""
        return max((part.newest_ms for part in self.parts), default=0)

    def take(
        self,
        records: Sequence[Record],
        namespace: str,
        partition: int,
        owner_of: Callable[[str], int],
    ) -> None:
        """Decode `records`, all that the log has from `next` on up to the last of them."""
        if not records:
            return
        decoded = decode(
            records,
            namespace=namespace,
            partition=partition,
            owner_of=owner_of,
            not_before=0,
            hand_over=True,
        )
        self.parts.append(decoded)
        self.records += len(records)
        self.bytes += sum(len(record.value or b"") for record in records)
        self.next = record_start(records[-1].offset + 1)

    def refused(self) -> dict[int, str]:
        """Codes of what the log refuses, by position."""
        return {one.position: one.code for part in self.parts for one in part.rejected}

    def handed_over(self) -> set[int]:
        """Records whose schema a registry may have."""
        return {one.position for part in self.parts for one in part.handed_over}

    def moved(self, namespace: str, partition: int, owner_of: Callable[[str], int]) -> list[Moved]:
        """Events for other partitions."""
        found = []
        for part in self.parts:
            for one in part.forwarded:
                event = ENVELOPE_DECODER.decode(one.value)
                key = identity(namespace, event.source, event.id, event.subject)
                found.append(
                    Moved(
                        partition,
                        one.position,
                        owner_of(one.subject),
                        key,
                        event.source,
                        event.id,
                        event.subject,
                    )
                )
        return found


@dataclass(slots=True)
class Own:
    """The partition's own events of a `Read`, by columns."""

    positions: list[int] = field(default_factory=list)
    hashes: list[bytes] = field(default_factory=list)
    arrived_ms: list[int] = field(default_factory=list)
    _events: list[tuple[str, str, str, str, int, bytes]] = field(default_factory=list)

    def sent(self, judged: Sequence[Judged]) -> list[Sent]:
        """Each with its fate."""
        return [
            Sent(
                at,
                id,
                source,
                type,
                subject,
                second,
                arrived,
                md5(text, usedforsecurity=False).digest(),
                fate,
                first,
            )
            for at, (id, source, type, subject, second, text), arrived, (fate, first) in zip(
                self.positions, self._events, self.arrived_ms, judged, strict=True
            )
        ]


def own_events(read: Read, subjects: Collection[str] | None) -> Own:
    """In the order of the log; of `subjects` only, when there are any."""
    own = Own()
    for part in read.parts:
        for i, at in enumerate(part.positions):
            if subjects is not None and part.subjects[i] not in subjects:
                continue
            own.positions.append(at)
            own.hashes.append(part.hashes[i])
            own.arrived_ms.append(part.appended_ms[i])
            own._events.append(
                (
                    part.ids[i],
                    part.sources[i],
                    part.types[i],
                    part.subjects[i],
                    part.seconds[i],
                    part.texts[i],
                )
            )
    return own


def after(offset: int) -> int:
    """The position after everything before the record at `offset`."""
    return position(offset, 0)
