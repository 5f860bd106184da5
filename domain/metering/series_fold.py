"""Stored events as rows of a series: those that no row of usage can answer, folded as the stream folds.

Source: docs/internals.md, "Rule of a query", "One moment".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from domain.metering.answer import Event
from domain.metering.filters import TextFilter, text_matches
from domain.metering.fold import groupings, unique_texts
from domain.metering.meter import Meter
from domain.metering.numbers import json_text
from domain.metering.rows import merge
from domain.metering.series import SeriesRow

OWN_EPOCH = -1
"""Of events that no row covers: their row begins with the first of them."""

Place = Callable[[Event, tuple[str, ...]], int | None]
"""Which row an event with these group values is of: its epoch, OWN_EPOCH, or None when a row that may be seen has it."""

FoldKey = tuple[str, int, tuple[str, ...], int, int]
"""(subject, minute, group values, source partition, epoch or OWN_EPOCH)."""


class SeriesFold:
    """Folds events of one meter, a batch at a time, in any order; `rows` is what they come to."""

    def __init__(
        self,
        meter: Meter,
        group_filters: Sequence[tuple[str, TextFilter]],
        value_hash: Callable[[str], bytes],
        place: Place,
    ) -> None:
        ((self._grouping,),) = groupings([meter]).values()
        (self._measure,) = self._grouping.measures
        keys = sorted(meter.group_by)
        self._filters = [(keys.index(key), test) for key, test in group_filters]
        self._value_hash = value_hash
        self._place = place
        self.rows: dict[FoldKey, SeriesRow] = {}

    def add(self, events: Iterable[Event]) -> None:
        """Fold these, too; none of them may have been given before."""
        buckets: dict[FoldKey, list[Event]] = {}
        for event in events:
            groups = tuple(json_text(find(event.data)) for find in self._grouping.find_groups)
            if not all(text_matches(test, groups[i]) for i, test in self._filters):
                continue
            epoch = self._place(event, groups)
            if epoch is not None:
                key = (event.subject, event.second // 60, groups, event.partition, epoch)
                buckets.setdefault(key, []).append(event)
        for key, found in buckets.items():
            self._keep(key, self._fold(key, sorted(found, key=lambda event: event.position)))

    def _fold(self, key: FoldKey, events: Sequence[Event]) -> SeriesRow:
        find = self._measure.find_value
        values = [None if find is None else find(event.data) for event in events]
        indexes = range(len(events))
        row = self._measure.fold(
            None, indexes, [e.position for e in events], [e.second for e in events], values
        )
        hashes: frozenset[bytes] = frozenset()
        if self._measure.counts_uniques:
            hashes = frozenset(map(self._value_hash, unique_texts(indexes, values)))
        subject, minute, groups, partition, _ = key
        return SeriesRow(subject, minute, groups, partition, row, hashes)

    def _keep(self, key: FoldKey, row: SeriesRow) -> None:
        known = self.rows.get(key)
        if known is not None:
            row = row._replace(row=merge(known.row, row.row), values=known.values | row.values)
        self.rows[key] = row


def placed_by(
    ranges: Mapping[int, tuple[int, int | None]],
    ahead: Mapping[tuple[int, str, int, tuple[str, ...]], int],
) -> Place:
    """Events outside `ranges` have rows of their own; inside, only those of rows ahead of what may be seen are folded.

    `ranges`: of each partition the positions `[start, until)` that rows cover. `ahead`: (partition, subject, minute, group
    values) to the first position of such a row.
    """

    def place(event: Event, groups: tuple[str, ...]) -> int | None:
        covered = ranges.get(event.partition)
        if covered is None or event.position < covered[0]:
            return OWN_EPOCH
        if covered[1] is not None and event.position >= covered[1]:
            return OWN_EPOCH
        first = ahead.get((event.partition, event.subject, event.second // 60, groups))
        return first if first is not None and event.position >= first else None

    return place
