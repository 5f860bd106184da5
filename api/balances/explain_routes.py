"""`…/entitlements/{}/explain`: JSON, or a page for who asks for `text/html`. By subject (v1) and by customer (v2)."""

from __future__ import annotations

from typing import Annotated

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from api.answers import json_answer
from api.balances.calls import balance_calls_of
from api.balances.explain_page import HEADERS, page
from api.balances.explained import place_of, shown
from api.balances.explaining import Asked, explain_balance, refuse_foreign
from api.balances.reading import Source
from api.balances.routes import account_and_owner, one_of_customer, one_of_subject
from api.balances.shown import origin_of
from api.entitlements.paths import entitlement_of_customer, subject_in
from api.parsing import read_query
from api.routing import Resource, path_text
from api.times import Time, in_utc
from domain.entitlements.finding import ByCustomer
from schemas.balances import Question

_Limit = Annotated[int, msgspec.Meta(ge=0, le=1000)]


class ExplainQuery(msgspec.Struct, kw_only=True, rename="camel"):
    """Which part, and how much of it."""

    time: Time | None = None
    from_: Time | None = msgspec.field(default=None, name="from")
    rows: _Limit = 50
    events: _Limit = 100
    cursor: Annotated[str, msgspec.Meta(max_length=100)] | None = None


async def of_subject(request: Request) -> Response:
    """Of the customer whose usage the subject's events are."""
    return await _explain(
        request, one_of_subject(subject_in(request).id_or_key, path_text(request, "entitlement"))
    )


async def of_customer(request: Request) -> Response:
    """Of a customer."""
    place = entitlement_of_customer(request)
    assert isinstance(place.owner, ByCustomer)
    return await _explain(request, one_of_customer(place.owner.id_or_key, place.id_or_feature_key))


async def _explain(request: Request, question: Question) -> Response:
    calls, query = balance_calls_of(request), read_query(request, ExplainQuery)
    asked = Asked(
        at=None if query.time is None else in_utc(query.time),
        start=None if query.from_ is None else in_utc(query.from_),
        rows=query.rows,
        events=query.events,
        after=None if query.cursor is None else place_of(query.cursor),
    )
    account, customer = await account_and_owner(calls, question, asked.at)
    refuse_foreign(account, customer.id)
    found = await explain_balance(calls, account, asked)
    told = shown(found)
    headers = origin_of(Source.RECOMPUTED, found.as_of_ms or 0, calls.wall_ms())
    if prefers_html(request.headers.get("accept", "")):
        text = page(found, told, dict(request.query_params))
        return Response(text, headers={**HEADERS, **headers}, media_type="text/html")
    answer = json_answer(told)
    answer.headers.update(headers)
    return answer


def prefers_html(accept: str) -> bool:
    """Whether `text/html` is asked for, and JSON not before it."""
    ranges = [part.split(";")[0].strip().lower() for part in accept.split(",")]
    if "text/html" not in ranges:
        return False
    return "application/json" not in ranges[: ranges.index("text/html")]


RESOURCES = (
    Resource("/api/v1/subjects/{subject}/entitlements/{entitlement}/explain", {"GET": of_subject}),
    Resource(
        "/api/v2/customers/{customer}/entitlements/{entitlement}/explain", {"GET": of_customer}
    ),
)
