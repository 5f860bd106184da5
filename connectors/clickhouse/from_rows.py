"""Parts of an answer from rows of usage, as they stood at one moment of every partition.

Rows are absolute: the newest one of a key may hold events that reads may not see yet, because its block is under way. Such
a row is left out and named, so that its events are folded instead. One statement reads a table once, from one state of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from connectors.clickhouse.asking import Asking, Rows, is_seen
from connectors.clickhouse.sql import Parameters, between, is_one_of, text_condition
from connectors.clickhouse.windows import window_expression
from domain.metering.answer import AnswerKey, Part, Plan
from domain.metering.meter import Aggregation
from domain.metering.query import MeterQuery
from domain.metering.rows import Latest, Number, Row

AHEAD_MAX = 10_000
"""Past so many rows under way it is better to ask again a moment later."""

_MINUTES_WORTH_A_LOOK = 3 * 366 * 1440
_SETTINGS = {"do_not_merge_across_partitions_select_final": 1}

RowKey = tuple[int, str, int, tuple[str, ...]]
"""(partition, subject, minute, group values in the order of the meter's sorted keys)."""

# What an aggregation needs of a row beyond its count: the row's other columns are not read.
_SUM = "sum(numeric), sum(total), sumOrNull(outside), NULL, NULL, NULL, NULL, NULL"
_LEAST = "sum(numeric), 0, NULL, min(least), min(least_outside), NULL, NULL, NULL"
_MOST = "sum(numeric), 0, NULL, NULL, NULL, max(most), max(most_outside), NULL"
_LATEST = (
    "sum(numeric), 0, NULL, NULL, NULL, NULL, NULL, "
    "argMax(tuple(latest_time, latest_position, latest, latest_outside), tuple(ifNull(latest_time, -1), "
    "ifNull(latest_position, 0), ifNull(latest_outside, toFloat64(ifNull(latest, 0))), ifNull(latest, 0)))"
)
_COUNT = "0, 0, NULL, NULL, NULL, NULL, NULL, NULL"
_NEEDED = {
    Aggregation.COUNT: _COUNT,
    Aggregation.UNIQUE_COUNT: _COUNT,
    Aggregation.SUM: _SUM,
    Aggregation.AVG: _SUM,
    Aggregation.MIN: _LEAST,
    Aggregation.MAX: _MOST,
    Aggregation.LATEST: _LATEST,
}


@dataclass(frozen=True, slots=True)
class FoundRows:
    """Parts from the rows that may be seen, and the keys whose row may not, with the first position it holds."""

    parts: dict[AnswerKey, Part]
    ahead: dict[RowKey, int]


class RowParts:
    """Adds up stored rows of usage."""

    def __init__(self, asking: Asking) -> None:
        self._asking = asking

    def read(self, query: MeterQuery, split: Plan, visible: Mapping[int, int]) -> FoundRows | None:
        """The parts of the whole minutes; None when too many rows are under way."""
        if not split.rows:
            return FoundRows({}, {})
        parameters = Parameters()
        source = self._source("usage", query, split, parameters)
        rows = self._asking.rows(
            f"SELECT {self._keys(query, split, source, parameters)}, NOT ({is_seen(visible)}) AS ahead, "
            f"min(second), max(second), sum(count), {_NEEDED[query.meter.aggregation]}, "
            f"groupArrayIf({AHEAD_MAX})(tuple(partition, subject, second, groups, epoch), ahead) "
            f"FROM {source} GROUP BY w, s, g, ahead",
            parameters,
            _SETTINGS,
        )
        parts: dict[AnswerKey, Part] = {}
        ahead: dict[RowKey, int] = {}
        for row in rows:
            if row[3]:
                _note_ahead(row[-1], ahead)
                if len(ahead) >= AHEAD_MAX:
                    return None
            else:
                parts[_key(query, row)] = _part(row)
        return FoundRows(parts, ahead)

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
        parameters = Parameters()
        source = self._source("uniques", query, split, parameters)
        what = "groupUniqArray(hash)" if as_sets else "uniqExact(hash)"
        found = {
            _key(query, row): row[3]
            for row in self._asking.rows(
                f"SELECT {self._keys(query, split, source, parameters)}, {what} FROM {source} "
                f"WHERE {is_seen(visible)} GROUP BY w, s, g",
                parameters,
            )
        }
        for key, part in parts.items():
            if as_sets:
                part.hashes = set(found.get(key, ()))
            else:
                part.distinct = int(found.get(key, 0))

    def _source(self, table: str, query: MeterQuery, split: Plan, parameters: Parameters) -> str:
        """Rows of the whole minutes that pass the filters. Uniques are a set: there a repeated row changes nothing."""
        start = None if split.first_minute is None else split.first_minute * 60
        end = None if split.end_minute is None else split.end_minute * 60
        where = [
            f"namespace = {parameters.text(self._asking.namespace)}",
            f"meter = {parameters.text(query.meter.id)}",
            f"version = {int(query.meter.version)}",
            between("minute", start, end),
        ]
        if query.subjects is not None:
            where.append(is_one_of("subject", query.subjects, parameters))
        where += [text_condition("subject", test, parameters) for test in query.subject_filters]
        keys = sorted(query.meter.group_by)
        where += [
            text_condition(f"groups[{keys.index(key) + 1}]", test, parameters)
            for key, test in query.group_filters
        ]
        final = " FINAL" if table == "usage" else ""
        return f"(SELECT *, toUnixTimestamp64Second(minute) AS second FROM {table}{final} WHERE {' AND '.join(where)})"

    def _keys(self, query: MeterQuery, split: Plan, source: str, parameters: Parameters) -> str:
        """Window, subject and groups as the columns w, s, g."""
        keys = sorted(query.meter.group_by)
        groups = ", ".join(f"groups[{keys.index(key) + 1}]" for key in query.group_by)
        subject = "subject" if query.by_subject else "''"
        window = "0"
        if query.window_size is not None:
            window = window_expression(
                query.window_size,
                query.zone,
                lambda: _asked_bounds(split) or self._second_bounds(source, parameters),
                parameters,
            )
        return f"{window} AS w, {subject} AS s, [{groups}]::Array(String) AS g"

    def _second_bounds(self, source: str, parameters: Parameters) -> tuple[int, int] | None:
        ((first, last, count),) = self._asking.rows(
            f"SELECT min(second), max(second), count() FROM {source}", parameters
        )
        return (int(first), int(last)) if count else None


def _asked_bounds(split: Plan) -> tuple[int, int] | None:
    """The first and last second asked for, when that is no longer than a look at the rows is worth."""
    if split.first_minute is None or split.end_minute is None:
        return None
    if split.end_minute - split.first_minute > _MINUTES_WORTH_A_LOOK:
        return None
    return split.first_minute * 60, split.end_minute * 60 - 60


def _note_ahead(rows: Rows, ahead: dict[RowKey, int]) -> None:
    for partition, subject, second, groups, epoch in rows:
        key = (int(partition), subject, int(second) // 60, tuple(groups))
        ahead[key] = min(ahead.get(key, int(epoch)), int(epoch))


def _key(query: MeterQuery, row: Sequence[Any]) -> AnswerKey:
    return AnswerKey(
        int(row[0]) if query.window_size is not None else None,
        row[1] if query.by_subject else None,
        tuple(row[2]),
    )


def _part(row: Sequence[Any]) -> Part:
    (first, last, count, numeric, total, outside, least, least_out, most, most_out, latest) = row[
        4:-1
    ]
    added = Row(
        0,
        0,
        int(count),
        int(numeric),
        total,
        outside,
        _either(min, least, least_out),
        _either(max, most, most_out),
        None if latest is None else _latest(*latest),
    )
    return Part(added, int(first) // 60, int(last) // 60)


def _latest(
    when: int | None, at: int, exact: Number | None, floating: float | None
) -> Latest | None:
    if when is None:
        return None
    value = floating if exact is None else exact
    assert value is not None
    return Latest(int(when), int(at), value)


def _either(choose: Any, exact: Number | None, floating: float | None) -> Number | None:
    if exact is None or floating is None:
        return floating if exact is None else exact
    found: Number = choose(exact, floating)
    return found
