"""The filters of a feature, as tests on the group values of its meter. Source: metering §4."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from domain.errors import Refused
from domain.metering.filters import AllOf, AnyOf, TextFilter, TextOp, TextTest

_LISTS = frozenset((TextOp.IN, TextOp.NIN))
_JOINS = ("$and", "$or")
DEPTH_MAX = 8
"""How deep `$and` and `$or` may stand in each other; what the API takes is not this deep."""


def group_filters(filters: Mapping[str, Any]) -> tuple[tuple[str, TextFilter], ...]:
    """The tests by group key, in the order of the keys; `filters` has the form of the API: `{"model": {"$eq": "gpt-4"}}`.

    All must hold; a missing group value is the text "". A filter without an operator asks for nothing and is left out.
    A group key called `subject` stands for the event's subject, as in questions to a meter (metering §11.10).
    Refused when a filter has two operators, one that is unknown, or an operand of the wrong kind.
    """
    found = ((key, text_filter(given, key)) for key, given in sorted(filters.items()))
    return tuple((key, test) for key, test in found if test is not None)


def text_filter(given: Any, key: str, depth: int = DEPTH_MAX) -> TextFilter | None:
    """One filter in the form of the API; None when it asks for nothing. Refused."""
    if not isinstance(given, Mapping) or depth <= 0:
        raise _refused(key, "is no filter" if depth > 0 else "is nested too deep")
    operators = {op: operand for op, operand in given.items() if operand is not None}
    if not operators:
        return None
    if len(operators) > 1:
        raise _refused(key, "has more than one operator")
    [(op, operand)] = operators.items()
    return _joined(op, operand, key, depth) if op in _JOINS else _test(op, operand, key)


def _joined(op: str, operand: Any, key: str, depth: int) -> TextFilter | None:
    if not isinstance(operand, list | tuple):
        raise _refused(key, f"has {op} without a list")
    inner = [text_filter(each, key, depth - 1) for each in operand]
    parts = tuple(test for test in inner if test is not None)
    if not parts:
        return None
    return AllOf(parts) if op == "$and" else AnyOf(parts)


def _test(name: str, operand: Any, key: str) -> TextTest:
    try:
        op = TextOp(name)
    except ValueError:
        raise _refused(key, f"has an unknown operator {name[:40]!r}") from None
    if op not in _LISTS and isinstance(operand, str):
        return TextTest(op, operand)
    if op in _LISTS and _are_texts(operand):
        return TextTest(op, tuple(operand))
    raise _refused(key, f"has {name} with an operand of the wrong kind")


def _are_texts(operand: Any) -> bool:
    return isinstance(operand, list | tuple) and all(isinstance(each, str) for each in operand)


def _refused(key: str, what: str) -> Refused:
    return Refused("invalid_filter", f"the filter on {key[:100]!r} {what}", key)
