"""A row of usage: everything one minute of one meter, subject and group adds up to.

Rows merge: two rows over different events give the row over all of them, in any order.
"""

from collections.abc import Callable
from decimal import (
    Clamped,
    Context,
    Decimal,
    DivisionByZero,
    Inexact,
    InvalidOperation,
    Overflow,
    Underflow,
)
from fractions import Fraction
from typing import Any, NamedTuple

Exact = int | Decimal
"""A number inside the exact lane: |v| < 10^28 and at most 38 fraction digits."""

Number = Exact | float
"""A number as counted: exact, or a float when the exact lane cannot hold it."""


EXACT = Context(
    prec=76,
    Emin=-999_999,
    Emax=999_999,
    traps=[Clamped, DivisionByZero, Inexact, InvalidOperation, Overflow, Underflow],
)
"""Arithmetic that raises rather than rounds."""


class Latest(NamedTuple):
    """The numeric value with the greatest (event second, position)."""

    second: int
    position: int
    value: Number


class Row(NamedTuple):
    """What the events of one row key add up to (docs/internals.md, "Row of usage")."""

    epoch: int
    position: int
    count: int  # type: ignore[assignment]  # hides tuple.count, which nothing here needs
    numeric: int = 0
    total: Exact = 0
    outside: float | None = None
    least: Number | None = None
    most: Number | None = None
    latest: Latest | None = None


def merge(a: Row, b: Row) -> Row:
    """The row over the events of both; associative and commutative (but for the rounding of `outside`)."""
    return Row(
        min(a.epoch, b.epoch),
        max(a.position, b.position),
        a.count + b.count,
        a.numeric + b.numeric,
        add(a.total, b.total),
        _sum(a.outside, b.outside),
        _pick(min, a.least, b.least),
        _pick(max, a.most, b.most),
        _pick(max, a.latest, b.latest),
    )


def add(a: Exact, b: Exact) -> Exact:
    """The exact sum; raises decimal.Inexact rather than round."""
    if type(a) is int and type(b) is int:
        return a + b
    return EXACT.add(a, b)


def total_of(row: Row) -> Number:
    """The sum of the row's numbers: exact unless some of them were outside the exact lane."""
    return row.total if row.outside is None else float(row.total) + row.outside


def mean_of(row: Row) -> Number:
    """The mean of the row's numbers, rounded once, to a double."""
    if row.outside is not None:
        return (float(row.total) + row.outside) / row.numeric
    return float(Fraction(row.total) / row.numeric)


def _sum(a: float | None, b: float | None) -> float | None:
    if a is None or b is None:
        return a if b is None else b
    return a + b


def _pick(choose: Callable[[Any, Any], Any], a: Any, b: Any) -> Any:
    if a is None or b is None:
        return a if b is None else b
    return choose(a, b)
