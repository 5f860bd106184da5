"""Who may use what: many customers and features in one call, and all of one customer. Source: metering §3.4; v3's contract.

The workers are asked once for all customers, by id; nothing waits for one entitlement after another.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from api.answers import json_answer
from api.balances.calls import balance_calls_of
from api.balances.reading import Read
from api.balances.routes import read_one
from api.balances.shown import balance_answer, origin
from api.calls import calls_of
from api.parsing import read_json
from api.routing import Resource, path_text
from api.times import in_utc
from api.v3.cursors import page_of, part_of
from api.v3.problem import InvalidParameters, bad_request, not_found
from domain.customers.customer import Customer
from domain.errors import Refused
from domain.metering.ulid import is_ulid
from schemas.balances import Question

_Keys = Annotated[list[str], msgspec.Meta(min_length=1, max_length=100)]


class Keys(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Names: of customers their keys or their subjects', of features their keys."""

    keys: _Keys


class AccessQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Whose access to what; without `feature` to everything they have. `include_credits` is taken and changes nothing."""

    customer: Keys
    feature: Keys | msgspec.UnsetType = msgspec.UNSET
    include_credits: bool = False


@dataclass(frozen=True, slots=True)
class _Asked:
    """A customer and by which of the given names it was found."""

    customer: Customer
    matched: list[str]


async def query(request: Request) -> Response:
    """Many customers, many features."""
    calls = balance_calls_of(request)
    try:
        page, asked = page_of(request), await _body(request)
    except Refused as error:
        if error.code not in _OF_FORM:
            raise
        return bad_request(request, error)
    names = list(dict.fromkeys(asked.customer.keys))
    found = await calls.stored.records.customers(names, by_subject=True)
    part = part_of(_matched(names, found), page, lambda one: one.customer.id)
    keys = None if not asked.feature else tuple(dict.fromkeys(asked.feature.keys))
    questions = [
        Question(customer=one.customer.id, features=keys, access_only=True) for one in part.items
    ]
    reads = await calls.balances.values(questions)
    known = await calls.stored.records.known_features(keys) if keys else ()
    now = in_utc(calls.now())
    content = {
        "data": [
            {
                "matched": one.matched,
                "customer": _customer(one.customer),
                "features": _features(read, keys, known),
                "updated_at": now,
            }
            for one, read in zip(part.items, reads, strict=True)
        ],
        "errors": [_unknown(name) for name in names if name not in found],
        "meta": part.meta,
    }
    answer = json_answer(content)
    answer.headers.update(origin(reads, calls.wall_ms()))
    return answer


async def of_customer(request: Request) -> Response:
    """Everything that is active now, by feature key."""
    calls = balance_calls_of(request)
    name = path_text(request, "customer_id")
    if not is_ulid(name):
        return not_found(request, f"{name[:80]!r} is no id of a customer")
    read = await read_one(calls, Question(customer=name.upper()))
    data = [
        {
            "type": value.type,
            "feature_key": value.feature_key,
            "has_access": value.has_access,
            **({} if value.config is None else {"config": value.config}),
        }
        for value in sorted(read.values, key=lambda value: value.feature_key)
    ]
    return balance_answer({"data": data}, [read], calls.wall_ms())


_OF_FORM = frozenset(
    (
        "invalid_parameters",
        "invalid_body",
        "invalid_json",
        "body_missing",
        "invalid_content_type",
        "invalid_query",
    )
)
"""Codes of requests that do not have the contract's form: v3 says so in its own way."""


async def _body(request: Request) -> AccessQuery:
    try:
        return await read_json(request, calls_of(request).bodies, AccessQuery)
    except Refused as error:
        if error.code != "invalid_body":
            raise
        field, rule = _where(error)
        raise InvalidParameters(str(error), field, rule=rule) from None


def _where(error: Refused) -> tuple[str, str | None]:
    """The member and the rule it breaks, as v3 names them: what is inside a member breaks its `allOf`."""
    path = (error.field or "").removeprefix("$").removeprefix(".")
    if not path:
        missing = "missing required field" in str(error)
        return ("customer", "required") if missing else ("", None)
    return path.split(".")[0].split("[")[0], "allOf"


def _matched(names: Sequence[str], found: Mapping[str, Customer]) -> list[_Asked]:
    """Each customer once, by id."""
    by_id: dict[str, _Asked] = {}
    for name in names:
        customer = found.get(name)
        if customer is not None:
            by_id.setdefault(customer.id, _Asked(customer, [])).matched.append(name)
    return [by_id[id_] for id_ in sorted(by_id)]


def _features(
    read: Read, keys: Sequence[str] | None, known: Collection[str]
) -> dict[str, dict[str, Any]]:
    access = read.access
    if keys is None:
        return {key: _access(access[key]) for key in sorted(access)}
    return {key: _access(access[key]) if key in access else _no_access(key, known) for key in keys}


def _access(has_access: bool) -> dict[str, Any]:
    return _HAS_ACCESS if has_access else _LIMIT_REACHED


_HAS_ACCESS: dict[str, Any] = {"has_access": True}
_LIMIT_REACHED: dict[str, Any] = {
    "has_access": False,
    "reason": {"code": "usage_limit_reached", "message": "nothing is left of the balance"},
}


def _no_access(key: str, known: Collection[str]) -> dict[str, Any]:
    code, message = (
        ("feature_unavailable", "the customer has no active entitlement for the feature")
        if key in known
        else ("feature_not_found", "there is no such feature")
    )
    return {"has_access": False, "reason": {"code": code, "message": message}}


def _unknown(name: str) -> dict[str, str]:
    return {
        "code": "customer_not_found",
        "message": "no customer has this key or subject key",
        "customer": name,
    }


def _customer(customer: Customer) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "id": customer.id,
        "key": customer.key or "",
        "name": customer.name,
        "labels": dict(customer.metadata or {}),
        "usage_attribution": {"subject_keys": list(customer.subject_keys)},
        "created_at": customer.created_at,
        "updated_at": customer.updated_at,
    }
    for name in ("description", "primary_email", "currency"):
        if (text := getattr(customer, name)) is not None:
            shown[name] = text
    if customer.billing_address is not None:
        shown["billing_address"] = {
            name: text
            for name in customer.billing_address.__slots__
            if (text := getattr(customer.billing_address, name)) is not None
        }
    return shown


RESOURCES = (
    Resource("/api/v3/openmeter/entitlement-access/query", {"POST": query}),
    Resource("/api/v3/openmeter/customers/{customer_id}/entitlement-access", {"GET": of_customer}),
)
