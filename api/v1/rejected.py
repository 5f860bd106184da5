"""`/api/v1/events/rejected`: what was refused on its way through Kafka. Beside the contract: docs/decisions/0110."""

from __future__ import annotations

import base64
import re
from datetime import datetime
from typing import Annotated, Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from api.answers import json_answer
from api.calls import calls_of
from api.parsing import read_query
from api.routing import Resource
from api.times import Time, of_ms, unix_ms
from domain.errors import Refused
from domain.metering.rejected import Place, RejectedListing, RejectedRecord

_CURSOR = re.compile(r"(\d{1,15})-(\d{1,10})-(\d{1,19})\Z", re.ASCII)
_CODES_MAX = 50

_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=249)]


class ListQuery(msgspec.Struct, kw_only=True, rename="camel"):
    """What the list can be narrowed by; the times are those of the refusal."""

    code: Annotated[list[_Name], msgspec.Meta(max_length=_CODES_MAX)] | None = None
    from_: Time | None = msgspec.field(default=None, name="from")
    to: Time | None = None
    topic: _Name | None = None
    partition: Annotated[int, msgspec.Meta(ge=0, lt=1 << 31)] | None = None
    cursor: str | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=100)] = 100


async def list_rejected(request: Request) -> Response:
    """A page, newest first. One without `nextCursor` is the last; a shorter one, even an empty one, need not be."""
    ports = calls_of(request).ports
    asked = read_query(request, ListQuery)
    if asked.from_ is not None and asked.to is not None and asked.to < asked.from_:
        raise Refused("bounds_reversed", "from is after to", "from")
    page = await ports.rejected.list_rejected(
        RejectedListing(
            codes=tuple(asked.code or ()),
            since_ms=None if asked.from_ is None else unix_ms(asked.from_),
            until_ms=None if asked.to is None else unix_ms(asked.to),
            topic=asked.topic,
            partition=asked.partition,
            before=None if asked.cursor is None else _read_cursor(asked.cursor),
            limit=asked.limit,
        )
    )
    ids = [record.id for record in page.records]
    redriven = await ports.redrives.done_at(ids) if ids else {}
    answer: dict[str, Any] = {
        "items": [rejected_json(record, redriven.get(record.id)) for record in page.records]
    }
    if page.next is not None:
        answer["nextCursor"] = _write_cursor(page.next)
    return json_answer(answer)


def rejected_json(record: RejectedRecord, redriven_at: datetime | None) -> dict[str, Any]:
    """A refused record as it is listed; members without a value are left out."""
    shown: dict[str, Any] = {
        "id": record.id,
        "code": record.code,
        "field": record.field,
        "message": record.message,
        "rejectedAt": of_ms(record.rejected_ms),
        "redrivenAt": redriven_at,
        "origin": None
        if record.origin is None
        else {**_place(record.origin), "index": record.index},
        "stored": _place(record.stored),
        **_content("key", record.key),
        **_content("value", record.value, is_part=record.cut),
        "valueBytes": record.value_bytes,
    }
    return {name: value for name, value in shown.items() if value is not None}


def _content(name: str, content: bytes | None, *, is_part: bool = False) -> dict[str, str]:
    """Text as text, anything else in base64; a part may end inside a character."""
    if content is None:
        return {}
    try:
        return {name: content.decode()}
    except UnicodeDecodeError as error:
        if is_part and error.reason == "unexpected end of data":
            return {name: content[: error.start].decode()}
        return {f"{name}Base64": base64.b64encode(content).decode()}


def _place(place: Place) -> dict[str, Any]:
    return {"topic": place.topic, "partition": place.partition, "offset": place.offset}


def _write_cursor(before: tuple[int, int, int]) -> str:
    return base64.b64encode("-".join(map(str, before)).encode()).decode()


def _read_cursor(text: str) -> tuple[int, int, int]:
    try:
        found = _CURSOR.match(base64.b64decode(text, validate=True).decode())
    except ValueError:
        found = None
    if found is None:
        raise Refused("invalid_cursor", "the cursor is not one that a page named", "cursor")
    return int(found[1]), int(found[2]), int(found[3])


REJECTED = Resource("/api/v1/events/rejected", {"GET": list_rejected})
