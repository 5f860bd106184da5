"""A row of usage: everything one minute of one meter, subject and group adds up to.

Rows merge: two rows over different events give the row over all of them, in any order.
"""

from decimal import Decimal
from typing import NamedTuple

Exact = int | Decimal
"""A number inside the exact lane: |v| < 10^28 and at most 38 fraction digits."""

Number = Exact | float
"""A number as counted: exact, or a float when the exact lane cannot hold it."""


class Latest(NamedTuple):
    """The numeric value with the greatest (event second, position)."""

    second: int
    position: int
    value: Number


class Row(NamedTuple):
    """What the events of one row key add up to (docs/internals.md, "Row of usage")."""

    epoch: int
    position: int
    count: int
    numeric: int = 0
    total: Exact = 0
    outside: float | None = None
    least: Number | None = None
    most: Number | None = None
    latest: Latest | None = None
