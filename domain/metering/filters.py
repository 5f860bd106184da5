"""Filters on text and on time, as values: parsed by `api`, made SQL by `connectors/clickhouse`, run here on events."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
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


def text_matches(test: TextFilter, text: str) -> bool:
    """Whether `text` passes."""
    match test:
        case AllOf(filters):
            return all(text_matches(inner, text) for inner in filters)
        case AnyOf(filters):
            return any(text_matches(inner, text) for inner in filters)
        case TextTest(op, operand):
            return _test(op, operand, text)


def _test(op: TextOp, operand: str | tuple[str, ...], text: str) -> bool:
    if isinstance(operand, tuple):
        return (text in operand) is (op is TextOp.IN)
    if op in _COMPARES:
        return _COMPARES[op](text.encode(), operand.encode())
    matched = bool(_like(operand, op in (TextOp.ILIKE, TextOp.NILIKE)).match(text))
    return matched is (op in (TextOp.LIKE, TextOp.ILIKE))


_COMPARES: dict[TextOp, Callable[[bytes, bytes], bool]] = {
    TextOp.EQ: operator.eq,
    TextOp.NE: operator.ne,
    TextOp.GT: operator.gt,
    TextOp.GTE: operator.ge,
    TextOp.LT: operator.lt,
    TextOp.LTE: operator.le,
}


@lru_cache(maxsize=1024)
def _like(pattern: str, ignore_case: bool) -> re.Pattern[str]:
    parts = []
    letters = iter(pattern)
    for letter in letters:
        if letter == "%":
            parts.append(".*")
        elif letter == "_":
            parts.append(".")
        elif letter == "\\":
            parts.append(re.escape(next(letters, "\\")))
        else:
            parts.append(re.escape(letter))
    return re.compile("".join(parts) + r"\Z", re.DOTALL | (re.IGNORECASE if ignore_case else 0))
