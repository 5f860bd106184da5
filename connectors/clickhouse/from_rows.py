"""Parts of an answer from rows of usage, as they stood at one moment of every partition.

Rows are absolute: the newest one of a key may hold events that reads may not see yet, because its block is under way. Such
a row is left out and named, so that its events are folded instead. One statement reads a table once, from one state of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from connectors.clickhouse.aggregates import COLUMNS, NEEDED
from connectors.clickhouse.asking import Asking, Rows, is_seen
from connectors.clickhouse.day_rolls import DAY_S, DayRolls
from connectors.clickhouse.sql import Parameters, between, between_days, is_one_of, text_condition
from connectors.clickhouse.windows import window_expression
from domain.metering.answer import AnswerKey, Part, Plan
from domain.metering.meter import Aggregation
from domain.metering.query import MeterQuery
from domain.metering.rows import Latest, Number, Row

ROLL_READ_S = 300.0
"""A roll may be deleted an hour after another took its place: a question that took longer than this is asked again."""

AHEAD_MAX = 10_000
"""Past so many rows under way it is better to ask again a moment later."""

_MINUTES_WORTH_A_LOOK = 3 * 366 * 1440
# What is filtered by is part of the sorting key, so it may be looked at before rows are replaced.
_SETTINGS = {
    "do_not_merge_across_partitions_select_final": 1,
    "optimize_move_to_prewhere_if_final": 1,
}

RowKey = tuple[int, str, int, tuple[str, ...]]
"""(partition, subject, minute, group values in the order of the meter's sorted keys)."""


@dataclass(frozen=True, slots=True)
class FoundRows:
    """Parts from the rows that may be seen, and the keys whose row may not, with the first position it holds."""

    parts: dict[AnswerKey, Part]
    ahead: dict[RowKey, int]


@dataclass(frozen=True, slots=True)
class _Source:
    """A table's rows that a question is about: the expressions of the answer's key, and the FROM clause."""

    keys: tuple[str, ...]
    rows: str
    parameters: Parameters

    def select(self, columns: str, where: str = "1", *more_keys: str) -> str:
        """A statement that adds up `columns` for each key."""
        keys = (*self.keys, *more_keys)
        group = f" GROUP BY {', '.join(str(i + 1) for i in range(len(keys)))}" if keys else ""
        return f"SELECT {', '.join((*keys, columns))} FROM {self.rows} WHERE {where}{group}"


@dataclass(frozen=True, slots=True)
class _Days:
    """Days that are read from their rolls; what may be seen of every partition."""

    rolls: Mapping[int, int]
    visible: Mapping[int, int]

    @property
    def listed(self) -> str:
        return ", ".join(f"toDate32({day})" for day in self.rolls)

    def select(self, columns: str) -> str:
        """Rows like those of minutes, at a position that may be seen: what is in a roll may be."""
        seen = max(self.visible, key=self.visible.__getitem__)
        return (
            f"SELECT subject, groups, toUInt32({seen}) AS partition, toUInt64(0) AS epoch, toUInt64(0) AS position, "
            f"toInt64(toInt32(day)) * {DAY_S} AS second, first_second, last_second, {columns} FROM usage_days"
        )

    def condition(self, query: MeterQuery) -> str:
        """The rolls' rows; those of all subjects together where nothing is asked about subjects."""
        whole = int(not query.by_subject and not query.subject_filters)
        days: dict[int, list[str]] = {}
        for day, roll in self.rolls.items():
            days.setdefault(roll, []).append(f"toDate32({day})")
        each = [f"(roll = {roll} AND day IN ({', '.join(its)}))" for roll, its in days.items()]
        return f"whole = {whole} AND day IN ({self.listed}) AND ({' OR '.join(each)})"


class RowParts:
    """Adds up stored rows of usage."""

    def __init__(self, asking: Asking) -> None:
        self._asking = asking
        self._rolls = DayRolls(asking)

    def read(self, query: MeterQuery, split: Plan, visible: Mapping[int, int]) -> FoundRows | None:
        """The parts of the whole minutes; None when too many rows are under way."""
        if not split.rows:
            return FoundRows({}, {})
        began = time.monotonic()
        days = self._rolls.usable(query, split, visible)
        source = self._source("usage", query, split, _Days(days, visible))
        columns = (
            f"min(first_second), max(last_second), sum(count), {NEEDED[query.meter.aggregation]}"
        )
        rows = self._rows(source.select(f"max(NOT {is_seen(visible)}), {columns}"), source)
        if days and time.monotonic() - began > ROLL_READ_S:
            return None
        width = len(source.keys)
        if not any(row[width] for row in rows):
            return FoundRows(_parts(query, rows, width + 1), {})
        statement = source.select(f"{_AHEAD}, {columns}", "1", f"NOT {is_seen(visible)} AS ahead")
        rows = self._rows(statement, source)
        if days and time.monotonic() - began > ROLL_READ_S:
            return None
        found = FoundRows(_parts(query, [row for row in rows if not row[width]], width + 2), {})
        for row in rows:
            if row[width]:
                _note_ahead(row[width + 1], found.ahead)
        return None if len(found.ahead) >= AHEAD_MAX else found

    def add_distinct(
        self,
        query: MeterQuery,
        split: Plan,
        visible: Mapping[int, int],
        parts: Mapping[AnswerKey, Part],
        *,
        as_sets: bool,
    ) -> None:
        """Tell each part how many distinct values it has, or which when they are to be joined with others."""
        if not split.rows:
            return
        source = self._source("uniques", query, split)
        what = "groupUniqArray(hash)" if as_sets else "uniqExact(reinterpretAsUInt128(hash))"
        rows = self._rows(source.select(what, is_seen(visible)), source)
        found = {_key(query, row): row[-1] for row in rows}
        for key, part in parts.items():
            if as_sets:
                part.hashes = set(found.get(key, ()))
            else:
                part.distinct = int(found.get(key, 0))

    def _rows(self, sql: str, source: _Source) -> Rows:
        return self._asking.rows(sql, source.parameters, _SETTINGS)

    def _source(
        self, table: str, query: MeterQuery, split: Plan, days: _Days | None = None
    ) -> _Source:
        """Rows of the whole minutes that pass the filters. Uniques are a set: there a repeated row changes nothing."""
        parameters = Parameters()
        start = None if split.first_minute is None else split.first_minute * 60
        end = None if split.end_minute is None else split.end_minute * 60
        filters = self._filters(query, parameters)
        where = [
            *filters,
            between("minute", start, end),
            between_days("toDate32(minute)", start, end),
        ]
        if table == "uniques":
            rows = f"(SELECT *, toUnixTimestamp64Second(minute) AS second FROM uniques WHERE {' AND '.join(where)})"
            return _Source(self._keys(query, split, rows, parameters), rows, parameters)
        columns = ", ".join(COLUMNS[query.meter.aggregation])
        rows = (
            "SELECT subject, groups, partition, epoch, position, toUnixTimestamp64Second(minute) AS second, "
            f"second AS first_second, second AS last_second, {columns} FROM usage FINAL WHERE "
        )
        if days is not None and days.rolls:
            where.append(f"toDate32(minute) NOT IN ({days.listed})")
            topic = f"topic = {parameters.text(self._asking.topic)}"
            added_up = " AND ".join((*filters, topic, days.condition(query)))
            rows = (
                f"({rows}{' AND '.join(where)} UNION ALL {days.select(columns)} WHERE {added_up})"
            )
        else:
            rows = f"({rows}{' AND '.join(where)})"
        return _Source(self._keys(query, split, rows, parameters), rows, parameters)

    def _filters(self, query: MeterQuery, parameters: Parameters) -> list[str]:
        """Conditions on columns that minutes, days and distinct values all have."""
        where = [self._asking.of_meter(query.meter, parameters)]
        if query.subjects is not None:
            where.append(is_one_of("subject", query.subjects, parameters))
        where += [text_condition("subject", test, parameters) for test in query.subject_filters]
        keys = sorted(query.meter.group_by)
        where += [
            text_condition(_group(keys, key), test, parameters) for key, test in query.group_filters
        ]
        return where

    def _keys(
        self, query: MeterQuery, split: Plan, rows: str, parameters: Parameters
    ) -> tuple[str, ...]:
        """Window, subject and groups, those that are asked for."""
        found = []
        if query.window_size is not None:
            found.append(
                window_expression(
                    query.window_size,
                    query.zone,
                    lambda: _asked_bounds(split) or self._second_bounds(rows, parameters),
                    parameters,
                )
            )
        if query.by_subject:
            found.append("subject")
        elif query.customers is not None:
            found.append(_customer(query.customers, parameters))
        keys = sorted(query.meter.group_by)
        return (*found, *(_group(keys, key) for key in query.group_by))

    def _second_bounds(self, rows: str, parameters: Parameters) -> tuple[int, int] | None:
        ((first, last, count),) = self._asking.rows(
            f"SELECT min(second), max(second), count() FROM {rows}", parameters, _SETTINGS
        )
        return (int(first), int(last)) if count else None


_AHEAD = f"groupArrayIf({AHEAD_MAX})(tuple(partition, subject, second, groups, epoch), ahead)"


def _parts(query: MeterQuery, rows: Rows, skipped: int) -> dict[AnswerKey, Part]:
    """Parts by key; `skipped` columns come before the sums. Without keys there is a row even when it is about nothing."""
    read = _READ[query.meter.aggregation]
    parts = {}
    for row in rows:
        first, last, count, *needed = row[skipped:]
        if count:
            added = read(Row(0, 0, int(count)), *needed)
            parts[_key(query, row)] = Part(added, int(first) // 60, int(last) // 60)
    return parts


def _with_count(row: Row, _: int) -> Row:
    return row


def _with_sum(row: Row, numeric: int, total: Decimal, outside: float | None) -> Row:
    return row._replace(numeric=int(numeric), total=total, outside=outside)


def _with_least(row: Row, numeric: int, exact: Decimal | None, floating: float | None) -> Row:
    return row._replace(numeric=int(numeric), least=_either(min, exact, floating))


def _with_most(row: Row, numeric: int, exact: Decimal | None, floating: float | None) -> Row:
    return row._replace(numeric=int(numeric), most=_either(max, exact, floating))


def _with_latest(row: Row, numeric: int, latest: Sequence[Any]) -> Row:
    second, position, exact, floating = latest
    value = floating if exact is None else exact
    if second is None or value is None:
        return row
    return row._replace(numeric=int(numeric), latest=Latest(int(second), int(position), value))


_READ: dict[Aggregation, Callable[..., Row]] = {
    Aggregation.COUNT: _with_count,
    Aggregation.UNIQUE_COUNT: _with_count,
    Aggregation.SUM: _with_sum,
    Aggregation.AVG: _with_sum,
    Aggregation.MIN: _with_least,
    Aggregation.MAX: _with_most,
    Aggregation.LATEST: _with_latest,
}


def _either(choose: Any, exact: Number | None, floating: float | None) -> Number | None:
    if exact is None or floating is None:
        return floating if exact is None else exact
    found: Number = choose(exact, floating)
    return found


def _key(query: MeterQuery, row: Sequence[Any]) -> AnswerKey:
    values = iter(row)
    window = int(next(values)) if query.window_size is not None else None
    apart = query.by_subject or query.customers is not None
    subject = next(values) if apart else None
    return AnswerKey(window, subject, tuple(next(values) for _ in query.group_by))


def _customer(customers: Mapping[str, str], parameters: Parameters) -> str:
    """The customer of a row's subject, which is one of these."""
    subjects, owners = (parameters.texts(found) for found in (customers, customers.values()))
    return f"transform(subject, {subjects}, {owners}, '')"


def _group(keys: Sequence[str], key: str) -> str:
    return f"groups[{keys.index(key) + 1}]"


def _asked_bounds(split: Plan) -> tuple[int, int] | None:
    """The first and last second asked for, unless looking at the rows is worth it."""
    if split.first_minute is None or split.end_minute is None:
        return None
    if split.end_minute - split.first_minute > _MINUTES_WORTH_A_LOOK:
        return None
    return split.first_minute * 60, split.end_minute * 60 - 60


def _note_ahead(rows: Rows, ahead: dict[RowKey, int]) -> None:
    for partition, subject, second, groups, epoch in rows:
        key = (int(partition), subject, int(second) // 60, tuple(groups))
        ahead[key] = min(ahead.get(key, int(epoch)), int(epoch))
