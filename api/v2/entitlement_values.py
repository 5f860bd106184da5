"""Values and histories in v2: by customer. Source: metering §5.6, §5.7, §5.8, §11.14."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from api.answers import json_answer
from api.balances.calls import balance_calls_of
from api.balances.history import history_of
from api.balances.routes import HistoryQuery, ValueQuery, account_of, one_of_customer, read_one
from api.balances.shown import NO_ACCESS, balance_answer, value_v2
from api.entitlements.paths import entitlement_of_customer
from api.parsing import read_query
from api.routing import Resource
from domain.entitlements.finding import ByCustomer, OfOwner
from schemas.balances import Question


async def value(request: Request) -> Response:
    """By id, whoever has it, or by feature key; without an entitlement there is no access."""
    calls, query = balance_calls_of(request), read_query(request, ValueQuery)
    read = await read_one(calls, _question(request), query.time)
    shown = value_v2(read.values[0]) if read.values else NO_ACCESS
    return balance_answer(shown, [read], calls.wall_ms())


async def history(request: Request) -> Response:
    """By id, whoever has it, or by feature key."""
    calls, query = balance_calls_of(request), read_query(request, HistoryQuery)
    account = await account_of(calls, _question(request))
    shown, headers = await history_of(calls, account, query)
    answer = json_answer(shown)
    answer.headers.update(headers)
    return answer


def _question(request: Request) -> Question:
    place = entitlement_of_customer(request)
    assert isinstance(place, OfOwner)
    assert isinstance(place.owner, ByCustomer)
    return one_of_customer(place.owner.id_or_key, place.id_or_feature_key)


_OF_CUSTOMER = "/api/v2/customers/{customer}/entitlements/{entitlement}"
RESOURCES = (
    Resource(f"{_OF_CUSTOMER}/value", {"GET": value}),
    Resource(f"{_OF_CUSTOMER}/history", {"GET": history}),
)
