"""Parts of an answer from stored events: the minutes that a bound cuts, and what no row can answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal

import msgspec

from connectors.clickhouse.asking import Asking, is_seen, limit_of
from connectors.clickhouse.from_rows import RowKey
from connectors.clickhouse.sql import Parameters, between, is_one_of, text_condition
from domain.metering.answer import (
    AnswerKey,
    Belongs,
    Event,
    Part,
    Plan,
    combine,
    fold_events,
)
from domain.metering.meter import Meter
from domain.metering.query import MeterQuery
from schemas.state import value_hash

_decode_data = msgspec.json.Decoder(float_hook=Decimal).decode
# A repeated event has the same type, subject and verdict, so these may be looked at before repeats are left out.
_SETTINGS = {
    "optimize_move_to_prewhere_if_final": 1,
    "do_not_merge_across_partitions_select_final": 1,
}

Ranges = Mapping[int, tuple[int, int | None]]


class EventParts:
    """Folds stored events as the stream folds them."""

    def __init__(self, asking: Asking) -> None:
        self._asking = asking
        self._nothing_below: set[tuple[str, int, tuple[tuple[int, int], ...]]] = set()

    def fold(
        self, query: MeterQuery, start: int | None, end: int | None, visible: Mapping[int, int]
    ) -> dict[AnswerKey, Part]:
        """The parts that all visible events of `[start, end)` make."""
        return self._fold(query, between("time", start, end), visible)

    def uncovered(
        self, query: MeterQuery, split: Plan, visible: Mapping[int, int], ranges: Ranges
    ) -> dict[AnswerKey, Part]:
        """The parts of the minutes that a bound cuts, and of events at positions that no row covers."""
        wanted = [between("time", edge.start, edge.end) for edge in split.edges]
        outside = not_covered(visible, ranges)
        if split.rows and outside and self.has_any(query.meter, visible, ranges, outside):
            start = None if split.first_minute is None else split.first_minute * 60
            end = None if split.end_minute is None else split.end_minute * 60
            wanted.append(f"({outside}) AND {between('time', start, end)}")
        if not wanted:
            return {}
        return self._fold(query, " OR ".join(f"({found})" for found in wanted), visible)

    def under_way(
        self,
        query: MeterQuery,
        ahead: Mapping[RowKey, int],
        visible: Mapping[int, int],
        ranges: Ranges,
    ) -> dict[AnswerKey, Part]:
        """The parts of rows that are ahead of what may be seen: what they held at `visible`. `ahead`: key to first position."""
        parameters = Parameters()
        minutes = sorted({minute for _, _, minute, _ in ahead})
        condition = (
            f"{between('time', minutes[0] * 60, minutes[-1] * 60 + 60)} AND ({covered(ranges)}) "
            f"AND intDiv(toUnixTimestamp64Second(time), 60) IN {parameters.numbers(minutes)}"
        )

        def belongs(event: Event, groups: tuple[str, ...]) -> bool:
            first = ahead.get((event.partition, event.subject, event.second // 60, groups))
            return first is not None and event.position >= first

        return self._fold(query, condition, visible, parameters, belongs)

    def _fold(
        self,
        query: MeterQuery,
        condition: str,
        visible: Mapping[int, int],
        parameters: Parameters | None = None,
        belongs: Belongs | None = None,
    ) -> dict[AnswerKey, Part]:
        """Block by block, so that not all events are in memory at once."""
        found: dict[AnswerKey, Part] = {}
        for events in self._read(query, condition, visible, parameters or Parameters()):
            found = combine([found, fold_events(query, events, value_hash, belongs)])
        return found

    def _read(
        self,
        query: MeterQuery,
        condition: str,
        visible: Mapping[int, int],
        parameters: Parameters,
    ) -> Iterator[list[Event]]:
        where = [self.of_type(query.meter, parameters), is_seen(visible), f"({condition})"]
        if query.subjects is not None:
            where.append(is_one_of("subject", query.subjects, parameters))
        where += [text_condition("subject", test, parameters) for test in query.subject_filters]
        sql = (
            "SELECT subject, toUnixTimestamp64Second(time), partition, position, data FROM events FINAL "
            f"WHERE {' AND '.join(where)}"
        )
        for rows in self._asking.blocks(sql, parameters, _SETTINGS):
            yield [
                Event(
                    subject,
                    int(second),
                    int(position),
                    _decode_data(data) if data else None,
                    int(partition),
                )
                for subject, second, partition, position, data in rows
            ]

    def subjects(self, meter: Meter, start: int | None, end: int | None) -> list[str]:
        """Distinct subjects of the visible events of the meter's type, by code point."""
        visible = self._asking.visible()
        parameters = Parameters()
        found = self._asking.rows(
            f"SELECT DISTINCT subject FROM events WHERE {self.of_type(meter, parameters)} "
            f"AND {is_seen(visible)} AND {between('time', start, end)}",
            parameters,
        )
        return sorted(row[0] for row in found)

    def of_type(self, meter: Meter, parameters: Parameters) -> str:
        """The condition on accepted events of the meter's type."""
        return (
            f"namespace = {parameters.text(self._asking.namespace)} AND type = {parameters.text(meter.event_type)} "
            "AND verdict = 'accepted'"
        )

    def has_any(
        self, meter: Meter, visible: Mapping[int, int], ranges: Ranges, uncovered: str
    ) -> bool:
        """Whether any event of the type is not covered; remembered once it can no longer change."""
        starts = tuple(sorted((p, start) for p, (start, stop) in ranges.items() if stop is None))
        final = {p for p, _ in starts} == set(visible) and all(
            visible[p] >= start for p, start in starts
        )
        known = (meter.id, meter.version, starts)
        if final and known in self._nothing_below:
            return False
        parameters = Parameters()
        found = self._asking.rows(
            f"SELECT 1 FROM events WHERE {self.of_type(meter, parameters)} AND {is_seen(visible)} AND ({uncovered}) LIMIT 1",
            parameters,
        )
        if not found and final:
            self._nothing_below.add(known)
        return bool(found)


def not_covered(visible: Mapping[int, int], ranges: Ranges) -> str:
    """The condition on visible events that no row covers; "" when rows cover all of them."""
    starts, stops = {}, {}
    for partition, until in visible.items():
        start, stop = ranges.get(partition, (until, None))
        if start > 0:
            starts[partition] = min(start, until)
        if stop is not None and stop < until:
            stops[partition] = stop
    conditions = []
    if starts:
        conditions.append(f"position < {limit_of(starts)}")
    if stops:
        conditions.append(
            f"(partition IN {_numbers(sorted(stops))} AND position >= {limit_of(stops)})"
        )
    return " OR ".join(conditions)


def covered(ranges: Ranges) -> str:
    """The condition on events that rows cover."""
    if not ranges:
        return "0"
    starts = {partition: start for partition, (start, _) in ranges.items()}
    stops = {partition: stop for partition, (_, stop) in ranges.items() if stop is not None}
    text = f"partition IN {_numbers(sorted(starts))} AND position >= {limit_of(starts)}"
    if stops:
        text += (
            f" AND NOT (partition IN {_numbers(sorted(stops))} AND position >= {limit_of(stops)})"
        )
    return text


def _numbers(numbers: Sequence[int]) -> str:
    return "(" + ", ".join(map(str, numbers)) + ")"
