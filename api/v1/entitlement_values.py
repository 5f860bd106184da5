"""Values, histories and access in v1: by subject and by customer. Source: metering §3.4, §5.6, §5.7, §11.14, §11.15."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from api.answers import json_answer
from api.balances.calls import balance_calls_of
from api.balances.history import history_of
from api.balances.routes import (
    HistoryQuery,
    ValueQuery,
    feature_key_in,
    no_entitlement,
    one_of_customer,
    one_of_subject,
    read_one,
)
from api.balances.shown import NO_ACCESS, balance_answer, value_v1, value_v2
from api.entitlements.paths import customer_in, subject_in
from api.parsing import read_query
from api.routing import Resource, path_text
from schemas.balances import Question


async def value_of_subject(request: Request) -> Response:
    """By id, whoever has it, or by feature key; 404 when there is none."""
    calls, query = balance_calls_of(request), read_query(request, ValueQuery)
    name = path_text(request, "entitlement")
    question = one_of_subject(subject_in(request).id_or_key, name)
    read = await read_one(calls, question, query.time)
    if not read.values:
        raise no_entitlement(name)
    return balance_answer(value_v1(read.values[0]), [read], calls.wall_ms())


async def history_of_subject(request: Request) -> Response:
    """By id, whoever has it; the subject is not looked at."""
    calls, query = balance_calls_of(request), read_query(request, HistoryQuery)
    name = path_text(request, "entitlement_id")
    account = await calls.stored.recompute.accounts.by_id(name)
    if account is None:
        raise no_entitlement(name)
    shown, headers = await history_of(calls, account, query)
    answer = json_answer(shown)
    answer.headers.update(headers)
    return answer


async def value_of_customer(request: Request) -> Response:
    """Now, whatever `time` says; without an entitlement there is no access."""
    calls = balance_calls_of(request)
    read_query(request, ValueQuery)
    question = one_of_customer(customer_in(request).id_or_key, feature_key_in(request))
    read = await read_one(calls, question)
    shown = value_v1(read.values[0]) if read.values else NO_ACCESS
    return balance_answer(shown, [read], calls.wall_ms())


async def access_of_customer(request: Request) -> Response:
    """Every entitlement that is active now, in v2's form, by feature key."""
    calls = balance_calls_of(request)
    read = await read_one(calls, Question(customer=customer_in(request).id_or_key))
    shown = {value.feature_key: value_v2(value) for value in read.values}
    return balance_answer({"entitlements": shown}, [read], calls.wall_ms())


_OF_SUBJECT = "/api/v1/subjects/{subject}/entitlements"
_OF_CUSTOMER = "/api/v1/customers/{customer}"
RESOURCES = (
    Resource(f"{_OF_SUBJECT}/{{entitlement}}/value", {"GET": value_of_subject}),
    Resource(f"{_OF_SUBJECT}/{{entitlement_id}}/history", {"GET": history_of_subject}),
    Resource(f"{_OF_CUSTOMER}/entitlements/{{feature_key}}/value", {"GET": value_of_customer}),
    Resource(f"{_OF_CUSTOMER}/access", {"GET": access_of_customer}),
)
