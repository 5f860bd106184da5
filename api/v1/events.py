"""`/api/v1/events`: taking events in, and the list by page size. Source: metering §1.1, §1.6."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from api.answers import json_answer, no_content
from api.calls import calls_of
from api.metering.ingest import accept
from api.metering.listing import JudgedEvent, list_events
from api.observed import request_id_of
from api.parsing import read_query
from api.ports import Customers, EventListing
from api.routing import Resource
from api.times import Time, of_ms
from api.v1.filters import bound_ms
from domain.errors import NotFound, Refused
from domain.metering.filters import AllOf, TextFilter, TextOp, TextTest, TimeFilter, TimeTest
from domain.metering.windows import utc
from schemas.cloudevents import decode_request

AGE_MAX = timedelta(days=32)

_Ulid = Annotated[str, msgspec.Meta(pattern=r"^[0-7][0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{25}\Z")]


class ListQuery(msgspec.Struct, kw_only=True, rename="camel"):
    """What the list can be narrowed by."""

    client_id: Annotated[str, msgspec.Meta(min_length=1, max_length=36)] | None = None
    ingested_at_from: Time | None = None
    ingested_at_to: Time | None = None
    id: str | None = None
    subject: str | None = None
    customer_id: list[_Ulid] | None = None
    from_: Time | None = msgspec.field(default=None, name="from")
    to: Time | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=100)] = 100


async def ingest(request: Request) -> Response:
    """204 once Kafka has acknowledged every event of the request; nothing of a request with a bad event is taken."""
    calls = calls_of(request)
    async with calls.bodies.read(request) as body:
        events = decode_request(request.headers.get("content-type"), body, calls.ports.now())
        await accept(calls.ports.event_log, events, request_id_of(request.scope))
    return no_content()


async def list_v1(request: Request) -> Response:
    """The newest events of at most 32 days."""
    calls = calls_of(request)
    asked = read_query(request, ListQuery)
    now = calls.ports.now()
    start = asked.from_ or now - AGE_MAX + timedelta(seconds=1)
    _check("from", asked.from_, now, start, asked.to)
    _check(
        "ingestedAtFrom", asked.ingested_at_from, now, asked.ingested_at_from, asked.ingested_at_to
    )
    fields: dict[str, TextFilter] = {}
    if asked.id is not None:
        fields["id"] = TextTest(TextOp.LIKE, f"%{asked.id}%")
    if asked.subject is not None:
        fields["subject"] = TextTest(TextOp.EQ, asked.subject)
    if asked.customer_id is not None:
        owned = await subjects_of(calls.ports.customers, asked.customer_id)
        fields["subject"] = AllOf((*([fields["subject"]] if "subject" in fields else []), owned))
    listing = EventListing(
        fields=fields,
        time=_between(start, asked.to, whole_seconds=True),
        ingested=_between(asked.ingested_at_from, asked.ingested_at_to, whole_seconds=False),
        limit=asked.limit,
    )
    return json_answer([event_json(one) for one in await list_events(calls.ports, listing)])


async def subjects_of(customers: Customers, ids: Sequence[str]) -> TextTest:
    """The filter on the subjects of these customers; Refused when one is unknown."""
    found: list[str] = []
    for customer_id in ids:
        try:
            found += await customers.subjects_of(customer_id)
        except NotFound as error:
            raise Refused("customer_not_found", str(error), "customerId") from None
    return TextTest(TextOp.IN, tuple(found))


def event_json(judged: JudgedEvent) -> dict[str, Any]:
    """An event as it is listed; members without a value are left out."""
    event = judged.event
    shown: dict[str, Any] = {
        "event": {
            "specversion": "1.0",
            "id": event.id,
            "source": event.source,
            "type": event.type,
            "subject": event.subject,
            "time": utc(event.time_s),
        },
        "ingestedAt": of_ms(event.ingested_ms),
        "storedAt": of_ms(event.stored_ms),
    }
    if judged.data is not None:
        shown["event"] |= {"datacontenttype": "application/json", "data": judged.data}
    if judged.customer_id is not None:
        shown["customerId"] = judged.customer_id
    if judged.problems:
        shown["validationError"] = "\n".join(judged.problems)
    return shown


def _check(
    name: str, given: datetime | None, now: datetime, start: datetime | None, end: datetime | None
) -> None:
    if given is not None and given < now - AGE_MAX:
        raise Refused("from_too_old", f"{name} is more than 32 days ago", name)
    if start is not None and end is not None and end < start:
        raise Refused("bounds_reversed", f"{name} is after its end", name)


def _between(
    start: datetime | None, end: datetime | None, *, whole_seconds: bool
) -> TimeFilter | None:
    tests = []
    if start is not None:
        tests.append(TimeTest(TextOp.GTE, bound_ms(start, whole_seconds=whole_seconds)))
    if end is not None:
        tests.append(TimeTest(TextOp.LT, bound_ms(end, whole_seconds=whole_seconds)))
    return AllOf(tuple(tests)) if tests else None


EVENTS = Resource("/api/v1/events", {"POST": ingest, "GET": list_v1})
