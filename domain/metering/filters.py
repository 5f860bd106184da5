"""Filters on text and on time, as values: parsed by `api`, made SQL by `connectors/clickhouse`, run here on events."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any, Generic, TypeVar

from domain.errors import Refused

T = TypeVar("T")

PATTERN_LENGTH_MAX = 4_096
"""Characters of a LIKE pattern: the time to match grows with the pattern times the text."""


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


_PATTERNS = frozenset((TextOp.LIKE, TextOp.NLIKE, TextOp.ILIKE, TextOp.NILIKE))


@dataclass(frozen=True, slots=True)
class TextTest:
    """One operator on one text; `operand` is a tuple for IN and NIN only. An empty IN matches nothing."""

    op: TextOp
    operand: str | tuple[str, ...]

    def __post_init__(self) -> None:
        if self.op in _PATTERNS and len(self.operand) > PATTERN_LENGTH_MAX:
            raise Refused(
                "pattern_too_long",
                f"a pattern has at most {PATTERN_LENGTH_MAX} characters, not {len(self.operand)}",
            )


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


def time_matches(test: TimeFilter, at_ms: int) -> bool:
    """Whether the moment `at_ms` (Unix milliseconds) passes."""
    match test:
        case AllOf(filters):
            return all(time_matches(inner, at_ms) for inner in filters)
        case AnyOf(filters):
            return any(time_matches(inner, at_ms) for inner in filters)
        case TimeTest(op, bound_ms):
            return _COMPARES[op](at_ms, bound_ms)


def _test(op: TextOp, operand: str | tuple[str, ...], text: str) -> bool:
    if isinstance(operand, tuple):
        return (text in operand) is (op is TextOp.IN)
    if op in _COMPARES:
        return _COMPARES[op](text.encode(), operand.encode())
    matched = bool(_like(operand, op in (TextOp.ILIKE, TextOp.NILIKE)).match(text))
    return matched is (op in (TextOp.LIKE, TextOp.ILIKE))


_COMPARES: dict[TextOp, Callable[[Any, Any], bool]] = {
    TextOp.EQ: operator.eq,
    TextOp.NE: operator.ne,
    TextOp.GT: operator.gt,
    TextOp.GTE: operator.ge,
    TextOp.LT: operator.lt,
    TextOp.LTE: operator.le,
}


def closed_pattern(pattern: str) -> str:
    """A LIKE pattern that ends in half an escape, with that backslash doubled: ClickHouse refuses the half."""
    backslashes = len(pattern) - len(pattern.rstrip("\\"))
    return pattern + "\\" if backslashes % 2 else pattern


@lru_cache(maxsize=1024)
def _like(pattern: str, ignore_case: bool) -> re.Pattern[str]:
    """LIKE as ClickHouse has it. Each stretch between two % is taken where it fits first and kept, so time stays linear."""
    stretches = [""]
    for part in _LIKE_PARTS.findall(pattern):
        if part == "%":
            stretches.append("")
        else:
            stretches[-1] += "." if part == "_" else _letter(part[-1], ignore_case)
    first, *middle = stretches
    last = ".*" + middle.pop() if middle else ""
    kept = "".join(f"(?>.*?{stretch})" for stretch in middle)
    return re.compile(f"{first}{kept}{last}\\Z", re.DOTALL | (re.IGNORECASE if ignore_case else 0))


_LIKE_PARTS = re.compile(r"\\[%_\\]|.", re.DOTALL)


def _letter(letter: str, ignore_case: bool) -> str:
    """A literal; Python takes the Turkish dotted and dotless i for forms of i, ClickHouse does not."""
    if ignore_case and letter in "iI":
        return "(?-i:[iI])"
    if ignore_case and letter in "\u0130\u0131":
        return f"(?-i:{letter})"
    return re.escape(letter)
