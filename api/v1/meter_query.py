"""`/api/v1/meters/{}/query`: GET with parameters, POST with a body; JSON or CSV. Source: metering §2.3, §2.5, §2.6."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType
from starlette.requests import Request
from starlette.responses import Response

from api.answers import json_answer
from api.calls import calls_of
from api.metering import usage
from api.metering.usage import Answer, Question
from api.parsing import JSON_TEXT, read_json, read_query
from api.routing import Resource
from api.times import Time
from api.v1.csv import accepts_csv, csv_answer
from api.v1.filters import StringFilter, text_filter
from api.v1.meters import id_or_slug
from domain.errors import Refused
from domain.metering.filters import TextFilter, TextOp, TextTest
from domain.metering.numbers import json_number
from domain.metering.query import ResultRow
from domain.metering.rows import Number
from domain.metering.windows import WindowSize, utc

_ClientId = Annotated[str, msgspec.Meta(min_length=1, max_length=36)]
_MOST = msgspec.Meta(max_length=100)
_DOUBLE_MAX = 1.7976931348623157e308
_WHOLE_MAX = 2**53


class QueryParameters(msgspec.Struct, kw_only=True, rename="camel"):
    """The query string."""

    client_id: _ClientId | None = None
    from_: Time | None = msgspec.field(default=None, name="from")
    to: Time | None = None
    window_size: WindowSize | None = None
    window_time_zone: str = "UTC"
    subject: list[str] | None = None
    filter_customer_id: Annotated[list[str], _MOST] | None = None
    filter_group_by: dict[str, str] | None = None
    advanced_meter_group_by_filters: Annotated[dict[str, StringFilter] | None, JSON_TEXT] = None
    group_by: list[str] | None = None


class QueryBody(msgspec.Struct, kw_only=True, rename="camel"):
    """The body of a POST; no member may be null."""

    client_id: _ClientId | UnsetType = UNSET
    from_: Time | UnsetType = msgspec.field(default=UNSET, name="from")
    to: Time | UnsetType = UNSET
    window_size: WindowSize | UnsetType = UNSET
    window_time_zone: str = "UTC"
    subject: Annotated[list[str], _MOST] | UnsetType = UNSET
    filter_customer_id: Annotated[list[str], _MOST] | UnsetType = UNSET
    filter_group_by: dict[str, list[str]] | UnsetType = UNSET
    advanced_meter_group_by_filters: dict[str, StringFilter] | UnsetType = UNSET
    group_by: Annotated[list[str], _MOST] | UnsetType = UNSET


async def query_get(request: Request) -> Response:
    """The question in the query string."""
    meter = id_or_slug(request)
    asked = read_query(request, QueryParameters)
    simple = None
    if asked.filter_group_by is not None:
        simple = {key: [value] for key, value in asked.filter_group_by.items()}
    question = Question(
        start=asked.from_,
        end=asked.to,
        window_size=asked.window_size,
        zone=asked.window_time_zone,
        subjects=asked.subject,
        customer_ids=asked.filter_customer_id or (),
        group_filters=_group_filters(simple, asked.advanced_meter_group_by_filters),
        group_by=asked.group_by or (),
    )
    return await _shown(
        request, question, await usage.ask(calls_of(request).ports, meter, question)
    )


async def query_post(request: Request) -> Response:
    """The question in the body."""
    calls = calls_of(request)
    meter = id_or_slug(request)
    asked = await read_json(request, calls.bodies, QueryBody)
    question = Question(
        start=asked.from_ or None,
        end=asked.to or None,
        window_size=asked.window_size or None,
        zone=asked.window_time_zone,
        subjects=None if asked.subject is UNSET else asked.subject,
        customer_ids=asked.filter_customer_id or (),
        group_filters=_group_filters(
            None if asked.filter_group_by is UNSET else asked.filter_group_by,
            None
            if asked.advanced_meter_group_by_filters is UNSET
            else asked.advanced_meter_group_by_filters,
        ),
        group_by=asked.group_by or (),
    )
    return await _shown(request, question, await usage.ask(calls.ports, meter, question))


def _group_filters(
    simple: Mapping[str, list[str]] | None, advanced: Mapping[str, StringFilter] | None
) -> dict[str, TextFilter]:
    """One of the two notations; a simple filter without values asks for nothing."""
    if simple is not None and advanced is not None:
        raise Refused(
            "filters_exclusive",
            "give filterGroupBy or advancedMeterGroupByFilters, not both",
            "advancedMeterGroupByFilters",
        )
    found: dict[str, TextFilter | None] = {}
    for key, values in (simple or {}).items():
        found[key] = TextTest(TextOp.IN, tuple(values)) if values else None
    for key, given in (advanced or {}).items():
        found[key] = text_filter(given, f"advancedMeterGroupByFilters.{key}")
    return {key: test for key, test in found.items() if test is not None}


async def _shown(request: Request, question: Question, answer: Answer) -> Response:
    if accepts_csv(request.headers.get("accept", "")):
        subjects = calls_of(request).ports.subjects
        names = await subjects.display_names(
            sorted({row.subject for row in answer.rows if row.subject})
        )
        return csv_answer(answer, names)
    echoed = {"from": question.start, "to": question.end, "windowSize": question.window_size}
    return json_answer(
        {
            **{name: value for name, value in echoed.items() if value is not None},
            "data": [_row(question, row) for row in answer.rows],
        }
    )


def _row(question: Question, row: ResultRow) -> dict[str, Any]:
    """Without windows a bound that was given is shown as it was given, with its fraction."""
    start, end = utc(row.window_start), utc(row.window_end)
    if question.window_size is None:
        start, end = question.start or start, question.end or end
    return {
        "value": as_double(row.value),
        "windowStart": start,
        "windowEnd": end,
        "subject": row.subject,
        **({} if row.customer is None else {"customerId": row.customer}),
        "groupBy": dict(row.groups),
    }


def as_double(value: Number) -> int | float:
    """A value for JSON, which reads numbers as doubles: whole ones without a point, one past the largest as the largest."""
    number = max(-_DOUBLE_MAX, min(_DOUBLE_MAX, json_number(value)))
    return int(number) if abs(number) <= _WHOLE_MAX and number == int(number) else number


QUERY = Resource("/api/v1/meters/{id_or_slug}/query", {"GET": query_get, "POST": query_post})
