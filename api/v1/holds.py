"""`…/entitlements/{…}/holds`: reserve an amount before the work, confirm what was used or release it. Beside the contract: docs/holds.md."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from api.answers import json_answer
from api.calls import calls_of
from api.entitlements.paths import entitlement_of_customer
from api.holds.bodies import ConfirmHoldBody, CreateHoldBody, Key, confirmation_of, creation_of
from api.holds.ports import WorkerHolds
from api.holds.shown import hold_json, refuse
from api.parsing import read_json, read_query
from api.routing import Resource, path_text
from domain.entitlements.finding import ByCustomer, OfOwner
from domain.errors import Refused, Unavailable
from domain.holds.hold import KEY_LENGTH_MAX
from schemas.holds import HoldCall, HoldTold, List, Read, Release
from schemas.holds import Request as HoldRequest


class ListHoldsQuery(msgspec.Struct, kw_only=True, rename="camel"):
    """A page by key: those after `after`."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100
    after: Key | None = None


async def create(request: Request) -> Response:
    """201 for a new hold, 200 for the one that the key has already."""
    body = await read_json(request, calls_of(request).bodies, CreateHoldBody)
    told = await _ask(request, creation_of(body))
    return json_answer(hold_json(told.holds[0]), 201 if told.created else 200)


async def list_holds(request: Request) -> Response:
    """All that are remembered, ended ones too."""
    query = read_query(request, ListHoldsQuery)
    told = await _ask(request, List(limit=query.limit, after=query.after))
    shown: dict[str, Any] = {"items": [hold_json(hold) for hold in told.holds]}
    if len(told.holds) == query.limit:
        shown["nextAfter"] = told.holds[-1].key
    return json_answer(shown)


async def read(request: Request) -> Response:
    """One, as long as it is remembered."""
    return await _one(request, Read(key=_key_in(request)))


async def confirm(request: Request) -> Response:
    """The usage is counted once, and from now on instead of the hold."""
    calls = calls_of(request)
    body = await read_json(request, calls.bodies, ConfirmHoldBody)
    return await _one(request, confirmation_of(_key_in(request), body, calls.ports.now()))


async def release(request: Request) -> Response:
    """Nothing was used."""
    return await _one(request, Release(key=_key_in(request)))


async def _one(request: Request, asked: HoldRequest) -> Response:
    told = await _ask(request, asked)
    return json_answer(hold_json(told.holds[0]))


async def _ask(request: Request, asked: HoldRequest) -> HoldTold:
    place = entitlement_of_customer(request)
    assert isinstance(place, OfOwner)
    assert isinstance(place.owner, ByCustomer)
    told = await _holds_of(request).ask(
        HoldCall(customer=place.owner.id_or_key, entitlement=place.id_or_feature_key, request=asked)
    )
    refuse(told)
    return told


def _holds_of(request: Request) -> WorkerHolds:
    found: WorkerHolds | None = request.app.state.holds
    if found is None:
        raise Unavailable("starting")
    return found


def _key_in(request: Request) -> str:
    """The key of a hold in the path. Refused when it can be none."""
    text = path_text(request, "hold_key")
    if not 1 <= len(text) <= KEY_LENGTH_MAX:
        raise Refused("invalid_parameter", f"key cannot be {text[:80]!r}", "key")
    return text


_HOLDS = "/api/v1/customers/{customer}/entitlements/{entitlement}/holds"
RESOURCES = (
    Resource(_HOLDS, {"POST": create, "GET": list_holds}),
    Resource(f"{_HOLDS}/{{hold_key}}", {"GET": read}),
    Resource(f"{_HOLDS}/{{hold_key}}/confirm", {"POST": confirm}),
    Resource(f"{_HOLDS}/{{hold_key}}/release", {"POST": release}),
)
