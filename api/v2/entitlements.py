"""`/api/v2/entitlements` and `/api/v2/customers/{}/entitlements`: made, read, listed, replaced, reset, deleted."""

from __future__ import annotations

from typing import Annotated

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from api.answers import json_answer, no_content
from api.calls import calls_of
from api.entitlements import management
from api.entitlements.bodies import (
    ENTITLEMENT_V2,
    ResetBody,
    entitlement_v2,
    feature_of,
    reset_of,
)
from api.entitlements.paging import PartQuery, page_answer, page_of
from api.entitlements.paths import customer_in, entitlement_by_id, entitlement_of_customer
from api.entitlements.shown import entitlement_v2 as shown
from api.parsing import read_json, read_query
from api.routing import Resource
from domain.entitlements.finding import EntitlementFilter, Order, Place
from domain.entitlements.managed import Kind

_Order = Annotated[str, msgspec.Meta(pattern=r"^(createdAt|updatedAt)\Z")]


class ListQuery(PartQuery, kw_only=True, rename="camel"):
    """Which entitlements of all customers; always a page."""

    feature: list[str] | None = None
    customer_keys: list[str] | None = None
    customer_ids: list[str] | None = None
    entitlement_type: list[Kind] | None = None
    exclude_inactive: bool = False
    order_by: _Order | None = None


class OfCustomerQuery(PartQuery, kw_only=True, rename="camel"):
    """Which of the active ones; `include_deleted` is checked and otherwise ignored, as in the reference."""

    include_deleted: bool = False
    order_by: _Order | None = None


async def create(request: Request) -> Response:
    """For a customer."""
    calls, owner = calls_of(request), customer_in(request)
    body = await read_json(request, calls.bodies, ENTITLEMENT_V2)
    made = await management.create(calls, owner, feature_of(body), entitlement_v2(body))
    return json_answer(shown(*made, calls.ports.now()), 201)


async def list_of_customer(request: Request) -> Response:
    """Those that are active now, the oldest first."""
    query = read_query(request, OfCustomerQuery)
    wanted = EntitlementFilter(owner=customer_in(request), only_active=True)
    return await _page(request, wanted, query, query.order_by)


async def list_all(request: Request) -> Response:
    """Ended ones, too, unless they are excluded."""
    query = read_query(request, ListQuery)
    wanted = EntitlementFilter(
        features=query.feature,
        customer_keys=query.customer_keys,
        customer_ids=query.customer_ids,
        kinds=query.entitlement_type,
        only_active=query.exclude_inactive,
    )
    return await _page(request, wanted, query, query.order_by)


async def read(request: Request) -> Response:
    """By id."""
    return await _read(request, entitlement_by_id(request))


async def read_of_customer(request: Request) -> Response:
    """By id, whoever has it, or by the feature key of the customer's active one."""
    return await _read(request, entitlement_of_customer(request))


async def delete(request: Request) -> Response:
    """Its grants go with it."""
    await management.delete(calls_of(request), entitlement_of_customer(request))
    return no_content()


async def override(request: Request) -> Response:
    """The new one begins when the old one ends: now."""
    calls, place = calls_of(request), entitlement_of_customer(request)
    body = await read_json(request, calls.bodies, ENTITLEMENT_V2)
    made = await management.override(calls, place, feature_of(body), entitlement_v2(body))
    return json_answer(shown(*made, calls.ports.now()), 201)


async def reset(request: Request) -> Response:
    """A new usage period begins."""
    calls, place = calls_of(request), entitlement_of_customer(request)
    body = await read_json(request, calls.bodies, ResetBody)
    await management.reset(calls, place, reset_of(body))
    return no_content()


async def _read(request: Request, place: Place) -> Response:
    calls = calls_of(request)
    found = await calls.ports.entitlements.find(place)
    return json_answer(shown(*found, calls.ports.now()))


async def _page(
    request: Request, wanted: EntitlementFilter, query: PartQuery, order_by: str | None
) -> Response:
    calls = calls_of(request)
    part = page_of(query, Order(order_by or Order.CREATED))
    found, total = await calls.ports.entitlements.list_entitlements(wanted, part)
    now = calls.ports.now()
    return json_answer(page_answer(query, [shown(*one, now) for one in found], total))


_OF_CUSTOMER = "/api/v2/customers/{customer}/entitlements"
RESOURCES = (
    Resource("/api/v2/entitlements", {"GET": list_all}),
    Resource("/api/v2/entitlements/{entitlement_id}", {"GET": read}),
    Resource(_OF_CUSTOMER, {"POST": create, "GET": list_of_customer}),
    Resource(f"{_OF_CUSTOMER}/{{entitlement}}", {"GET": read_of_customer, "DELETE": delete}),
    Resource(f"{_OF_CUSTOMER}/{{entitlement}}/override", {"PUT": override}),
    Resource(f"{_OF_CUSTOMER}/{{entitlement}}/reset", {"POST": reset}),
)
