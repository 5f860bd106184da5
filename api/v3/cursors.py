"""Pages by cursor: after one item, or before one. Source: metering §0.4; v3's `page[size]`, `page[after]`, `page[before]`."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeVar

import msgspec
from starlette.requests import Request

from api.v3.problem import InvalidParameters
from domain.metering.ulid import is_ulid

T = TypeVar("T")

SIZE = 100
SIZE_MAX = 100
_Size = Annotated[int, msgspec.Meta(ge=1, le=SIZE_MAX)]


@dataclass(frozen=True, slots=True)
class Page:
    """At most `size` items, those after or before an id; the first ones without either."""

    size: int = SIZE
    after: str | None = None
    before: str | None = None


@dataclass(frozen=True, slots=True)
class Part(Generic[T]):
    """The items of a page, and `meta` of the answer."""

    items: Sequence[T]
    meta: dict[str, Any]


def page_of(request: Request) -> Page:
    """What the query string asks for. Refused."""
    given = request.query_params
    after, before = _cursor(given, "page[after]"), _cursor(given, "page[before]")
    if after is not None and before is not None:
        raise _invalid("page[before]", "give page[after] or page[before], not both")
    return Page(_size(given.get("page[size]")), after, before)


def part_of(items: Sequence[T], page: Page, id_of: Callable[[T], str]) -> Part[T]:
    """The page of `items`, which are sorted by id."""
    ids = [id_of(item) for item in items]
    if page.before is not None:
        stop = sum(id_ < page.before for id_ in ids)
        start = max(0, stop - page.size)
    else:
        start = 0 if page.after is None else sum(id_ <= page.after for id_ in ids)
        stop = min(len(items), start + page.size)
    meta: dict[str, Any] = {"size": page.size, "next": None, "previous": None}
    if start < stop:
        first, last = _encoded(ids[start]), _encoded(ids[stop - 1])
        meta |= {"first": first, "last": last}
        meta["next"] = last if stop < len(items) else None
        meta["previous"] = first if start > 0 else None
    return Part(items[start:stop], {"page": meta})


def _size(text: str | None) -> int:
    if text is None:
        return SIZE
    try:
        return msgspec.convert(text, _Size, strict=False)
    except msgspec.ValidationError:
        raise _invalid("page[size]", f"a page has 1 to {SIZE_MAX} items") from None


def _encoded(id_: str) -> str:
    return base64.urlsafe_b64encode(id_.encode()).decode().rstrip("=")


def _cursor(given: Any, name: str) -> str | None:
    text = given.get(name)
    if text is None:
        return None
    try:
        id_ = base64.b64decode(
            text + "=" * (-len(text) % 4), altchars=b"-_", validate=True
        ).decode()
    except (binascii.Error, ValueError):
        id_ = ""
    if not is_ulid(id_):
        raise _invalid(name, "not a cursor that an answer gave")
    return id_


def _invalid(field: str, reason: str) -> InvalidParameters:
    return InvalidParameters(reason, field, source="query")
