"""From Kafka records to judged events: decode, refuse what is no CloudEvent, set aside what another partition owns.

Pure: the same records give the same result whenever they are read, so that the sink can read them again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import InvalidOperation
from operator import attrgetter
from typing import Any

import msgspec

from domain.errors import Refused
from domain.metering.judge import SECOND_MAX, SECOND_MIN
from domain.metering.reading import Reads
from schemas.avro_records import SchemaNotKnown
from schemas.avro_schemas import STORED, Schemas
from schemas.binary_mode import is_binary
from schemas.cloudevents import DATA_DECODER, ENVELOPE_DECODER, Envelope, decode_data
from schemas.event_records import decode_events
from schemas.position import EVENTS_PER_RECORD_MAX, position, record_start
from schemas.state import identities, identity
from streams.decoded import Decoded, ForwardedEvent, HandedOver, Record, RejectedEvent

_decode_event = ENVELOPE_DECODER.decode
_decode_data = DATA_DECODER.decode
_headers_of = attrgetter("headers")
_timestamp = datetime.timestamp
_NO_DATA: dict[str, Any] = {}
_UNREADABLE = (msgspec.DecodeError, TypeError, RecursionError, UnicodeDecodeError)
_SLICE = 1_000
"""Records that are decoded together; one that is not plain sends its slice the slow way."""
NOTHING_READ = Reads({})

FORWARDED_BYTES_MAX = 7 << 20
"""What the events topic takes with room for the batch around it."""

HANDED_OVER_BESIDE_BYTES_MAX = 128 << 10
"""Key and headers of a record that is handed over."""


def decode(
    records: Sequence[Record],
    *,
    namespace: str,
    partition: int,
    owner_of: Callable[[str], int],
    not_before: int,
    reads: Reads = NOTHING_READ,
    schemas: Schemas = STORED,
    hand_over: bool = False,
) -> Decoded:
    """Decode `records`; events at positions below `not_before` are left out (they were handled before).

    `hand_over`: a record in Confluent's framing whose id `schemas` lacks is set aside, not rejected.
    """
    first = max(record_start(records[0].offset), not_before)
    newest_ms = max([record.timestamp for record in records])
    decoded = Decoded(first, record_start(records[-1].offset + 1), newest_ms, columns=reads.empty())
    decoding = _Decoding(namespace, partition, owner_of, not_before, reads, schemas, hand_over)
    for start in range(0, len(records), _SLICE):
        part = records[start : start + _SLICE]
        if not decoding.take_plain(decoded, part):
            for record in part:
                decoding.take(decoded, record)
    return decoded


@dataclass(frozen=True, slots=True)
class _Decoding:
    """How records are decoded."""

    namespace: str
    partition: int
    owner_of: Callable[[str], int]
    not_before: int
    reads: Reads
    schemas: Schemas
    hand_over: bool

    def take_plain(self, decoded: Decoded, records: Sequence[Record]) -> bool:
        """Append the events of `records` column by column, twice as fast as one by one; False when one of them is not plain.

        Plain is: one event a record, a time and data that can be counted, a subject of this partition.
        """
        if records[0].offset << 20 < self.not_before:
            return False
        if any(map(_headers_of, records)) and any(
            is_binary(record.headers) for record in records if record.headers
        ):
            return False
        try:
            events = [_decode_event(record.value) for record in records]  # type: ignore[arg-type]
            datas = [(_decode_data(e.data) if e.data else None) or _NO_DATA for e in events]
        except (*_UNREADABLE, InvalidOperation):
            return False
        appended_ms = [record.timestamp for record in records]
        seconds = _seconds(events, appended_ms)
        if min(seconds) < SECOND_MIN or max(seconds) > SECOND_MAX:
            return False
        subjects = [event.subject for event in events]
        if set(map(self.owner_of, set(subjects))) != {self.partition}:
            return False
        ids = [event.id for event in events]
        sources = [event.source for event in events]
        types = [event.type for event in events]
        decoded.positions += [record.offset << 20 for record in records]
        decoded.ids += ids
        decoded.sources += sources
        decoded.types += types
        decoded.subjects += subjects
        decoded.seconds += seconds
        decoded.texts += [bytes(event.data) for event in events]
        decoded.hashes += identities(self.namespace, sources, ids, subjects)
        decoded.appended_ms += appended_ms
        self.reads.extend(decoded.columns, types, datas)
        return True

    def take(self, decoded: Decoded, record: Record) -> None:
        """Append the events of one record, whatever it holds."""
        try:
            self._take_one(decoded, record)
        except SchemaNotKnown as unknown:
            self._set_aside(decoded, record, unknown)

    def _take_one(self, decoded: Decoded, record: Record) -> None:
        if record.headers and is_binary(record.headers):
            self._take_slowly(decoded, record)
            return
        try:
            event = _decode_event(record.value)  # type: ignore[arg-type]
        except _UNREADABLE:
            self._take_slowly(decoded, record)
            return
        at = record_start(record.offset)
        if at < self.not_before:
            return
        try:
            second, data = _judge(record, event, "$")
        except Refused as refused:
            decoded.rejected.append(_rejected(at, record, refused))
        else:
            self._place(decoded, record, event, at, second, data)

    def _take_slowly(self, decoded: Decoded, record: Record) -> None:
        """A record that is not one plain event: an array, binary mode, Avro, or nothing that can be counted. SchemaNotKnown.

        One bad event refuses the whole record, as it refuses the whole request over HTTP.
        """
        start = record_start(record.offset)
        try:
            events = decode_events(record.value, record.headers, self.schemas)
            if len(events) > EVENTS_PER_RECORD_MAX:
                raise Refused(
                    "too_many_events", f"a record holds at most {EVENTS_PER_RECORD_MAX} events"
                )
            judged = [_judge(record, event, f"$[{i}]") for i, event in enumerate(events)]
        except SchemaNotKnown:
            raise
        except Refused as refused:
            if start >= self.not_before:
                decoded.rejected.append(_rejected(start, record, refused))
            return
        for index, (event, (second, data)) in enumerate(zip(events, judged, strict=True)):
            at = position(record.offset, index)
            if at >= self.not_before:
                self._place(decoded, record, event, at, second, data)

    def _place(
        self,
        decoded: Decoded,
        record: Record,
        event: Envelope,
        at: int,
        second: int,
        data: dict[str, Any],
    ) -> None:
        """Append a good event to the partition's own, or to those that another partition owns."""
        if self.owner_of(event.subject) != self.partition:
            _forward(decoded, record, event, at, second)
            return
        decoded.positions.append(at)
        decoded.ids.append(event.id)
        decoded.sources.append(event.source)
        decoded.types.append(event.type)
        decoded.subjects.append(event.subject)
        decoded.seconds.append(second)
        decoded.texts.append(bytes(event.data))
        decoded.hashes.append(identity(self.namespace, event.source, event.id, event.subject))
        decoded.appended_ms.append(record.timestamp)
        self.reads.extend(decoded.columns, (event.type,), (data,))

    def _set_aside(self, decoded: Decoded, record: Record, unknown: SchemaNotKnown) -> None:
        """A record of an unknown schema: handed over, or rejected when nobody else can know or it is too long to be moved."""
        at, value = record_start(record.offset), record.value or b""
        if at < self.not_before:
            return
        beside = len(record.key or b"")
        beside += sum(len(n) + len(v or b"") + 16 for n, v in record.headers)
        short = len(value) <= FORWARDED_BYTES_MAX and beside <= HANDED_OVER_BESIDE_BYTES_MAX
        if self.hand_over and short:
            handed_over = HandedOver(at, record.key, value, record.headers, unknown.id)
            decoded.handed_over.append(handed_over)
        else:
            decoded.rejected.append(_rejected(at, record, unknown))


def _seconds(events: Sequence[Envelope], appended_ms: Sequence[int]) -> list[int]:
    """The second each event happened in: that of its arrival when it has no time."""
    times = [event.time for event in events]
    if None not in times:
        return list(map(int, map(_timestamp, times)))  # type: ignore[arg-type]
    return [
        at // 1000 if time is None else int(time.timestamp())
        for time, at in zip(times, appended_ms, strict=True)
    ]


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


def _forward(decoded: Decoded, record: Record, event: Envelope, at: int, second: int) -> None:
    if event.time is None:
        event = msgspec.structs.replace(event, time=datetime.fromtimestamp(second, UTC))
    value = msgspec.json.encode(event)
    if len(value) <= FORWARDED_BYTES_MAX:
        decoded.forwarded.append(ForwardedEvent(at, event.subject, value))
        return
    refused = Refused(
        "event_too_large",
        f"{len(value)} bytes, in a partition that does not own the subject: {FORWARDED_BYTES_MAX} can be moved",
    )
    decoded.rejected.append(RejectedEvent(at, record.key, value, refused.code, None, str(refused)))


def _rejected(at: int, record: Record, refused: Refused) -> RejectedEvent:
    value = record.value or b""
    return RejectedEvent(
        at, record.key, value, refused.code, refused.field, str(refused), record.headers
    )
