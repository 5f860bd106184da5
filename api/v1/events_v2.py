"""`/api/v2/events`: the list with filters, by cursor. Source: metering §1.7, §11.6."""

from __future__ import annotations

import base64
import re
from typing import Annotated, Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from api.answers import json_answer
from api.calls import calls_of
from api.metering.listing import list_events
from api.parsing import JSON_TEXT, read_query
from api.ports import Customers, EventListing, StoredEvent
from api.routing import Resource
from api.times import parse_time, unix_s
from api.v1.events import event_json, subjects_of
from api.v1.filters import IdFilter, StringFilter, WhenFilter, text_filter, time_filter
from domain.errors import Refused
from domain.metering.filters import AllOf, TextFilter
from domain.metering.windows import utc

_CURSOR = re.compile(r"([^,]+),(\d{1,15})-(\d{1,10})-(\d{1,20})\Z", re.ASCII)
_POSITION_END = 1 << 64
_PARTITION_END = 1 << 32


class EventFilter(msgspec.Struct, kw_only=True, rename="camel"):
    """Every member must hold; unknown members are ignored, null is refused."""

    id: StringFilter | msgspec.UnsetType = msgspec.UNSET
    source: StringFilter | msgspec.UnsetType = msgspec.UNSET
    subject: StringFilter | msgspec.UnsetType = msgspec.UNSET
    type: StringFilter | msgspec.UnsetType = msgspec.UNSET
    customer_id: IdFilter | msgspec.UnsetType = msgspec.UNSET
    time: WhenFilter | msgspec.UnsetType = msgspec.UNSET
    ingested_at: WhenFilter | msgspec.UnsetType = msgspec.UNSET


class ListQuery(msgspec.Struct, kw_only=True, rename="camel"):
    """One page."""

    cursor: str | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=100)] = 100
    client_id: Annotated[str, msgspec.Meta(min_length=1, max_length=36)] | None = None
    filter: Annotated[EventFilter | None, JSON_TEXT] = None


async def list_v2(request: Request) -> Response:
    """A page, newest first; a full one names the next."""
    ports = calls_of(request).ports
    asked = read_query(request, ListQuery)
    found = asked.filter or EventFilter()
    listing = EventListing(
        fields=await _fields(found, ports.customers),
        time=time_filter(found.time, "filter.time", whole_seconds=True) if found.time else None,
        ingested=time_filter(found.ingested_at, "filter.ingestedAt", whole_seconds=False)
        if found.ingested_at
        else None,
        before=None if asked.cursor is None else _read_cursor(asked.cursor),
        limit=asked.limit,
    )
    events = await list_events(ports, listing)
    page: dict[str, Any] = {"items": [event_json(one) for one in events]}
    if len(events) == asked.limit:
        page["nextCursor"] = _cursor_after(events[-1].event)
    return json_answer(page)


async def _fields(found: EventFilter, customers: Customers) -> dict[str, TextFilter]:
    fields: dict[str, TextFilter] = {}
    for name in ("id", "source", "subject", "type"):
        given = getattr(found, name)
        test = text_filter(given, f"filter.{name}") if given else None
        if test is not None:
            fields[name] = test
    if found.customer_id and found.customer_id.in_:
        owned = await subjects_of(customers, found.customer_id.in_)
        fields["subject"] = AllOf((*([fields["subject"]] if "subject" in fields else []), owned))
    return fields


def _cursor_after(event: StoredEvent) -> str:
    """The event's time, then its row id: arrival, partition, position."""
    at = utc(event.time_s).isoformat().replace("+00:00", "Z")
    text = f"{at},{event.ingested_ms}-{event.partition}-{event.position}"
    return base64.b64encode(text.encode()).decode()


def _read_cursor(text: str) -> tuple[int, int, int, int]:
    try:
        found = _CURSOR.match(base64.b64decode(text, validate=True).decode())
        if found is not None:
            second = unix_s(parse_time(found[1]))
            ingested_ms, partition, position = int(found[2]), int(found[3]), int(found[4])
            if partition < _PARTITION_END and position < _POSITION_END:
                return second, ingested_ms, partition, position
    except ValueError:
        pass
    raise Refused("invalid_cursor", "the cursor is not one that a page named", "cursor")


EVENTS_V2 = Resource("/api/v2/events", {"GET": list_v2})
