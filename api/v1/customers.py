"""`/api/v1/customers`: create, list, read, replace, delete. Source: metering §3.2."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, UnsetType
from starlette.requests import Request
from starlette.responses import Response

from api.answers import json_answer, no_content
from api.calls import calls_of
from api.customers import management
from api.paging import PAGE_SIZE, Order, Page, PageSize, page_json
from api.parsing import read_json, read_query
from api.routing import Resource, path_text
from domain.customers.customer import KEY_LENGTH_MAX, Address, Customer, CustomerFace
from domain.customers.listing import CustomerListing
from domain.errors import Refused

_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
_Description = Annotated[str, msgspec.Meta(max_length=1024)]
_Key = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
_Currency = Annotated[str, msgspec.Meta(pattern=r"^[A-Z]{3}\Z")]
_Country = Annotated[str, msgspec.Meta(pattern=r"^[A-Z]{2}\Z")]
_SubjectKey = Annotated[str, msgspec.Meta(min_length=1)]
_Expand = Literal["subscriptions"]


class UsageAttribution(msgspec.Struct, kw_only=True, rename="camel"):
    """Whose events are the customer's usage, beside those of its key."""

    subject_keys: list[_SubjectKey]


class CustomerAddress(msgspec.Struct, kw_only=True, rename="camel", omit_defaults=True):
    """Where invoices go."""

    country: _Country | UnsetType = UNSET
    postal_code: str | UnsetType = UNSET
    state: str | UnsetType = UNSET
    city: str | UnsetType = UNSET
    line1: str | UnsetType = UNSET
    line2: str | UnsetType = UNSET
    phone_number: str | UnsetType = UNSET


class CustomerBody(msgspec.Struct, kw_only=True, rename="camel"):
    """A customer's face; what the contract does not know is ignored, and null is allowed for metadata only."""

    name: _Name
    key: _Key | UnsetType = UNSET
    usage_attribution: UsageAttribution | UnsetType = UNSET
    description: _Description | UnsetType = UNSET
    metadata: dict[str, str] | UnsetType | None = UNSET
    primary_email: str | UnsetType = UNSET
    currency: _Currency | UnsetType = UNSET
    billing_address: CustomerAddress | UnsetType = UNSET


class ListQuery(msgspec.Struct, kw_only=True, rename="camel"):
    """A page, and what it is narrowed by."""

    page: Page = 1
    page_size: PageSize = PAGE_SIZE
    order: Order = "ASC"
    order_by: Annotated[str, msgspec.Meta(pattern=r"^(id|name|createdAt)\Z")] | None = None
    include_deleted: bool = False
    key: str | None = None
    name: str | None = None
    primary_email: str | None = None
    subject: str | None = None
    plan_key: str | None = None
    expand: list[_Expand] | None = None


class ReadQuery(msgspec.Struct, kw_only=True):
    """What more is shown."""

    expand: list[_Expand] | None = None


async def create(request: Request) -> Response:
    """201."""
    calls = calls_of(request)
    body = await read_json(request, calls.bodies, CustomerBody)
    made = await management.create(calls.ports, calls.customers, calls.rules.namespace, _face(body))
    return json_answer(customer_json(made), 201)


async def list_customers(request: Request) -> Response:
    """Live ones by name, unless asked otherwise."""
    query = read_query(request, ListQuery)
    if query.plan_key is not None:  # nobody has a plan: there are no subscriptions yet
        return json_answer(page_json([], total=0, page=query.page, page_size=query.page_size))
    found = await calls_of(request).ports.customers.list_customers(
        CustomerListing(
            page=query.page,
            page_size=query.page_size,
            order_by=query.order_by or "name",
            descending=query.order == "DESC",
            include_deleted=query.include_deleted,
            key=query.key,
            name=query.name,
            primary_email=query.primary_email,
            subject=query.subject,
        )
    )
    items = [customer_json(one) for one in found.customers]
    return json_answer(
        page_json(items, total=found.total, page=query.page, page_size=query.page_size)
    )


async def read(request: Request) -> Response:
    """By id, deleted ones too, or by the key of a live one."""
    found = id_or_key(request)
    read_query(request, ReadQuery)
    return json_answer(customer_json(await calls_of(request).ports.customers.find(found)))


async def replace(request: Request) -> Response:
    """Replaces everything; an e-mail or a currency that is left out stays."""
    calls = calls_of(request)
    found = id_or_key(request)
    body = await read_json(request, calls.bodies, CustomerBody)
    after = await management.replace(calls.ports, calls.customers, found, _face(body))
    return json_answer(customer_json(after))


async def delete(request: Request) -> Response:
    """Soft."""
    await calls_of(request).ports.customers.delete(id_or_key(request))
    return no_content()


def id_or_key(request: Request) -> str:
    """The customer that the path names; Refused when it can be none."""
    text = path_text(request, "customer")
    if len(text) > KEY_LENGTH_MAX:
        raise Refused("invalid_parameter", f"no id or key: {text[:80]!r}", "customerIdOrKey")
    return text


def customer_json(customer: Customer) -> dict[str, Any]:
    """A customer as v1 shows it, without what is empty."""
    shown: dict[str, Any] = {
        "id": customer.id,
        "key": customer.key,
        "name": customer.name,
        "description": customer.description,
        "metadata": dict(customer.metadata or {}) or None,
        "usageAttribution": {"subjectKeys": customer.subject_keys}
        if customer.subject_keys
        else None,
        "primaryEmail": customer.primary_email,
        "currency": customer.currency,
        "billingAddress": customer.billing_address and _address_json(customer.billing_address),
        "createdAt": customer.created_at,
        "updatedAt": customer.updated_at,
        "deletedAt": customer.deleted_at,
    }
    return {name: value for name, value in shown.items() if value is not None}


def _face(body: CustomerBody) -> CustomerFace:
    keys = body.usage_attribution.subject_keys if body.usage_attribution else []
    return CustomerFace(
        name=body.name,
        key=body.key or None,
        subject_keys=keys,
        description=_given(body.description),
        metadata=body.metadata or None,
        primary_email=_given(body.primary_email),
        currency=_given(body.currency),
        billing_address=_address(body.billing_address) if body.billing_address else None,
    )


def _given(text: str | UnsetType) -> str | None:
    return None if text is UNSET else text


def _address(body: CustomerAddress) -> Address | None:
    given = {name: getattr(body, name) for name in body.__struct_fields__}
    given = {name: text for name, text in given.items() if text is not UNSET}
    return Address(**given) if given else None


def _address_json(address: Address) -> CustomerAddress:
    names = CustomerAddress.__struct_fields__
    given = {name: getattr(address, name) for name in names}
    return CustomerAddress(**{name: text for name, text in given.items() if text is not None})


COLLECTION = Resource("/api/v1/customers", {"POST": create, "GET": list_customers})
ITEM = Resource("/api/v1/customers/{customer}", {"GET": read, "PUT": replace, "DELETE": delete})
