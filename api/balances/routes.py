"""What the value and history routes of all versions share. Source: metering §3.4, §5.7, §5.8, §11.14."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec
from starlette.requests import Request

from api.balances.accounts import Account
from api.balances.calls import BalanceCalls
from api.balances.reading import Read, Why
from api.routing import path_text
from api.times import Time
from domain.customers.customer import Customer
from domain.errors import NotFound, PreconditionFailed, Refused
from domain.metering.meter import SLUG, SLUG_LENGTH_MAX
from domain.metering.windows import WindowSize
from schemas.balances import Question

TIME_ZONE_LENGTH_MAX = 100


class ValueQuery(msgspec.Struct, kw_only=True, rename="camel"):
    """As of when."""

    time: Time | None = None


class HistoryQuery(msgspec.Struct, kw_only=True, rename="camel"):
    """What part of a history, in which windows."""

    window_size: WindowSize
    from_: Time | None = msgspec.field(default=None, name="from")
    to: Time | None = None
    window_time_zone: Annotated[str, msgspec.Meta(max_length=TIME_ZONE_LENGTH_MAX)] = "UTC"


async def read_one(calls: BalanceCalls, question: Question, at: Time | None = None) -> Read:
    """The answer to one question. NotFound, PreconditionFailed for its customer; Refused, Unavailable."""
    (read,) = await calls.balances.values([question], at=at)
    refuse_missing(read, question.customer)
    return read


def refuse_missing(read: Read, name: str) -> None:
    """NotFound for an unknown customer, PreconditionFailed for a deleted one."""
    if read.why is Why.UNKNOWN:
        raise NotFound(f"no customer has {name[:80]!r}")
    if read.why is Why.DELETED:
        raise PreconditionFailed(f"customer is deleted: {name[:80]}")


async def account_of(calls: BalanceCalls, question: Question) -> Account:
    """The one entitlement that a question with one feature names, now. NotFound, PreconditionFailed, Unavailable."""
    account, _ = await account_and_owner(calls, question)
    return account


async def account_and_owner(
    calls: BalanceCalls, question: Question, at: datetime | None = None
) -> tuple[Account, Customer]:
    """The one entitlement that a question with one feature names, at a time, and the customer that the question names."""
    (found,) = await calls.stored.recompute.accounts.find([question], at or calls.now())
    if found.customer is None:
        raise NotFound(f"no customer has {question.customer[:80]!r}")
    found.customer.refuse_deleted()
    if not found.accounts:
        assert question.features is not None
        raise no_entitlement(question.features[0])
    return found.accounts[0], found.customer


def no_entitlement(name: str) -> NotFound:
    """Neither by id nor, active now, by feature key."""
    return NotFound(
        f"no entitlement has the id, and none that is active the feature, {name[:80]!r}"
    )


def one_of_subject(subject: str, entitlement: str) -> Question:
    """About one entitlement of the customer whose usage a subject's events are."""
    return Question(customer=subject, features=(entitlement,), by_subject=True)


def one_of_customer(customer: str, entitlement: str) -> Question:
    """About one entitlement."""
    return Question(customer=customer, features=(entitlement,))


def feature_key_in(request: Request) -> str:
    """The key of a feature in the path. Refused when it can be none."""
    text = path_text(request, "feature_key")
    if len(text) > SLUG_LENGTH_MAX or not SLUG.match(text):
        raise Refused("invalid_parameter", f"featureKey cannot be {text[:80]!r}", "featureKey")
    return text
