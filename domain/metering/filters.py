"""Filters on text and on time, as values: parsed by `api`, made SQL by `connectors/clickhouse`, run here on events."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

T = TypeVar("T")


class TextOp(StrEnum):
    """Operators of a text filter; `like` is SQL's LIKE (`%`, `_`, backslash escapes), `ilike` ignores case."""

    EQ = "$eq"
    NE = "$ne"
    IN = "$in"
    NIN = "$nin"
    LIKE = "$like"
    NLIKE = "$nlike"
    ILIKE = "$ilike"
    NILIKE = "$nilike"
    GT = "$gt"
    GTE = "$gte"
    LT = "$lt"
    LTE = "$lte"


@dataclass(frozen=True, slots=True)
class TextTest:
    """One operator on one text; `operand` is a tuple for IN and NIN only. An empty IN matches nothing."""

    op: TextOp
    operand: str | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TimeTest:
    """`op` is one of GT, GTE, LT, LTE; `at_ms` is Unix milliseconds."""

    op: TextOp
    at_ms: int


@dataclass(frozen=True, slots=True)
class AllOf(Generic[T]):
    """Every filter holds; an empty one holds always."""

    filters: tuple[T | AllOf[T] | AnyOf[T], ...]


@dataclass(frozen=True, slots=True)
class AnyOf(Generic[T]):
    """At least one filter holds."""

    filters: tuple[T | AllOf[T] | AnyOf[T], ...]


TextFilter = TextTest | AllOf[TextTest] | AnyOf[TextTest]
TimeFilter = TimeTest | AllOf[TimeTest] | AnyOf[TimeTest]
