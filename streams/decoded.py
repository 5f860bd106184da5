"""From Kafka records to judged events: decode, refuse what is no CloudEvent, set aside what another partition owns.

Pure: the same records give the same result whenever they are read, so that the sink can read them again.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import InvalidOperation
from operator import attrgetter
from typing import Any, Protocol

import msgspec

from domain.errors import Refused
from domain.metering.judge import SECOND_MAX, SECOND_MIN
from schemas.avro_records import SchemaNotKnown
from schemas.avro_schemas import STORED, Schemas
from schemas.binary_mode import Headers, is_binary
from schemas.cloudevents import DATA_DECODER, ENVELOPE_DECODER, Envelope, decode_data
from schemas.event_records import decode_events
from schemas.position import EVENTS_PER_RECORD_MAX, position, record_start
from schemas.state import identities, identity

_decode_event = ENVELOPE_DECODER.decode
_decode_data = DATA_DECODER.decode
_headers_of = attrgetter("headers")
_NO_DATA: dict[str, Any] = {}
_UNREADABLE = (msgspec.DecodeError, TypeError, RecursionError, UnicodeDecodeError)
_SLICE = 1_000
"""Records that are decoded together; one that is not plain sends its slice the slow way."""

FORWARDED_BYTES_MAX = 7 << 20
"""What the events topic takes with room for the batch around it."""

HANDED_OVER_BESIDE_BYTES_MAX = 128 << 10
"""Key and headers of a record that is handed over."""


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
    handed_over: list[HandedOver] = field(default_factory=list)

    def before(self, end: int) -> Decoded:
        """The part below position `end`."""
        if self.next <= end:
            return self
        keep = bisect_left(self.positions, end)
        return self._part(0, keep, self.first, end)

    def forget_data(self) -> None:
        """It is folded: let go of what only the fold reads. Chunks wait for the brokers, and there may be many."""
        self.datas, self.hashes = [], []

    def refused(self, refused: Refused) -> Decoded:
        """The same positions with every event rejected."""
        rejected = [
            RejectedEvent(
                at,
                event.subject.encode(),
                msgspec.json.encode(event),
                refused.code,
                refused.field,
                str(refused),
            )
            for at, event in zip(self.positions, self.events, strict=True)
        ]
        return Decoded(
            self.first,
            self.next,
            self.newest_ms,
            rejected=self.rejected + rejected,
            forwarded=self.forwarded,
            handed_over=self.handed_over,
        )

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
            [h for h in self.handed_over if first <= h.position < end],
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
    schemas: Schemas = STORED,
    hand_over: bool = False,
) -> Decoded:
    """Decode `records`; events at positions below `not_before` are left out (they were handled before).

    `hand_over`: a record in Confluent's framing whose id `schemas` lacks is set aside, not rejected.
    """
    decoded = Decoded(
        max(record_start(records[0].offset), not_before), record_start(records[-1].offset + 1)
    )
    decoded.newest_ms = max([record.timestamp for record in records])
    for start in range(0, len(records), _SLICE):
        part = records[start : start + _SLICE]
        if not _take_plain(decoded, part, namespace, partition, owner_of, not_before):
            for record in part:
                try:
                    _decode_one(
                        decoded, record, namespace, partition, owner_of, not_before, schemas
                    )
                except SchemaNotKnown as unknown:
                    _set_aside(decoded, record, unknown, not_before, hand_over)
    return decoded


def _take_plain(
    decoded: Decoded,
    records: Sequence[Record],
    namespace: str,
    partition: int,
    owner_of: Callable[[str], int],
    not_before: int,
) -> bool:
    """Append the events of `records` column by column, twice as fast as one by one; False when one of them is not plain.

    Plain is: one event a record, a time and data that can be counted, a subject of this partition.
    """
    if records[0].offset << 20 < not_before:
        return False
    if any(map(_headers_of, records)) and any(
        is_binary(record.headers) for record in records if record.headers
    ):
        return False
    try:
        events = [_decode_event(record.value) for record in records]  # type: ignore[arg-type]
        datas = [_decode_data(event.data) if event.data else None for event in events]
    except (*_UNREADABLE, InvalidOperation):
        return False
    appended_ms = [record.timestamp for record in records]
    seconds = [
        at // 1000 if event.time is None else int(event.time.timestamp())
        for event, at in zip(events, appended_ms, strict=True)
    ]
    if min(seconds) < SECOND_MIN or max(seconds) > SECOND_MAX:
        return False
    if any(owner_of(subject) != partition for subject in {event.subject for event in events}):
        return False
    decoded.positions += [record.offset << 20 for record in records]
    decoded.events += events
    decoded.seconds += seconds
    decoded.datas += [data or _NO_DATA for data in datas]
    decoded.hashes += identities(namespace, events)
    decoded.appended_ms += appended_ms
    return True


def _decode_one(
    decoded: Decoded,
    record: Record,
    namespace: str,
    partition: int,
    owner_of: Callable[[str], int],
    not_before: int,
    schemas: Schemas,
) -> None:
    if record.headers and is_binary(record.headers):
        _decode_slowly(decoded, record, namespace, partition, owner_of, not_before, schemas)
        return
    try:
        event = _decode_event(record.value)  # type: ignore[arg-type]
    except _UNREADABLE:
        _decode_slowly(decoded, record, namespace, partition, owner_of, not_before, schemas)
    else:
        at = record_start(record.offset)
        if at >= not_before:
            _take(decoded, record, event, at, namespace, partition, owner_of)


def _decode_slowly(
    decoded: Decoded,
    record: Record,
    namespace: str,
    partition: int,
    owner_of: Callable[[str], int],
    not_before: int,
    schemas: Schemas,
) -> None:
    """A record that is not one plain event: an array, binary mode, Avro, or nothing that can be counted. SchemaNotKnown.

    One bad event refuses the whole record, as it refuses the whole request over HTTP.
    """
    start = record_start(record.offset)
    try:
        events = decode_events(record.value, record.headers, schemas)
        if len(events) > EVENTS_PER_RECORD_MAX:
            raise Refused(
                "too_many_events", f"a record holds at most {EVENTS_PER_RECORD_MAX} events"
            )
        judged = [_judge(record, event, f"$[{i}]") for i, event in enumerate(events)]
    except SchemaNotKnown:
        raise
    except Refused as refused:
        if start >= not_before:
            decoded.rejected.append(_rejected(start, record, refused))
        return
    for index, (event, (second, data)) in enumerate(zip(events, judged, strict=True)):
        at = position(record.offset, index)
        if at >= not_before:
            _place(decoded, record, event, at, second, data, namespace, partition, owner_of)


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
    try:
        second, data = _judge(record, event, "$")
    except Refused as refused:
        decoded.rejected.append(_rejected(at, record, refused))
        return
    _place(decoded, record, event, at, second, data, namespace, partition, owner_of)


def _judge(record: Record, event: Envelope, where: str) -> tuple[int, dict[str, Any]]:
    """The second an event happened in and its data. Refused, the field beginning with `where`."""
    time = event.time
    second = record.timestamp // 1000 if time is None else int(time.timestamp())
    if not SECOND_MIN <= second <= SECOND_MAX:
        raise Refused(
            "time_out_of_range",
            f"the time of an event lies after 1970-01-01T00:00:00Z and before 2300: {time}",
            f"{where}.time",
        )
    raw = event.data
    if not raw:
        return second, _NO_DATA
    try:
        return second, decode_data(raw) or _NO_DATA
    except Refused as refused:
        raise Refused(refused.code, str(refused), f"{where}.data") from None


def _place(
    decoded: Decoded,
    record: Record,
    event: Envelope,
    at: int,
    second: int,
    data: dict[str, Any],
    namespace: str,
    partition: int,
    owner_of: Callable[[str], int],
) -> None:
    """Append a good event to the partition's own, or to those that another partition owns."""
    if owner_of(event.subject) != partition:
        if event.time is None:
            event = msgspec.structs.replace(event, time=datetime.fromtimestamp(second, UTC))
        value = msgspec.json.encode(event)
        if len(value) > FORWARDED_BYTES_MAX:
            refused = Refused(
                "event_too_large",
                f"{len(value)} bytes, in a partition that does not own the subject: {FORWARDED_BYTES_MAX} can be moved",
            )
            decoded.rejected.append(
                RejectedEvent(at, record.key, value, refused.code, None, str(refused))
            )
            return
        decoded.forwarded.append(ForwardedEvent(at, event.subject, value))
        return
    decoded.positions.append(at)
    decoded.events.append(event)
    decoded.seconds.append(second)
    decoded.datas.append(data)
    decoded.hashes.append(identity(namespace, event.source, event.id, event.subject))
    decoded.appended_ms.append(record.timestamp)


def _set_aside(
    decoded: Decoded, record: Record, unknown: SchemaNotKnown, not_before: int, hand_over: bool
) -> None:
    """A record of an unknown schema: handed over, or rejected when nobody else can know or it is too long to be moved."""
    at, value = record_start(record.offset), record.value or b""
    if at < not_before:
        return
    beside = len(record.key or b"") + sum(len(n) + len(v or b"") + 16 for n, v in record.headers)
    if hand_over and len(value) <= FORWARDED_BYTES_MAX and beside <= HANDED_OVER_BESIDE_BYTES_MAX:
        decoded.handed_over.append(HandedOver(at, record.key, value, record.headers, unknown.id))
    else:
        decoded.rejected.append(_rejected(at, record, unknown))


def _rejected(at: int, record: Record, refused: Refused) -> RejectedEvent:
    value = record.value or b""
    return RejectedEvent(
        at, record.key, value, refused.code, refused.field, str(refused), record.headers
    )
