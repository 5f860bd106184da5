"""Filters as v1 writes them, into filters as the rules know them. Source: metering §1.7, §11.6."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, TypeVar, cast

import msgspec

from api.times import Time, unix_ms, unix_s
from domain.errors import Refused
from domain.metering.filters import (
    AllOf,
    AnyOf,
    TextFilter,
    TextOp,
    TextTest,
    TimeFilter,
    TimeTest,
)

_Ulid = Annotated[str, msgspec.Meta(pattern=r"^[0-7][0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{25}\Z")]
_T = TypeVar("_T", bound=msgspec.Struct)
_F = TypeVar("_F")


class StringFilter(msgspec.Struct, frozen=True):
    """One operator on a text; null is as if it were left out, and unknown operators are ignored."""

    eq: str | None = msgspec.field(default=None, name="$eq")
    ne: str | None = msgspec.field(default=None, name="$ne")
    in_: list[str] | None = msgspec.field(default=None, name="$in")
    nin: list[str] | None = msgspec.field(default=None, name="$nin")
    like: str | None = msgspec.field(default=None, name="$like")
    nlike: str | None = msgspec.field(default=None, name="$nlike")
    ilike: str | None = msgspec.field(default=None, name="$ilike")
    nilike: str | None = msgspec.field(default=None, name="$nilike")
    gt: str | None = msgspec.field(default=None, name="$gt")
    gte: str | None = msgspec.field(default=None, name="$gte")
    lt: str | None = msgspec.field(default=None, name="$lt")
    lte: str | None = msgspec.field(default=None, name="$lte")
    and_: list[StringFilter] | None = msgspec.field(default=None, name="$and")
    or_: list[StringFilter] | None = msgspec.field(default=None, name="$or")


class WhenFilter(msgspec.Struct, frozen=True):
    """One operator on a time."""

    gt: Time | None = msgspec.field(default=None, name="$gt")
    gte: Time | None = msgspec.field(default=None, name="$gte")
    lt: Time | None = msgspec.field(default=None, name="$lt")
    lte: Time | None = msgspec.field(default=None, name="$lte")
    and_: list[WhenFilter] | None = msgspec.field(default=None, name="$and")
    or_: list[WhenFilter] | None = msgspec.field(default=None, name="$or")


class IdFilter(msgspec.Struct, frozen=True):
    """Ids; everything but `$in` is ignored."""

    in_: list[_Ulid] | None = msgspec.field(default=None, name="$in")


def text_filter(given: StringFilter, field: str, *, depth: int = 1) -> TextFilter | None:
    """The filter, or None when it asks for nothing. Refused: two operators, an empty operand, nesting below `$and`."""
    operator = _only_operator(given, field)
    if operator is None:
        return None
    operand = getattr(given, operator)
    if operator in _JOINS:
        parts = [text_filter(one, field, depth=depth - 1) for one in _inner(operand, field, depth)]
        return cast("TextFilter | None", _joined(operator, [p for p in parts if p is not None]))
    if isinstance(operand, list):
        return TextTest(TextOp(f"${operator.rstrip('_')}"), tuple(operand))
    if not operand:
        raise Refused("invalid_filter", f"the operand of ${operator} is empty", field)
    return TextTest(TextOp(f"${operator}"), operand)


def time_filter(
    given: WhenFilter, field: str, *, whole_seconds: bool, depth: int = 1
) -> TimeFilter | None:
    """As `text_filter`; bounds are cut to whole seconds, or to milliseconds."""
    operator = _only_operator(given, field)
    if operator is None:
        return None
    operand = getattr(given, operator)
    if operator in _JOINS:
        parts = [
            time_filter(one, field, whole_seconds=whole_seconds, depth=depth - 1)
            for one in _inner(operand, field, depth)
        ]
        return cast("TimeFilter | None", _joined(operator, [p for p in parts if p is not None]))
    return TimeTest(TextOp(f"${operator}"), bound_ms(operand, whole_seconds=whole_seconds))


def bound_ms(at: datetime, *, whole_seconds: bool) -> int:
    """A bound in Unix milliseconds, cut."""
    return unix_s(at) * 1000 if whole_seconds else unix_ms(at)


_JOINS = ("and_", "or_")


def _only_operator(given: msgspec.Struct, field: str) -> str | None:
    found = [name for name in given.__struct_fields__ if getattr(given, name) is not None]
    if len(found) > 1:
        raise Refused("invalid_filter", "one operator a filter", field)
    return found[0] if found else None


def _inner(operand: Sequence[_T], field: str, depth: int) -> Sequence[_T]:
    if depth <= 0:
        raise Refused("invalid_filter", "$and and $or nest one level deep", field)
    return operand


def _joined(operator: str, parts: Sequence[_F]) -> AllOf[_F] | AnyOf[_F] | None:
    if not parts:
        return None
    return AllOf(tuple(parts)) if operator == "and_" else AnyOf(tuple(parts))
