"""Rows of usage out of the columns that an aggregation needs, in the order of `aggregates.COLUMNS`."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from domain.metering.meter import Aggregation
from domain.metering.rows import EXACT, Exact, Latest, Number, Row


def _counted(epoch: int, position: int, count: int) -> Row:
    return Row(epoch, position, int(count))


def _added(
    epoch: int, position: int, count: int, numeric: int, total: Decimal, outside: float | None
) -> Row:
    return Row(epoch, position, int(count), int(numeric), _plain(total), outside)


def _least(epoch: int, position: int, count: int, numeric: int, *lanes: Any) -> Row:
    return Row(epoch, position, int(count), int(numeric), least=_number(*lanes))


def _most(epoch: int, position: int, count: int, numeric: int, *lanes: Any) -> Row:
    return Row(epoch, position, int(count), int(numeric), most=_number(*lanes))


def _latest(
    epoch: int,
    position: int,
    count: int,
    numeric: int,
    second: int | None,
    at: int | None,
    *lanes: Any,
) -> Row:
    number = _number(*lanes)
    latest = None
    if second is not None and at is not None and number is not None:
        latest = Latest(int(second), int(at), number)
    return Row(epoch, position, int(count), int(numeric), latest=latest)


ROW_OF: dict[Aggregation, Any] = {
    Aggregation.COUNT: _counted,
    Aggregation.UNIQUE_COUNT: _counted,
    Aggregation.SUM: _added,
    Aggregation.AVG: _added,
    Aggregation.MIN: _least,
    Aggregation.MAX: _most,
    Aggregation.LATEST: _latest,
}
"""(epoch, position, count, further columns …) to the row."""


def _number(exact: Decimal | None, outside: float | None) -> Number | None:
    return outside if exact is None else _plain(exact)


def _plain(number: Decimal) -> Exact:
    """Without the zeros of the column's 38 digits."""
    whole = int(number)
    return whole if whole == number else number.normalize(EXACT)
