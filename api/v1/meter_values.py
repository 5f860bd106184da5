"""`/api/v1/meters/{}/subjects` and `/api/v1/meters/{}/group-by/{}/values`. Source: metering §2.7."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from api.answers import json_answer
from api.calls import calls_of
from api.metering import usage
from api.parsing import read_query
from api.routing import Resource, path_text
from api.times import Time
from api.v1.meters import id_or_slug


class Bounds(msgspec.Struct, kw_only=True):
    """`[from, to)`."""

    from_: Time | None = msgspec.field(default=None, name="from")
    to: Time | None = None


async def subjects(request: Request) -> Response:
    """By code point."""
    meter, bounds = id_or_slug(request), read_query(request, Bounds)
    return json_answer(
        await usage.subjects(calls_of(request).ports, meter, bounds.from_, bounds.to)
    )


async def group_values(request: Request) -> Response:
    """Sorted and distinct; "" stands for events without the group."""
    meter, bounds = id_or_slug(request), read_query(request, Bounds)
    key = path_text(request, "key")
    return json_answer(
        await usage.group_values(calls_of(request).ports, meter, key, bounds.from_, bounds.to)
    )


SUBJECTS = Resource("/api/v1/meters/{id_or_slug}/subjects", {"GET": subjects})
GROUP_VALUES = Resource("/api/v1/meters/{id_or_slug}/group-by/{key}/values", {"GET": group_values})
