"""From Kafka records to judged events: decode, refuse what is no CloudEvent, set aside what another partition owns.

Pure: the same records give the same result whenever they are read, so that the sink can read them again.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

import msgspec

from domain.errors import Refused
from domain.metering.judge import SECOND_MAX, SECOND_MIN
from schemas.cloudevents import ENVELOPE_DECODER, Envelope, decode_data, decode_record
from schemas.position import EVENTS_PER_RECORD_MAX, position, record_start
from schemas.state import identity

_NO_DATA: dict[str, Any] = {}


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


@dataclass(frozen=True, slots=True)
class RejectedEvent:
    """What goes to the rejected topic: the original bytes, why, and where they stood."""

    position: int
    key: bytes | None
    value: bytes
    code: str
    field: str | None
    message: str


@dataclass(frozen=True, slots=True)
class ForwardedEvent:
    """An event that stands in a partition that does not own its subject; `value` has its time filled in."""

    position: int
    subject: str
    value: bytes


@dataclass(slots=True, eq=False)
class Decoded:
    """Events of consecutive records as parallel lists in log order; `first`/`next` are positions `[first, next)`."""

    first: int
    next: int
    newest_ms: int = 0
    positions: list[int] = field(default_factory=list)
    events: list[Envelope] = field(default_factory=list)
    seconds: list[int] = field(default_factory=list)
    datas: list[dict[str, Any]] = field(default_factory=list)
    hashes: list[bytes] = field(default_factory=list)
    appended_ms: list[int] = field(default_factory=list)
    rejected: list[RejectedEvent] = field(default_factory=list)
    forwarded: list[ForwardedEvent] = field(default_factory=list)

    def before(self, end: int) -> Decoded:
        """The part below position `end`."""
        if self.next <= end:
            return self
        keep = bisect_left(self.positions, end)
        return self._part(0, keep, self.first, end)

    def _part(self, start: int, stop: int, first: int, end: int) -> Decoded:
        return Decoded(
            first,
            end,
            self.newest_ms,
            self.positions[start:stop],
            self.events[start:stop],
            self.seconds[start:stop],
            self.datas[start:stop],
            self.hashes[start:stop],
            self.appended_ms[start:stop],
            [r for r in self.rejected if first <= r.position < end],
            [f for f in self.forwarded if first <= f.position < end],
        )

    def cut(self, size: int) -> Iterator[Decoded]:
        """The same in parts of at most `size` events; a part ends where the next one begins."""
        if len(self.events) <= size:
            yield self
            return
        for start in range(0, len(self.events), size):
            stop = start + size
            first = self.first if start == 0 else self.positions[start]
            last = stop >= len(self.events)
            end = self.next if last else self.positions[stop]
            yield self._part(start, stop, first, end)


def decode(
    records: Sequence[Record],
    *,
    namespace: str,
    partition: int,
    owner_of: Callable[[str], int],
    not_before: int,
) -> Decoded:
    """Decode `records`; events at positions below `not_before` are left out (they were handled before)."""
    decoded = Decoded(
        max(record_start(records[0].offset), not_before), record_start(records[-1].offset + 1)
    )
    single = ENVELOPE_DECODER.decode
    for record in records:
        value = record.value
        if record.timestamp > decoded.newest_ms:
            decoded.newest_ms = record.timestamp
        try:
            event = single(value)  # type: ignore[arg-type]
        except (msgspec.DecodeError, TypeError, RecursionError, UnicodeDecodeError):
            _decode_slowly(decoded, record, namespace, partition, owner_of, not_before)
        else:
            at = record.offset << 20
            if at >= not_before:
                _take(decoded, record, event, at, namespace, partition, owner_of)
    return decoded


def _decode_slowly(
    decoded: Decoded,
    record: Record,
    namespace: str,
    partition: int,
    owner_of: Callable[[str], int],
    not_before: int,
) -> None:
    """A record that is not one plain event: an array of events, or nothing that can be counted."""
    start = record_start(record.offset)
    try:
        events = decode_record(record.value or b"")
        if len(events) > EVENTS_PER_RECORD_MAX:
            raise Refused(
                "too_many_events", f"a record holds at most {EVENTS_PER_RECORD_MAX} events"
            )
    except Refused as refused:
        if start >= not_before:
            decoded.rejected.append(_rejected(start, record, record.value or b"", refused))
        return
    for index, event in enumerate(events):
        at = position(record.offset, index)
        if at >= not_before:
            _take(decoded, record, event, at, namespace, partition, owner_of)


def _take(
    decoded: Decoded,
    record: Record,
    event: Envelope,
    at: int,
    namespace: str,
    partition: int,
    owner_of: Callable[[str], int],
) -> None:
    """Judge one event and append it to the list that fits."""
    time = event.time
    second = record.timestamp // 1000 if time is None else int(time.timestamp())
    try:
        if not SECOND_MIN <= second <= SECOND_MAX:
            raise Refused(
                "time_out_of_range",
                f"the time of an event lies after 1970-01-01T00:00:00Z and before 2300: {time}",
                "$.time",
            )
        raw = event.data
        data = decode_data(raw) if raw else None
    except Refused as refused:
        decoded.rejected.append(_rejected(at, record, msgspec.json.encode(event), refused))
        return
    if owner_of(event.subject) != partition:
        if time is None:
            event = msgspec.structs.replace(event, time=datetime.fromtimestamp(second, UTC))
        decoded.forwarded.append(ForwardedEvent(at, event.subject, msgspec.json.encode(event)))
        return
    decoded.positions.append(at)
    decoded.events.append(event)
    decoded.seconds.append(second)
    decoded.datas.append(data or _NO_DATA)
    decoded.hashes.append(identity(namespace, event.source, event.id, event.subject))
    decoded.appended_ms.append(record.timestamp)


def _rejected(at: int, record: Record, value: bytes, refused: Refused) -> RejectedEvent:
    return RejectedEvent(at, record.key, value, refused.code, refused.field, str(refused))
