"""`/api/v1/entitlements` and `/api/v1/subjects/{}/entitlements`: made, read, listed, replaced, reset, deleted."""

from __future__ import annotations

from typing import Annotated

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from api.answers import json_answer, no_content
from api.calls import calls_of
from api.entitlements import management
from api.entitlements.bodies import (
    ENTITLEMENT_V1,
    ResetBody,
    entitlement_v1,
    feature_of,
    reset_of,
)
from api.entitlements.paging import PartQuery, page_answer, part_of
from api.entitlements.paths import (
    entitlement_by_id,
    entitlement_of_any_subject,
    entitlement_of_subject,
    subject_in,
)
from api.entitlements.shown import entitlement_v1 as shown
from api.parsing import read_json, read_query
from api.routing import Resource
from domain.entitlements.finding import ById, EntitlementFilter, Order, Slice
from domain.entitlements.managed import Kind

OF_SUBJECT_MAX = 1_000
"""Entitlements of a subject in one answer, which has no pages."""


class ListQuery(PartQuery, kw_only=True, rename="camel"):
    """Which entitlements of all subjects."""

    feature: list[str] | None = None
    subject: list[str] | None = None
    entitlement_type: list[Kind] | None = None
    exclude_inactive: bool = False
    order_by: Annotated[str, msgspec.Meta(pattern=r"^(createdAt|updatedAt)\Z")] | None = None


class OfSubjectQuery(msgspec.Struct, kw_only=True, rename="camel"):
    """`include_deleted` is checked and otherwise ignored, as in the reference."""

    include_deleted: bool = False


async def create(request: Request) -> Response:
    """For the customer whose usage the subject's events are."""
    calls, owner = calls_of(request), subject_in(request)
    body = await read_json(request, calls.bodies, ENTITLEMENT_V1)
    made = await management.create(calls, owner, feature_of(body), entitlement_v1(body))
    return json_answer(shown(*made, calls.ports.now()), 201)


async def list_of_subject(request: Request) -> Response:
    """Those that are active now, the oldest first."""
    read_query(request, OfSubjectQuery)
    calls = calls_of(request)
    found, _ = await calls.ports.entitlements.list_entitlements(
        EntitlementFilter(owner=subject_in(request), only_active=True),
        Slice(order=Order.CREATED, limit=OF_SUBJECT_MAX),
    )
    now = calls.ports.now()
    return json_answer([shown(*one, now) for one in found])


async def list_all(request: Request) -> Response:
    """An array, or a page where one is asked for."""
    calls, query = calls_of(request), read_query(request, ListQuery)
    found, total = await calls.ports.entitlements.list_entitlements(
        EntitlementFilter(
            features=query.feature,
            subjects=query.subject,
            kinds=query.entitlement_type,
            only_active=query.exclude_inactive,
        ),
        part_of(query, Order(query.order_by or Order.CREATED)),
    )
    now = calls.ports.now()
    items = [shown(*one, now) for one in found]
    return json_answer(page_answer(query, items, total) if query.is_paged else items)


async def read(request: Request) -> Response:
    """By id."""
    return await _read(request, entitlement_by_id(request))


async def read_of_subject(request: Request) -> Response:
    """By id, whoever has it."""
    return await _read(request, entitlement_of_any_subject(request))


async def delete(request: Request) -> Response:
    """By id, whoever has it; its grants go with it."""
    await management.delete(calls_of(request), entitlement_of_any_subject(request))
    return no_content()


async def override(request: Request) -> Response:
    """The new one begins when the old one ends: now."""
    calls, place = calls_of(request), entitlement_of_subject(request)
    body = await read_json(request, calls.bodies, ENTITLEMENT_V1)
    made = await management.override(calls, place, feature_of(body), entitlement_v1(body))
    return json_answer(shown(*made, calls.ports.now()), 201)


async def reset(request: Request) -> Response:
    """A new usage period begins."""
    calls, place = calls_of(request), entitlement_of_any_subject(request)
    body = await read_json(request, calls.bodies, ResetBody)
    await management.reset(calls, place, reset_of(body))
    return no_content()


async def _read(request: Request, place: ById) -> Response:
    calls = calls_of(request)
    found = await calls.ports.entitlements.find(place)
    return json_answer(shown(*found, calls.ports.now()))


_OF_SUBJECT = "/api/v1/subjects/{subject}/entitlements"
RESOURCES = (
    Resource("/api/v1/entitlements", {"GET": list_all}),
    Resource("/api/v1/entitlements/{entitlement_id}", {"GET": read}),
    Resource(_OF_SUBJECT, {"POST": create, "GET": list_of_subject}),
    Resource(f"{_OF_SUBJECT}/{{entitlement_id}}", {"GET": read_of_subject, "DELETE": delete}),
    Resource(f"{_OF_SUBJECT}/{{entitlement}}/override", {"PUT": override}),
    Resource(f"{_OF_SUBJECT}/{{entitlement_id}}/reset", {"POST": reset}),
)
