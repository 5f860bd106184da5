"""`/api/v1/meters`: create, list, read, change, delete."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType
from starlette.requests import Request
from starlette.responses import Response

from api.answers import json_answer, no_content
from api.calls import calls_of
from api.metering import meters
from api.metering.meters import MeterChange, NewMeter
from api.parsing import read_json, read_query
from api.routing import Resource, path_text
from api.times import Time, in_utc
from domain.errors import Refused
from domain.metering.meter import SLUG, Aggregation, Meter
from domain.metering.ulid import is_ulid

_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
_Description = Annotated[str, msgspec.Meta(max_length=1024)]
_Slug = Annotated[
    str, msgspec.Meta(min_length=1, max_length=64, pattern=r"^[a-z0-9]+(?:_[a-z0-9]+)*\Z")
]
_Text = Annotated[str, msgspec.Meta(min_length=1)]
_ID_OR_SLUG_MAX = 64


class CreateBody(msgspec.Struct, kw_only=True, rename="camel"):
    """A new meter; what the contract does not know is ignored, and null is allowed for metadata only."""

    slug: _Slug
    aggregation: Aggregation
    event_type: _Text
    name: _Name | UnsetType = UNSET
    description: _Description | UnsetType = UNSET
    metadata: dict[str, str] | UnsetType | None = UNSET
    event_from: Time | UnsetType = UNSET
    value_property: _Text | UnsetType = UNSET
    group_by: dict[str, str] | UnsetType = UNSET


class UpdateBody(msgspec.Struct, kw_only=True, rename="camel"):
    """What a PUT replaces."""

    name: _Name | UnsetType = UNSET
    description: _Description | UnsetType = UNSET
    metadata: dict[str, str] | UnsetType | None = UNSET
    group_by: dict[str, str] | UnsetType = UNSET


class ListQuery(msgspec.Struct, kw_only=True, rename="camel"):
    """`page` and `page_size` are checked and otherwise ignored: the list is whole."""

    page: Annotated[int, msgspec.Meta(ge=1)] = 1
    page_size: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100
    order: Annotated[str, msgspec.Meta(pattern=r"^(ASC|DESC)\Z")] = "ASC"
    order_by: (
        Annotated[str, msgspec.Meta(pattern=r"^(key|name|aggregation|createdAt|updatedAt)\Z")]
        | None
    ) = None
    include_deleted: bool = False


async def create(request: Request) -> Response:
    """Answers 200, as the reference does."""
    calls = calls_of(request)
    body = await read_json(request, calls.bodies, CreateBody)
    asked = NewMeter(**_given(body))
    return json_answer(meter_json(await meters.create(calls.ports, calls.rules, asked)))


async def list_meters(request: Request) -> Response:
    """All live meters, or all."""
    query = read_query(request, ListQuery)
    found = await calls_of(request).ports.meters.list_meters(
        order_by=query.order_by or "key",
        descending=query.order == "DESC",
        include_deleted=query.include_deleted,
        limit=meters.METERS_MAX,
    )
    return json_answer([meter_json(meter) for meter in found])


async def read(request: Request) -> Response:
    """By id, deleted ones too, or by the slug of a live one."""
    return json_answer(meter_json(await calls_of(request).ports.meters.find(id_or_slug(request))))


async def update(request: Request) -> Response:
    """Replaces name, metadata and groups; a description that is left out stays."""
    calls = calls_of(request)
    found = id_or_slug(request)
    body = await read_json(request, calls.bodies, UpdateBody)
    return json_answer(
        meter_json(await meters.update(calls.ports, found, MeterChange(**_given(body))))
    )


async def delete(request: Request) -> Response:
    """Soft."""
    await calls_of(request).ports.meters.delete(id_or_slug(request))
    return no_content()


def id_or_slug(request: Request) -> str:
    """The meter that the path names; Refused when it can be none."""
    text = path_text(request, "id_or_slug")
    if len(text) > _ID_OR_SLUG_MAX or not (SLUG.match(text) or is_ulid(text)):
        raise Refused("invalid_parameter", f"no id or slug: {text[:80]!r}", "meterIdOrSlug")
    return text


def meter_json(meter: Meter) -> dict[str, Any]:
    """A meter as v1 shows it: annotations and metadata always, other empty members never."""
    shown = {
        "id": meter.id,
        "slug": meter.slug,
        "name": meter.name,
        "description": meter.description,
        "aggregation": meter.aggregation,
        "eventType": meter.event_type,
        "eventFrom": meter.event_from and in_utc(meter.event_from),
        "valueProperty": meter.value_property,
        "groupBy": dict(meter.group_by) or None,
        "createdAt": meter.created_at,
        "updatedAt": meter.updated_at,
        "deletedAt": meter.deleted_at,
    }
    return {
        **{name: value for name, value in shown.items() if value is not None},
        "annotations": None,
        "metadata": None if meter.metadata is None else dict(meter.metadata),
    }


def _given(body: msgspec.Struct) -> dict[str, Any]:
    """The members that were in the body, times as plain times."""
    found = {name: getattr(body, name) for name in body.__struct_fields__}
    return {
        name: in_utc(value) if isinstance(value, Time) else value
        for name, value in found.items()
        if value is not UNSET
    }


COLLECTION = Resource("/api/v1/meters", {"POST": create, "GET": list_meters})
ITEM = Resource("/api/v1/meters/{id_or_slug}", {"GET": read, "PUT": update, "DELETE": delete})
