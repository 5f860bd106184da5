"""Usage of some subjects by minute: rows that add up to what a balance burns.

Rows are absolute: of two with the same key the one with the greater position holds the events of the other. Rows with
different epochs are over different events. Source: docs/internals.md, "Row of usage".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Context, Decimal
from math import isnan
from typing import NamedTuple

from domain.metering.meter import Aggregation
from domain.metering.rows import Number, Row


class SeriesRow(NamedTuple):
    """One row. `values`: of UNIQUE_COUNT, the 128-bit hashes of its values; of others empty.

    `partition` is the source partition, which the subject decides; `row.epoch` tells rows of one minute apart.
    """

    subject: str
    minute: int
    groups: tuple[str, ...]
    partition: int
    row: Row
    values: frozenset[bytes] = frozenset()


@dataclass(frozen=True, slots=True)
class Series:
    """All events of the subjects below the positions in `visible` (by source partition), and none of the others."""

    rows: tuple[SeriesRow, ...]
    visible: Mapping[int, int]


_MOST = Decimal(10) ** 28 - 1
_DIGITS = Decimal(1).scaleb(-38)
_ROUNDING = Context(prec=76)


def quantity(row: Row, aggregation: Aggregation) -> Decimal:
    """What a row adds to a balance of SUM or COUNT; a sum outside the exact lane is the nearest quantity."""
    if aggregation is Aggregation.COUNT:
        return Decimal(row.count)
    if row.outside is None:
        return row.total if isinstance(row.total, Decimal) else Decimal(row.total)
    return nearest(float(row.total) + row.outside)


def nearest(number: Number) -> Decimal:
    """A number as credit counts it: one that the exact lane cannot hold is the nearest that it can, so that sums never round.

    The decimal that a double prints as, cut to 38 fraction digits and to less than 10^28; what is no number is 0.
    """
    if not isinstance(number, float):
        return number if isinstance(number, Decimal) else Decimal(number)
    if isnan(number):
        return Decimal(0)
    if abs(number) >= _MOST:
        return _MOST.copy_sign(Decimal(number))
    return Decimal(repr(number)).quantize(_DIGITS, context=_ROUNDING).normalize(_ROUNDING)
