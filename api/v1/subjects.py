"""`/api/v1/subjects`: upsert, list, read, delete. Source: metering §3.1, §11.20."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from api.answers import json_answer, json_bytes, no_content
from api.calls import calls_of
from api.customers import management
from api.parsing import read_json
from api.routing import Resource, path_text
from api.times import Time
from domain.customers.subject import Subject, SubjectUpsert

_PAGE_SIZE = 1000
"""Subjects that are read and sent together: the list is whole, and never whole in memory."""


class SubjectBody(msgspec.Struct, kw_only=True, rename="camel"):
    """A subject to make or change: members that are left out stay, null clears. Periods are checked and not used."""

    key: str
    display_name: str | UnsetType | None = UNSET
    metadata: dict[str, Any] | UnsetType | None = UNSET
    stripe_customer_id: str | UnsetType | None = UNSET
    current_period_start: Time | UnsetType = UNSET
    current_period_end: Time | UnsetType = UNSET


_MEMBERS = ("display_name", "metadata", "stripe_customer_id")


async def upsert(request: Request) -> Response:
    """200; null for none."""
    calls = calls_of(request)
    bodies = await read_json(request, calls.bodies, list[SubjectBody])
    found = await management.upsert(calls.ports, [_upsert(body) for body in bodies])
    return json_answer([subject_json(one) for one in found] or None)


async def list_subjects(request: Request) -> Response:
    """All live ones by id."""
    pages = calls_of(request).ports.subjects.pages(_PAGE_SIZE)
    first = await anext(pages)  # what fails, fails before the answer has begun
    return StreamingResponse(_array(first, pages), media_type="application/json")


async def read(request: Request) -> Response:
    """By id, deleted ones too, or by the key of a live one."""
    found = await calls_of(request).ports.subjects.find(path_text(request, "subject"))
    return json_answer(subject_json(found))


async def delete(request: Request) -> Response:
    """Soft; the customer that names the key keeps it."""
    await calls_of(request).ports.subjects.delete(path_text(request, "subject"))
    return no_content()


def subject_json(subject: Subject) -> dict[str, Any]:
    """A subject as v1 shows it: metadata always, other empty members never."""
    shown = {
        "id": subject.id,
        "key": subject.key,
        "displayName": subject.display_name,
        "metadata": dict(subject.metadata or {}),
        "stripeCustomerId": subject.stripe_customer_id,
        "createdAt": subject.created_at,
        "updatedAt": subject.updated_at,
        "deletedAt": subject.deleted_at,
    }
    return {name: value for name, value in shown.items() if value is not None}


def _upsert(body: SubjectBody) -> SubjectUpsert:
    given = {name: getattr(body, name) for name in _MEMBERS}
    return SubjectUpsert(
        key=body.key, given={name: value for name, value in given.items() if value is not UNSET}
    )


async def _array(
    first: Sequence[Subject], pages: AsyncIterator[Sequence[Subject]]
) -> AsyncIterator[bytes]:
    """One JSON array, a page at a time."""
    yield b"[" + _items(first)
    empty = not first
    async for page in pages:
        if page:
            yield (b"" if empty else b",") + _items(page)
            empty = False
    yield b"]"


def _items(page: Sequence[Subject]) -> bytes:
    return json_bytes([subject_json(one) for one in page])[1:-1]


COLLECTION = Resource("/api/v1/subjects", {"POST": upsert, "GET": list_subjects})
ITEM = Resource("/api/v1/subjects/{subject}", {"GET": read, "DELETE": delete})
