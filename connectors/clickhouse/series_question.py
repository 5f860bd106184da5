"""What is read of one meter for some subjects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from domain.metering.filters import TextFilter, text_matches
from domain.metering.meter import Meter

_SUBJECT = "subject"
"""A group key of this name stands for the event's subject in filters (metering §11.10)."""


@dataclass(frozen=True, slots=True)
class SeriesQuestion:
    """Minutes `[start_minute, end_minute)`; `filters` are on group keys that the meter has."""

    meter: Meter
    subjects: Sequence[str]
    start_minute: int
    end_minute: int | None
    filters: Sequence[tuple[str, TextFilter]]

    @property
    def start(self) -> int:
        """First second."""
        return self.start_minute * 60

    @property
    def end(self) -> int | None:
        """Second after the last."""
        return None if self.end_minute is None else self.end_minute * 60


def series_question(
    meter: Meter,
    subjects: Sequence[str],
    start_minute: int,
    end_minute: int | None,
    group_filters: Sequence[tuple[str, TextFilter]],
) -> SeriesQuestion:
    """The question with the filters that rows can be asked for; the others say which subjects are left."""
    left = list(subjects)
    filters = []
    for key, test in group_filters:
        if key == _SUBJECT:
            left = [subject for subject in left if text_matches(test, subject)]
        elif key in meter.group_by:
            filters.append((key, test))
        elif not text_matches(test, ""):
            left = []
    return SeriesQuestion(meter, left, start_minute, end_minute, filters)
