"""Would a refused record be taken now? Decided by the same code that refuses records in a worker. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from domain.errors import Refused
from domain.metering.rejected import RejectedRecord
from schemas.avro_schemas import STORED, Schemas
from schemas.binary_mode import PREFIX, Headers, is_binary
from streams.decoded import ForwardedEvent
from streams.decoding import decode

SETTABLE = ("source", "specversion", "subject", "time", "type")
"""Attributes that can be set on the way; not the id, by which an event counts once."""

_NOBODY = -1
"""No partition: every event that is taken is for another one, comes out on its own and with its time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A refused record with the best copy of it there is. `appended_ms` is the time of an event without one."""

    refused: RejectedRecord
    key: bytes | None
    value: bytes
    cut: bool
    appended_ms: int
    headers: Headers


@dataclass(frozen=True, slots=True)
class _Record:
    """What `decode` reads of a Kafka record."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes
    headers: Headers


def judge(
    candidate: Candidate,
    changes: Mapping[str, str],
    *,
    namespace: str,
    owner_of: Callable[[str], int],
    schemas: Schemas = STORED,
) -> Sequence[ForwardedEvent]:
    """The events of the record, with `changes` made to their attributes. Refused with today's reason."""
    if candidate.cut:
        raise Refused("value_cut", "only the beginning of the record was kept")
    value, headers = with_changes(candidate.value, candidate.headers, changes)
    record = _Record(0, candidate.appended_ms, candidate.key, value, headers)
    decoded = decode(
        [record],
        namespace=namespace,
        partition=_NOBODY,
        owner_of=owner_of,
        not_before=0,
        schemas=schemas,
    )
    for refused in decoded.rejected:
        raise Refused(refused.code, refused.message, refused.field)
    if not decoded.forwarded:
        raise Refused("no_events", "no event can be made of the record")
    return decoded.forwarded


def with_changes(
    value: bytes, headers: Headers, changes: Mapping[str, str]
) -> tuple[bytes, Headers]:
    """Attributes are headers in binary mode, else members of the value."""
    if not changes:
        return value, headers
    if is_binary(headers):
        made = {f"{PREFIX}{name}": text.encode() for name, text in changes.items()}
        return value, [*(h for h in headers if h[0] not in made), *made.items()]
    return _with_members(value, changes), headers


def _with_members(value: bytes, changes: Mapping[str, str]) -> bytes:
    """`value` with members set; what is no JSON object or array of objects stays as it is."""
    members = {name: msgspec.Raw(msgspec.json.encode(text)) for name, text in changes.items()}
    try:
        if value.lstrip()[:1] == b"[":
            events = msgspec.json.decode(value, type=list[dict[str, msgspec.Raw]])
            return msgspec.json.encode([event | members for event in events])
        event = msgspec.json.decode(value, type=dict[str, msgspec.Raw])
        return msgspec.json.encode(event | members)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return value
