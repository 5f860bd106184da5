"""A record of the rejected topic: the refused value under its own key, the reason and the origin as headers.

Written by connectors/kafka/chunk_log.py. Anybody can write to a topic: what is missing or unreadable here is left empty.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b

import msgspec

from domain.metering.rejected import Place, RejectedRecord
from schemas.binary_mode import Headers

OWN_HEADERS = frozenset(
    ("code", "field", "message", "topic", "partition", "offset", "index", "cut_from")
)
"""What we add; all other headers are the producer's."""

UNKNOWN_CODE = "unknown"
REDRIVEN_FROM = "redriven_from"
"""Header of an event that was sent again: topic/partition/offset/index of what was refused."""


def decode_rejected(
    stored: Place,
    at_ms: int,
    key: bytes | None,
    value: bytes | None,
    headers: Headers,
    *,
    value_bytes_max: int | None = None,
) -> RejectedRecord:
    """The record, with at most `value_bytes_max` bytes of its value."""
    told = {name: text or b"" for name, text in reversed(headers)}  # ours stand first
    value = value or b""
    origin, index = _origin(told)
    length = max(len(value), _number(told, "cut_from") or 0)
    return RejectedRecord(
        id=_id(origin or stored, index, value),
        code=_text(told, "code") or UNKNOWN_CODE,
        field=_text(told, "field") or None,
        message=_text(told, "message"),
        rejected_ms=at_ms,
        origin=origin,
        index=index,
        stored=stored,
        key=key,
        value=value if value_bytes_max is None else value[:value_bytes_max],
        value_bytes=length,
    )


def producers_headers(headers: Headers) -> list[tuple[str, bytes | None]]:
    """The headers that were there before the record was refused."""
    return [(name, text) for name, text in headers if name not in OWN_HEADERS]


def redriven_from(record: RejectedRecord) -> bytes:
    """The value of the header REDRIVEN_FROM."""
    at = record.origin or record.stored
    return f"{at.topic}/{at.partition}/{at.offset}/{record.index}".encode()


def _id(at: Place, index: int, value: bytes) -> str:
    """Origin and contents: an offset alone means another record after a topic was made anew."""
    told = msgspec.msgpack.encode([at.topic, at.partition, at.offset, index, value])
    return blake2b(told, digest_size=16).hexdigest()


def _origin(told: Mapping[str, bytes]) -> tuple[Place | None, int]:
    topic, partition, offset = (
        _text(told, "topic"),
        _number(told, "partition"),
        _number(told, "offset"),
    )
    if not topic or partition is None or offset is None:
        return None, 0
    return Place(topic=topic, partition=partition, offset=offset), _number(told, "index") or 0


def _text(told: Mapping[str, bytes], name: str) -> str:
    return told.get(name, b"").decode(errors="replace")


def _number(told: Mapping[str, bytes], name: str) -> int | None:
    """A whole number of at most 19 digits."""
    text = told.get(name, b"")
    return int(text) if text.isdigit() and len(text) <= 19 else None
