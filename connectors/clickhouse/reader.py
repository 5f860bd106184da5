"""Answers questions about meters and lists events. The rule is in docs/internals.md, "Rule of a query".

Order of reading is part of correctness: `visible`, then `meter_ranges`, then rows, then events below `visible`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC
from decimal import Decimal
from typing import Any

import msgspec

from connectors.clickhouse.client import Clients
from connectors.clickhouse.sql import Parameters, text_condition
from connectors.clickhouse.windows import window_expression
from domain.metering.answer import AnswerKey, Event, Part, Plan, combine, fold_events, plan, results
from domain.metering.meter import Aggregation, Meter
from domain.metering.query import MeterQuery, ResultRow
from domain.metering.rows import Latest, Number, Row
from schemas.state import value_hash

_decode_data = msgspec.json.Decoder(float_hook=Decimal).decode
_REREADS_MAX = 20
_REREAD_S = 0.025


@dataclass(frozen=True, slots=True)
class _Coverage:
    """What reads may see of each partition, and which positions of it the rows of a meter cover."""

    visible: dict[int, int]
    ranges: dict[int, tuple[int, int | None]]

    def uncovered(self, partition: int) -> str:
        """The condition on `position` of visible events of `partition` that no row covers; "" when there are none."""
        until = self.visible[partition]
        found = self.ranges.get(partition)
        if found is None:
            return f"(partition = {partition} AND position < {until})"
        start, stop = found
        conditions = []
        if start > 0:
            conditions.append(f"position < {min(start, until)}")
        if stop is not None and stop < until:
            conditions.append(f"position >= {stop} AND position < {until}")
        return f"(partition = {partition} AND ({' OR '.join(conditions)}))" if conditions else ""

    def seen(self) -> str:
        """The condition that an event is visible."""
        return (
            "("
            + " OR ".join(f"(partition = {p} AND position < {v})" for p, v in self.visible.items())
            + ")"
        )


class UsageReader:
    """Implements the API's ports MeterUsage and EventStore (see reader_events)."""

    def __init__(self, clients: Clients, *, namespace: str, topic: str, threads: int) -> None:
        self._clients = clients
        self._namespace = namespace
        self._topic = topic
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="clickhouse-reader")
        self._nothing_below: set[tuple[str, int, tuple[tuple[int, int], ...]]] = set()

    async def query(self, query: MeterQuery) -> list[ResultRow]:
        """The answer's rows; Unavailable."""
        return results(query, await self._in_thread(self._parts, query))

    async def subjects(self, meter: Meter, start: int | None, end: int | None) -> list[str]:
        """Distinct subjects of the events of the meter's type, by code point."""
        found: list[str] = await self._in_thread(self._subjects, meter, start, end)
        return found

    async def group_values(
        self, meter: Meter, key: str, start: int | None, end: int | None
    ) -> list[str]:
        """Distinct values of a group key, sorted."""
        counting = replace(meter, aggregation=Aggregation.COUNT, value_property=None)
        query = MeterQuery(meter=counting, start=start, end=end, group_by=(key,))
        parts = await self._in_thread(self._parts, query)
        return sorted({found.groups[0] for found in parts})

    async def answers(self) -> bool:
        """Whether ClickHouse answers."""
        return bool(await self._in_thread(lambda: self._rows("SELECT 1", Parameters())))

    def close(self) -> None:
        """Stop the threads."""
        self._threads.shutdown()

    async def _in_thread(self, call: Any, *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call, *arguments)

    # -- parts of an answer

    def _parts(self, query: MeterQuery) -> dict[AnswerKey, Part]:
        """Rows and events together; when rows are ahead of what events may be seen, read again, then events alone."""
        for _ in range(_REREADS_MAX):
            coverage = self._coverage(query.meter)
            if not coverage.visible:
                return {}
            split = plan(query)
            from_events = self._event_condition(query, coverage, split)
            from_rows, newest = self._row_parts(query, split, with_sets=bool(from_events))
            if not from_events or all(newest.get(p, 0) <= v for p, v in coverage.visible.items()):
                events = self._events(query, from_events) if from_events else []
                return combine([from_rows, fold_events(query, events, value_hash)])
            time.sleep(_REREAD_S)
        condition = coverage.seen() + _between(query.start, query.end)
        return fold_events(query, self._events(query, condition), value_hash)

    def _coverage(self, meter: Meter) -> _Coverage:
        parameters = Parameters()
        topic = parameters.text(self._topic)
        visible = self._rows(
            f"SELECT partition, max(position) FROM visible WHERE topic = {topic} GROUP BY partition",
            parameters,
        )
        parameters = Parameters()
        ranges = self._rows(
            "SELECT partition, from_position, until_position, closed FROM meter_ranges FINAL "
            f"WHERE namespace = {parameters.text(self._namespace)} AND meter = {parameters.text(meter.id)} "
            f"AND version = {parameters.number(meter.version)} AND topic = {parameters.text(self._topic)}",
            parameters,
        )
        return _Coverage(
            {int(p): int(v) for p, v in visible},
            {
                int(p): (int(start), int(until) if closed else None)
                for p, start, until, closed in ranges
            },
        )

    def _event_condition(self, query: MeterQuery, coverage: _Coverage, split: Plan) -> str:
        """Which events must be read; "" when rows answer everything."""
        conditions = [
            f"({coverage.seen()}{_between(edge.start, edge.end)})" for edge in split.edges
        ]
        uncovered = [found for p in coverage.visible if (found := coverage.uncovered(p))]
        if split.rows and uncovered and self._has_uncovered(query.meter, coverage, uncovered):
            start = None if split.first_minute is None else split.first_minute * 60
            end = None if split.end_minute is None else split.end_minute * 60
            conditions.append(f"(({' OR '.join(uncovered)}){_between(start, end)})")
        return "(" + " OR ".join(conditions) + ")" if conditions else ""

    def _has_uncovered(self, meter: Meter, coverage: _Coverage, uncovered: Sequence[str]) -> bool:
        """Whether any event of the type is not covered; remembered once it can no longer change."""
        starts = tuple(
            sorted((p, start) for p, (start, stop) in coverage.ranges.items() if stop is None)
        )
        final = len(starts) == len(coverage.visible) and all(
            coverage.visible[p] >= start for p, start in starts
        )
        known = (meter.id, meter.version, starts)
        if final and known in self._nothing_below:
            return False
        parameters = Parameters()
        found = self._rows(
            f"SELECT 1 FROM events WHERE {self._of_type(meter, parameters)} AND ({' OR '.join(uncovered)}) LIMIT 1",
            parameters,
        )
        if not found and final:
            self._nothing_below.add(known)
        return bool(found)

    def _of_type(self, meter: Meter, parameters: Parameters) -> str:
        return (
            f"namespace = {parameters.text(self._namespace)} AND type = {parameters.text(meter.event_type)} "
            "AND verdict = 'accepted'"
        )

    def _events(self, query: MeterQuery, condition: str) -> list[Event]:
        parameters = Parameters()
        where = [self._of_type(query.meter, parameters), condition]
        if query.subjects is not None:
            where.append(f"has({parameters.texts(query.subjects)}, subject)")
        where += [text_condition("subject", test, parameters) for test in query.subject_filters]
        found = self._rows(
            f"SELECT subject, toUnixTimestamp64Second(time), position, data FROM events FINAL WHERE {' AND '.join(where)}",
            parameters,
        )
        return [Event(s, int(t), int(p), _decode_data(d) if d else None) for s, t, p, d in found]

    # -- rows

    def _row_parts(
        self, query: MeterQuery, split: Plan, *, with_sets: bool
    ) -> tuple[dict[AnswerKey, Part], dict[int, int]]:
        """Parts from rows, and the newest position in them by partition."""
        if not split.rows:
            return {}, {}
        parameters = Parameters()
        source = self._source("usage", query, split, parameters)
        keys = self._keys(query, source, parameters)
        newest = {}
        if with_sets:
            newest = {
                int(p): int(v)
                for p, v in self._rows(
                    f"SELECT partition, max(position) + 1 FROM {source} GROUP BY partition",
                    parameters,
                )
            }
        found = self._rows(
            f"SELECT {keys}, min(minute), max(minute), sum(count), sum(numeric), sum(total), sumOrNull(outside), "
            "min(least), min(least_outside), max(most), max(most_outside), "
            "argMax(tuple(latest_time, latest_position, latest, latest_outside), tuple(ifNull(latest_time, -1), ifNull(latest_position, 0))) "
            f"FROM {source} GROUP BY w, s, g",
            parameters,
        )
        parts = {_key(query, row): _part(row) for row in found}
        if query.meter.aggregation is Aggregation.UNIQUE_COUNT:
            self._add_uniques(query, split, parts, with_sets)
        return parts, newest

    def _add_uniques(
        self, query: MeterQuery, split: Plan, parts: dict[AnswerKey, Part], with_sets: bool
    ) -> None:
        parameters = Parameters()
        source = self._source("uniques", query, split, parameters)
        what = "groupUniqArray(hash)" if with_sets else "uniqExact(hash)"
        found = {
            _key(query, row): row[3]
            for row in self._rows(
                f"SELECT {self._keys(query, source, parameters)}, {what} FROM {source} GROUP BY w, s, g",
                parameters,
            )
        }
        for key, part in parts.items():
            value = found.get(key)
            if with_sets:
                part.hashes = set(value or ())
            else:
                part.distinct = int(value or 0)

    def _source(self, table: str, query: MeterQuery, split: Plan, parameters: Parameters) -> str:
        where = [
            f"namespace = {parameters.text(self._namespace)}",
            f"meter = {parameters.text(query.meter.id)}",
            f"version = {parameters.number(query.meter.version)}",
        ]
        if split.first_minute is not None:
            where.append(
                f"minute >= fromUnixTimestamp64Second({parameters.number(split.first_minute * 60)})"
            )
        if split.end_minute is not None:
            where.append(
                f"minute < fromUnixTimestamp64Second({parameters.number(split.end_minute * 60)})"
            )
        if query.subjects is not None:
            where.append(f"has({parameters.texts(query.subjects)}, subject)")
        where += [text_condition("subject", test, parameters) for test in query.subject_filters]
        keys = sorted(query.meter.group_by)
        where += [
            text_condition(f"groups[{keys.index(key) + 1}]", test, parameters)
            for key, test in query.group_filters
        ]
        return f"(SELECT *, toUnixTimestamp64Second(minute) AS second FROM {table} FINAL WHERE {' AND '.join(where)})"

    def _keys(self, query: MeterQuery, source: str, parameters: Parameters) -> str:
        """Window, subject and groups as the columns w, s, g."""
        keys = sorted(query.meter.group_by)
        groups = ", ".join(f"groups[{keys.index(key) + 1}]" for key in query.group_by)
        subject = "subject" if query.by_subject else "''"
        window = "0"
        if query.window_size is not None:
            window = window_expression(query, lambda: self._second_bounds(source, parameters))
        return f"{window} AS w, {subject} AS s, [{groups}]::Array(String) AS g"

    def _second_bounds(self, source: str, parameters: Parameters) -> tuple[int, int] | None:
        ((first, last, count),) = self._rows(
            f"SELECT min(second), max(second), count() FROM {source}", parameters
        )
        return (int(first), int(last)) if count else None

    # -- distinct subjects

    def _subjects(self, meter: Meter, start: int | None, end: int | None) -> list[str]:
        coverage = self._coverage(meter)
        if not coverage.visible:
            return []
        parameters = Parameters()
        found = self._rows(
            f"SELECT DISTINCT subject FROM events WHERE {self._of_type(meter, parameters)} AND {coverage.seen()}{_between(start, end)}",
            parameters,
        )
        return sorted(row[0] for row in found)

    def _rows(self, sql: str, parameters: Parameters) -> Sequence[Sequence[Any]]:
        with self._clients.client() as client:
            rows: Sequence[Sequence[Any]] = client.query(
                sql, parameters=parameters.values, settings=self._clients.bounds
            ).result_rows
            return rows


def _between(start: int | None, end: int | None) -> str:
    """The condition on `time` of `[start, end)`."""
    text = ""
    if start is not None:
        text += f" AND time >= fromUnixTimestamp64Second({int(start)})"
    if end is not None:
        text += f" AND time < fromUnixTimestamp64Second({int(end)})"
    return text


def _key(query: MeterQuery, row: Sequence[Any]) -> AnswerKey:
    return AnswerKey(
        int(row[0]) if query.window_size is not None else None,
        row[1] if query.by_subject else None,
        tuple(row[2]),
    )


def _part(row: Sequence[Any]) -> Part:
    (
        _,
        _,
        _,
        first,
        last,
        count,
        numeric,
        total,
        outside,
        least,
        least_out,
        most,
        most_out,
        latest,
    ) = row
    when, at, exact, floating = latest
    return Part(
        Row(
            0,
            0,
            int(count),
            int(numeric),
            total,
            outside,
            _either(min, least, least_out),
            _either(max, most, most_out),
            None
            if when is None
            else Latest(int(when), int(at), floating if exact is None else exact),
        ),
        _minute(first),
        _minute(last),
    )


def _minute(value: Any) -> int:
    return int(value.replace(tzinfo=UTC).timestamp()) // 60


def _either(choose: Any, exact: Number | None, floating: float | None) -> Number | None:
    if exact is None or floating is None:
        return floating if exact is None else exact
    found: Number = choose(exact, floating)
    return found
