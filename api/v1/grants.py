"""`/api/v1/grants` and `/api/v1/subjects/{}/entitlements/{}/grants`: made, listed, voided."""

from __future__ import annotations

from typing import Annotated

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from api.answers import json_answer, no_content
from api.calls import calls_of
from api.entitlements import management
from api.entitlements.bodies import GrantBody, grant_v1
from api.entitlements.paging import PartQuery, page_answer, part_of
from api.entitlements.paths import entitlement_of_subject
from api.entitlements.shown import grant_v1 as shown
from api.parsing import read_json, read_query
from api.routing import Resource, path_text
from api.times import Time, in_utc
from domain.entitlements.finding import GrantFilter, Order, Slice

OF_ENTITLEMENT_MAX = 1_000
"""Grants of an entitlement in one answer, which has no pages."""

GrantOrder = Annotated[str, msgspec.Meta(pattern=r"^(id|createdAt|updatedAt)\Z")]


class OfEntitlementQuery(msgspec.Struct, kw_only=True, rename="camel"):
    """`include_deleted` is checked and otherwise ignored, as in the reference: void ones are always there."""

    include_deleted: bool = False
    order_by: GrantOrder | None = None


class ListQuery(PartQuery, kw_only=True, rename="camel"):
    """Which grants of all entitlements; `include_deleted` as above."""

    feature: list[str] | None = None
    subject: list[str] | None = None
    include_deleted: bool = False
    order_by: GrantOrder | None = None


class VoidQuery(msgspec.Struct, kw_only=True):
    """When the grant ends."""

    at: Time | None = None


async def create(request: Request) -> Response:
    """For a metered entitlement."""
    calls, place = calls_of(request), entitlement_of_subject(request)
    body = await read_json(request, calls.bodies, GrantBody)
    made = await management.grant(calls, place, grant_v1(body))
    return json_answer(shown(made, calls.ports.now()), 201)


async def list_of_entitlement(request: Request) -> Response:
    """The first thousand."""
    calls, query = calls_of(request), read_query(request, OfEntitlementQuery)
    found, _ = await calls.ports.entitlements.list_grants(
        GrantFilter(place=entitlement_of_subject(request)),
        Slice(order=Order(query.order_by or Order.UPDATED), limit=OF_ENTITLEMENT_MAX),
    )
    now = calls.ports.now()
    return json_answer([shown(one, now) for one in found])


async def list_all(request: Request) -> Response:
    """An array, or a page where one is asked for; by when they take effect unless an order is asked for."""
    calls, query = calls_of(request), read_query(request, ListQuery)
    found, total = await calls.ports.entitlements.list_grants(
        GrantFilter(features=query.feature, subjects=query.subject),
        part_of(query, Order(query.order_by or Order.EFFECTIVE)),
    )
    now = calls.ports.now()
    items = [shown(one, now) for one in found]
    return json_answer(page_answer(query, items, total) if query.is_paged else items)


async def void(request: Request) -> Response:
    """What it paid stays paid."""
    query = read_query(request, VoidQuery)
    at = None if query.at is None else in_utc(query.at)
    await management.void(calls_of(request), path_text(request, "grant_id"), at)
    return no_content()


RESOURCES = (
    Resource("/api/v1/grants", {"GET": list_all}),
    Resource("/api/v1/grants/{grant_id}", {"DELETE": void}),
    Resource(
        "/api/v1/subjects/{subject}/entitlements/{entitlement}/grants",
        {"POST": create, "GET": list_of_entitlement},
    ),
)
