"""Usage of some subjects by minute: rows that add up to what a balance burns.

Rows are absolute: of two with the same key the one with the greater position holds the events of the other. Rows with
different epochs are over different events. Source: docs/internals.md, "Row of usage".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from domain.metering.meter import Aggregation
from domain.metering.rows import Row


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


def quantity(row: Row, aggregation: Aggregation) -> Decimal:
    """What a row adds to a balance of SUM or COUNT. A sum outside the exact lane is the decimal that its double prints as."""
    if aggregation is Aggregation.COUNT:
        return Decimal(row.count)
    if row.outside is None:
        return row.total if isinstance(row.total, Decimal) else Decimal(row.total)
    return Decimal(repr(float(row.total) + row.outside))
