"""CloudEvents 1.0: structured JSON and JSON batch, as they come over HTTP and stand in Kafka records.

Source: CloudEvents 1.0.2 and its JSON format; metering §1.1 for what is refused. Over HTTP the whole request is refused
for one bad event. Times out of range pass here and are rejected by the stream, with a code (docs/decisions/0002).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Literal
from urllib.parse import quote

import msgspec

from domain.errors import Refused

SINGLE = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
JSON = "application/json"
Specversion = Literal["1.0", "0.3"]
_SPECVERSIONS: Mapping[str, Specversion] = {"1.0": "1.0", "0.3": "0.3"}
ATTRIBUTE_LENGTH_MAX = 64 * 1024

_Text = Annotated[str, msgspec.Meta(min_length=1, max_length=ATTRIBUTE_LENGTH_MAX)]
_Time = Annotated[datetime, msgspec.Meta(tz=True)]
_RAW_NONE = msgspec.Raw(b"")
_RAW_NULL = msgspec.Raw(b"null")
_URI_SPACE = "!#$%&'()*+,/:;=?@[]~-._"
_RFC3339 = re.compile(rb'"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d((?:\.\d+)?)(?:Z|[+-]\d\d:\d\d)"\Z')
_MICROSECONDS_END = len('"2024-02-29T23:59:59.999999')
_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


class Envelope(msgspec.Struct, omit_defaults=True, gc=False):
    """An event on the wire; `data` keeps its JSON text. Extension attributes are dropped."""

    id: _Text
    source: _Text
    type: _Text
    subject: _Text
    specversion: Specversion  # a pattern would take longer than all the rest
    time: _Time | None = None
    data: msgspec.Raw = _RAW_NONE


ENVELOPE_DECODER = msgspec.json.Decoder(Envelope)
_envelopes = msgspec.json.Decoder(list[Envelope]).decode
_raw_one = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_raw_many = msgspec.json.Decoder(list[dict[str, msgspec.Raw]]).decode
_encode = msgspec.json.Encoder().encode
_decode_object = msgspec.json.Decoder(dict[str, Any]).decode
DATA_DECODER = msgspec.json.Decoder(dict[str, Any] | None, float_hook=Decimal)
"""Reads nearly all data; `decode_data` reads the rest, too."""
_NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def decode_record(value: bytes) -> list[Envelope]:
    """The events of a Kafka record: one object or an array. Refused for what is no CloudEvent."""
    if not value:
        raise Refused("empty_record", "a record without a value")
    try:
        return _envelopes(value) if value.lstrip()[:1] == b"[" else [ENVELOPE_DECODER.decode(value)]
    except msgspec.ValidationError as error:
        raise Refused("not_a_cloudevent", str(error), _field_of(error)) from None
    except _NOT_JSON as error:
        raise Refused("invalid_json", f"not JSON: {error}") from None


def envelope_of(attributes: Mapping[str, object], data: msgspec.Raw) -> Envelope:
    """The event that has these attributes, under the same rules as one in JSON. Refused for what is no CloudEvent."""
    try:
        event = msgspec.convert(attributes, Envelope)
    except msgspec.ValidationError as error:
        raise Refused("not_a_cloudevent", str(error), _field_of(error)) from None
    if data:  # an empty Raw that is not the default would be written out, as nothing
        event.data = data
    return event


def decode_data(data: msgspec.Raw) -> dict[str, Any] | None:
    """The data of an event of a Kafka record, with decimals. Refused for what is neither an object nor null."""
    try:
        found: dict[str, Any] | None = DATA_DECODER.decode(data)
        return found
    except InvalidOperation:
        return _decode_data_of_any_exponent(data)
    except _NOT_JSON as error:
        raise _not_an_object(error, "$") from None


def _decode_data_of_any_exponent(data: msgspec.Raw) -> dict[str, Any] | None:
    decoder = msgspec.json.Decoder(dict[str, Any] | None, float_hook=_decimal)
    try:
        found: dict[str, Any] | None = decoder.decode(data)
        return found
    except _NOT_JSON as error:
        raise _not_an_object(error, "$") from None


def _decimal(text: str) -> Decimal:
    """A number whose exponent no Decimal holds is what a double makes of it: zero or infinity, which is no number."""
    try:
        return Decimal(text)
    except InvalidOperation:
        return Decimal(float(text))


def _not_an_object(error: Exception, where: str) -> Refused:
    return Refused("data_not_object", f"data is a JSON object or null: {error}", f"{where}.data")


def decode_request(content_type: str | None, body: bytes, received_at: datetime) -> list[Envelope]:
    """The events of a request, checked; a missing time becomes `received_at`. Refused with the event's index in `field`."""
    if content_type in (BATCH, JSON) and (plain := _plain_batch(body, received_at)):
        return plain
    return decode_carefully(content_type, body, received_at)


def decode_carefully(
    content_type: str | None, body: bytes, received_at: datetime
) -> list[Envelope]:
    """What `decode_request` says, one attribute at a time: for all that is refused, and for what `_plain_batch` leaves."""
    events = _split(content_type, body)
    many = len(events) > 1
    return [
        _checked(event, f"$[{i}]" if many else "$", received_at) for i, event in enumerate(events)
    ]


# -- batches in which nothing is refused: the same rules, checked while msgspec reads


class _Plain(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """An event that is most likely right; extension attributes are left to `_checked`, which looks at them."""

    id: _Text
    source: _Text
    type: _Text
    subject: _Text
    specversion: Specversion
    time: msgspec.Raw = _RAW_NONE
    data: msgspec.Raw = _RAW_NONE
    datacontenttype: Literal["application/json"] | None = None
    dataschema: Annotated[str, msgspec.Meta(min_length=1)] | None = None


_plain_events = msgspec.json.Decoder(list[_Plain]).decode
_PlainValue = bool | int | float | str | list[Any] | dict[str, Any]
_check_object = msgspec.json.Decoder(dict[str, _PlainValue]).decode


def _plain_batch(body: bytes, received_at: datetime) -> list[Envelope] | None:
    """What `_checked` makes of every event; None when it would refuse one, or when that is not certain.

    Which refusal comes first is left to `decode_carefully`, so that a request is refused for the same reason as ever.
    """
    try:
        return [_enveloped(event, received_at) for event in _plain_events(body)]
    except (Refused, *_NOT_JSON):
        return None


def _enveloped(event: _Plain, received_at: datetime) -> Envelope:
    data, source = event.data, event.source
    if data and data != _RAW_NULL:
        _check_object(data)
    if "%" in source or " " in source or not source.isascii():
        source = _uri(source, "")
    return Envelope(
        event.id,
        source,
        event.type,
        event.subject,
        event.specversion,
        (_time(event.time, "") if event.time else None) or received_at,
        data,
    )


def _split(content_type: str | None, body: bytes) -> list[dict[str, msgspec.Raw]]:
    if content_type not in (SINGLE, BATCH, JSON):
        raise Refused(
            "invalid_content_type",
            f"invalid content type: {content_type or 'none'}; send {SINGLE}, {BATCH} or {JSON}",
        )
    try:
        if content_type == SINGLE:
            return [_raw_one(body)]
        if content_type == BATCH:
            return _raw_many(body)
        found = [_raw_one(body)] if body.lstrip()[:1] == b"{" else _raw_many(body)
    except msgspec.ValidationError as error:
        raise Refused("not_a_cloudevent", str(error)) from None
    except _NOT_JSON as error:
        raise Refused("invalid_json", f"not JSON: {error}") from None
    if not found:
        raise Refused("no_events", "no events found")
    return found


_TEXTS = ("id", "source", "type", "subject", "specversion")
_decode_text = msgspec.json.Decoder(str).decode
_decode_time = msgspec.json.Decoder(_Time | None).decode
_decode_text_or_null = msgspec.json.Decoder(str | None).decode
_NEITHER = object()
_KNOWN = frozenset((*_TEXTS, "time", "datacontenttype", "dataschema", "data"))


def _checked(raw: dict[str, msgspec.Raw], where: str, received_at: datetime) -> Envelope:
    texts = {}
    for name in _TEXTS:
        texts[name] = _text(raw.get(name), f"{where}.{name}")
    specversion = _SPECVERSIONS.get(texts["specversion"])
    if specversion is None:
        raise Refused(
            "specversion_unknown",
            f"specversion {texts['specversion']!r}: 1.0 is understood",
            f"{where}.specversion",
        )
    return Envelope(
        id=texts["id"],
        source=_uri(texts["source"], f"{where}.source"),
        type=texts["type"],
        subject=texts["subject"],
        specversion=specversion,
        time=_time(raw.get("time"), f"{where}.time") or received_at,
        data=_data(raw, where),
    )


def _text(raw: msgspec.Raw | None, field: str) -> str:
    if raw is None:
        raise Refused("missing_field", f"{field[2:]} is missing", field)
    try:
        text = _decode_text(raw)
    except _NOT_JSON:
        raise Refused("wrong_type", f"{field[2:]} is a non-empty text", field) from None
    if not text:
        raise Refused("empty_field", f"{field[2:]} is empty", field)
    return _not_too_long(text, field)


def _not_too_long(text: str, field: str) -> str:
    if len(text) > ATTRIBUTE_LENGTH_MAX:
        raise Refused(
            "field_too_long", f"{field[2:]} has more than {ATTRIBUTE_LENGTH_MAX} characters", field
        )
    return text


def _uri(source: str, field: str) -> str:
    if _BROKEN_ESCAPE.search(source):
        raise Refused("source_invalid", f"source is a URI reference: {source[:200]!r}", field)
    if source.isascii() and " " not in source:
        return source
    return _not_too_long(quote(source, safe=_URI_SPACE), field)


def _time(raw: msgspec.Raw | None, field: str) -> datetime | None:
    if raw is None or bytes(raw) == b"null":
        return None
    text = bytes(raw)
    written = _RFC3339.match(text)
    try:
        if written is not None:
            cut = text if written.end(1) <= _MICROSECONDS_END else _cut_fraction(text, written)
            found: datetime | None = _decode_time(cut)
            return found
    except msgspec.DecodeError:
        pass
    raise Refused(
        "time_invalid",
        f"time is an RFC 3339 date-time with a zone: {text.decode(errors='replace')[:80]}",
        field,
    )


def _cut_fraction(text: bytes, written: re.Match[bytes]) -> bytes:
    """The time without what microseconds cannot hold: msgspec would round it, into the next second at times."""
    return text[:_MICROSECONDS_END] + text[written.end(1) :]


def _data(raw: dict[str, msgspec.Raw], where: str) -> msgspec.Raw:
    for name in raw.keys() - _KNOWN:
        if bytes(raw[name])[:1] in (b"{", b"["):
            raise Refused(
                "extension_invalid",
                f"extension attribute {name!r} is a text, number or boolean",
                f"{where}.{name}",
            )
    content_type = raw.get("datacontenttype")
    if content_type is not None and _text_or_null(content_type) not in (None, JSON):
        raise Refused(
            "datacontenttype_unknown",
            f"datacontenttype is {JSON} or null",
            f"{where}.datacontenttype",
        )
    schema = raw.get("dataschema")
    if schema is not None and _text_or_null(schema) in (_NEITHER, ""):
        raise Refused("wrong_type", "dataschema is a URI or null", f"{where}.dataschema")
    data = raw.get("data")
    if data is None:
        return _RAW_NONE
    if bytes(data) == b"null":
        return data
    try:
        found = _decode_object(data)
    except _NOT_JSON as error:
        raise _not_an_object(error, where) from None
    for name, value in found.items():
        if value is None:
            raise Refused(
                "data_null_property", f"data.{name} is null: leave it out", f"{where}.data.{name}"
            )
    return data


def _text_or_null(raw: msgspec.Raw) -> object:
    try:
        return _decode_text_or_null(raw)
    except _NOT_JSON:
        return _NEITHER


def _field_of(error: msgspec.ValidationError) -> str | None:
    match = re.search(r"at `(\$[^`]*)`", str(error))
    return match[1] if match else None


def encode_event(event: Envelope) -> bytes:
    """One event as a Kafka record's value."""
    return _encode(event)


def encode_records(
    events: Iterable[tuple[int, Envelope]], *, record_bytes_max: int
) -> list[tuple[int, bytes, bytes]]:
    """(partition, key, value) records for events given with their partition: an array for each partition, cut at the bound."""
    open_: dict[int, list[bytes]] = {}
    sizes: dict[int, int] = {}
    keys: dict[int, bytes] = {}
    records: list[tuple[int, bytes, bytes]] = []
    for partition, event in events:
        text = _encode(event)
        if len(text) + 2 > record_bytes_max:
            raise Refused(
                "event_too_large",
                f"event {event.id[:100]!r} has {len(text)} bytes, {record_bytes_max - 2} are allowed",
            )
        found = open_.setdefault(partition, [])
        if found and sizes[partition] + len(text) + 1 > record_bytes_max:
            records.append((partition, keys[partition], _joined(found)))
            found = open_[partition] = []
        if not found:
            keys[partition], sizes[partition] = event.subject.encode(), 2
        found.append(text)
        sizes[partition] += len(text) + 1
    records += [(partition, keys[partition], _joined(found)) for partition, found in open_.items()]
    return records


def _joined(texts: Sequence[bytes]) -> bytes:
    return texts[0] if len(texts) == 1 else b"[" + b",".join(texts) + b"]"
