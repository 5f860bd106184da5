"""Usage of some subjects by minute, exact at one moment of every partition: what a balance is made of.

The rule is that of questions to meters (docs/internals.md, "Rule of a query", "One moment"), but the answer is not added
up: rows as they stood at `visible`, and rows folded from events where no row may be read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

import msgspec

from connectors.clickhouse.aggregates import COLUMNS
from connectors.clickhouse.asking import Asking, is_seen
from connectors.clickhouse.client import Clients
from connectors.clickhouse.from_events import EventParts, Ranges, covered, not_covered
from connectors.clickhouse.from_rows import RowKey
from connectors.clickhouse.series_question import SeriesQuestion, series_question
from connectors.clickhouse.series_rows import ROW_OF
from connectors.clickhouse.sql import Parameters, between, between_days, is_one_of, text_condition
from domain.errors import Refused
from domain.metering.answer import Event
from domain.metering.filters import TextFilter
from domain.metering.meter import Aggregation, Meter
from domain.metering.series import Series, SeriesRow
from domain.metering.series_fold import FoldKey, SeriesFold, placed_by
from schemas.state import value_hash

SUBJECTS_AT_ONCE = 1_000
"""Subjects of one statement; more are read in several, all as of the same moment."""

_SETTINGS = {
    "do_not_merge_across_partitions_select_final": 1,
    "optimize_move_to_prewhere_if_final": 1,
}
_decode_data = msgspec.json.Decoder(float_hook=Decimal).decode


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesOptions:
    """Bounds of what is read at once."""

    rows_max: int = 2_000_000
    """Rows of one series, about 0.5 kB each; more are refused with `history_too_long`."""


class UsageSeries:
    """The port History, for one topic and namespace."""

    def __init__(
        self,
        clients: Clients,
        *,
        namespace: str,
        topic: str,
        threads: int,
        options: SeriesOptions | None = None,
    ) -> None:
        self._asking = Asking(clients, namespace=namespace, topic=topic, threads=threads)
        self._events = EventParts(self._asking)
        self._options = options or SeriesOptions()

    async def read(
        self,
        meter: Meter,
        subjects: Sequence[str],
        start_minute: int,
        end_minute: int | None = None,
        group_filters: Sequence[tuple[str, TextFilter]] = (),
    ) -> Series:
        """Everything of `subjects` in minutes `[start_minute, end_minute)` below the positions that may be seen.

        Minutes before the meter's `event_from` are left out. A filter on a key that the meter does not group by tests "", one on
        `subject` the event's subject.
        Refused: `history_too_long`. Unavailable.
        """
        if meter.event_from is not None:
            start_minute = max(start_minute, int(meter.event_from.timestamp()) // 60)
        asked = series_question(meter, subjects, start_minute, end_minute, group_filters)
        return await self._asking.in_thread(self._read, asked)

    async def visible(self) -> Mapping[int, int]:
        """Up to which position reads may see each source partition; Unavailable."""
        return await self._asking.in_thread(self._asking.visible)

    def close(self) -> None:
        """Stop the threads."""
        self._asking.close()

    def _read(self, asked: SeriesQuestion) -> Series:
        visible = self._asking.visible()
        subjects = sorted(set(asked.subjects))
        if not visible or not subjects:
            return Series((), visible)
        ranges = self._asking.ranges(asked.meter.id, asked.meter.version)
        rows: list[SeriesRow] = []
        for first in range(0, len(subjects), SUBJECTS_AT_ONCE):
            some = SeriesQuestion(
                asked.meter,
                subjects[first : first + SUBJECTS_AT_ONCE],
                asked.start_minute,
                asked.end_minute,
                asked.filters,
            )
            rows += self._some(some, visible, ranges, self._options.rows_max - len(rows))
        return Series(tuple(rows), visible)

    def _some(
        self, asked: SeriesQuestion, visible: Mapping[int, int], ranges: Ranges, room: int
    ) -> Iterator[SeriesRow]:
        seen, ahead = self._rows(asked, visible, room)
        folded = self._folded(asked, visible, ranges, ahead, room - len(seen))
        if asked.meter.aggregation is Aggregation.UNIQUE_COUNT:
            seen = _with_values(seen, self._values(asked, visible, room))
        yield from seen
        yield from folded.values()

    # -- rows

    def _rows(
        self, asked: SeriesQuestion, visible: Mapping[int, int], room: int
    ) -> tuple[list[SeriesRow], dict[RowKey, int]]:
        """Rows that may be seen, and the keys of those that may not with the first position they hold."""
        parameters = Parameters()
        aggregation = asked.meter.aggregation
        sql = (
            "SELECT subject, intDiv(toUnixTimestamp64Second(minute), 60), groups, partition, epoch, position, "
            f"{', '.join(COLUMNS[aggregation])} FROM usage FINAL "
            f"WHERE {self._of_rows(asked, parameters)} LIMIT {room + 1}"
        )
        reads = ROW_OF[aggregation]
        seen: list[SeriesRow] = []
        ahead: dict[RowKey, int] = {}
        for rows in self._asking.blocks(sql, parameters, _SETTINGS):
            for subject, minute, groups, partition, epoch, position, *columns in rows:
                key = (int(partition), subject, int(minute), tuple(groups))
                if position < visible.get(partition, 0):
                    row = reads(int(epoch), int(position), *columns)
                    seen.append(SeriesRow(subject, key[2], key[3], key[0], row))
                else:
                    ahead[key] = min(ahead.get(key, int(epoch)), int(epoch))
        self._check_room(len(seen) + len(ahead), room)
        return seen, ahead

    def _values(
        self, asked: SeriesQuestion, visible: Mapping[int, int], room: int
    ) -> dict[RowKey, list[tuple[int, bytes]]]:
        """Of each row key its values, with the position that brought each."""
        parameters = Parameters()
        sql = (
            "SELECT subject, intDiv(toUnixTimestamp64Second(minute), 60), groups, partition, min(position), hash FROM uniques "
            f"WHERE {self._of_rows(asked, parameters)} AND {is_seen(visible)} "
            f"GROUP BY subject, minute, groups, partition, hash LIMIT {room + 1}"
        )
        found: dict[RowKey, list[tuple[int, bytes]]] = {}
        count = 0
        for rows in self._asking.blocks(sql, parameters):
            count += len(rows)
            for subject, minute, groups, partition, position, value in rows:
                key = (int(partition), subject, int(minute), tuple(groups))
                found.setdefault(key, []).append((int(position), bytes(value)))
        self._check_room(count, room)
        return found

    def _of_rows(self, asked: SeriesQuestion, parameters: Parameters) -> str:
        """The condition on rows and on distinct values."""
        keys = sorted(asked.meter.group_by)
        conditions = [
            self._asking.of_meter(asked.meter, parameters),
            is_one_of("subject", asked.subjects, parameters),
            between("minute", asked.start, asked.end),
            between_days("toDate32(minute)", asked.start, asked.end),
            *(
                text_condition(f"groups[{keys.index(key) + 1}]", test, parameters)
                for key, test in asked.filters
            ),
        ]
        return " AND ".join(conditions)

    # -- events

    def _folded(
        self,
        asked: SeriesQuestion,
        visible: Mapping[int, int],
        ranges: Ranges,
        ahead: Mapping[RowKey, int],
        room: int,
    ) -> dict[FoldKey, SeriesRow]:
        """Rows from events: those that no row covers, and those of rows ahead."""
        parameters = Parameters()
        wanted = []
        outside = not_covered(visible, ranges)
        if outside and self._events.has_any(asked.meter, visible, ranges, outside):
            wanted.append(f"({outside})")
        if ahead:
            minutes = sorted({minute for _, _, minute, _ in ahead})
            wanted.append(
                f"({covered(ranges)} AND {between('time', minutes[0] * 60, minutes[-1] * 60 + 60)} "
                f"AND intDiv(toUnixTimestamp64Second(time), 60) IN {parameters.numbers(minutes)})"
            )
        fold = SeriesFold(asked.meter, asked.filters, value_hash, placed_by(ranges, ahead))
        if wanted:
            for events in self._read_events(asked, " OR ".join(wanted), visible, parameters):
                fold.add(events)
                self._check_room(len(fold.rows), room)
        return fold.rows

    def _read_events(
        self,
        asked: SeriesQuestion,
        condition: str,
        visible: Mapping[int, int],
        parameters: Parameters,
    ) -> Iterator[list[Event]]:
        sql = (
            "SELECT subject, toUnixTimestamp64Second(time), partition, position, data FROM events FINAL "
            f"WHERE {self._events.of_type(asked.meter, parameters)} AND {is_seen(visible)} "
            f"AND {is_one_of('subject', asked.subjects, parameters)} "
            f"AND {between('time', asked.start, asked.end)} AND ({condition})"
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

    def _check_room(self, count: int, room: int) -> None:
        if count > room:
            raise Refused(
                "history_too_long",
                f"the usage has more than {self._options.rows_max} rows by minute and group "
                "(balances.history_rows_max)",
            )


def _with_values(
    rows: Sequence[SeriesRow], values: Mapping[RowKey, Sequence[tuple[int, bytes]]]
) -> list[SeriesRow]:
    """Each value in the row that had begun when it came: of a key that was begun anew, in one of its rows."""
    by_key: dict[RowKey, list[SeriesRow]] = {}
    for row in rows:
        by_key.setdefault((row.partition, row.subject, row.minute, row.groups), []).append(row)
    found = []
    for key, same in by_key.items():
        same.sort(key=lambda row: row.row.epoch)
        having: list[set[bytes]] = [set() for _ in same]
        for position, value in values.get(key, ()):
            begun = [i for i, row in enumerate(same) if row.row.epoch <= position]
            having[begun[-1] if begun else 0].add(value)
        found += [
            row._replace(values=frozenset(its)) for row, its in zip(same, having, strict=True)
        ]
    return found
