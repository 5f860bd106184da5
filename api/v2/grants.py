"""`/api/v2/grants` and `/api/v2/customers/{}/entitlements/{}/grants`: made and listed; voided by `/api/v1/grants/{}`."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from api.answers import json_answer
from api.calls import calls_of
from api.entitlements import management
from api.entitlements.bodies import GrantV2Body, grant_v2
from api.entitlements.paging import PartQuery, page_answer, page_of, part_of
from api.entitlements.paths import entitlement_of_customer
from api.entitlements.shown import grant_v2 as shown
from api.parsing import read_json, read_query
from api.routing import Resource
from api.v1.grants import GrantOrder
from domain.entitlements.finding import GrantFilter, Order


class OfEntitlementQuery(PartQuery, kw_only=True, rename="camel"):
    """`include_deleted` is checked and otherwise ignored, as in the reference: void ones are always there."""

    include_deleted: bool = False
    order_by: GrantOrder | None = None


class ListQuery(PartQuery, kw_only=True, rename="camel"):
    """Which grants of all entitlements; `include_deleted` as above."""

    feature: list[str] | None = None
    customer: list[str] | None = None
    include_deleted: bool = False
    order_by: GrantOrder | None = None


async def create(request: Request) -> Response:
    """For a metered entitlement."""
    calls, place = calls_of(request), entitlement_of_customer(request)
    body = await read_json(request, calls.bodies, GrantV2Body)
    made = await management.grant(calls, place, grant_v2(body))
    return json_answer(shown(made, calls.ports.now()), 201)


async def list_of_entitlement(request: Request) -> Response:
    """A page; by when they take effect unless an order is asked for."""
    calls, query = calls_of(request), read_query(request, OfEntitlementQuery)
    found, total = await calls.ports.entitlements.list_grants(
        GrantFilter(place=entitlement_of_customer(request)),
        page_of(query, Order(query.order_by or Order.EFFECTIVE)),
    )
    now = calls.ports.now()
    return json_answer(page_answer(query, [shown(one, now) for one in found], total))


async def list_all(request: Request) -> Response:
    """A page; where none is asked for, limit and offset count, and its number and size are 0, as in the reference."""
    calls, query = calls_of(request), read_query(request, ListQuery)
    found, total = await calls.ports.entitlements.list_grants(
        GrantFilter(features=query.feature, customers=query.customer),
        part_of(query, Order(query.order_by or Order.EFFECTIVE)),
    )
    now = calls.ports.now()
    answer = page_answer(query, [shown(one, now) for one in found], total)
    if not query.is_paged:
        answer |= {"page": 0, "pageSize": 0}
    return json_answer(answer)


RESOURCES = (
    Resource("/api/v2/grants", {"GET": list_all}),
    Resource(
        "/api/v2/customers/{customer}/entitlements/{entitlement}/grants",
        {"POST": create, "GET": list_of_entitlement},
    ),
)
