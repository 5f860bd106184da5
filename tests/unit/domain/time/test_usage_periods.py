from datetime import UTC, datetime

import pytest

from domain.errors import Refused
from domain.time.duration import parse_duration
from domain.time.interval import Interval
from domain.time.recurrence import Recurrence
from domain.time.usage_periods import Entry, UsagePeriods


def june(day: int, hour: int = 0, minute: int = 0, second: int = 0) -> datetime:
    return datetime(2025, 6, day, hour, minute, second, tzinfo=UTC)


def an_entry(since: datetime, *, hour: int = 1, interval: str = "P1D") -> Entry:
    recurrence = Recurrence(interval=parse_duration(interval), anchor=june(1, hour))
    return Entry(since=since, recurrence=recurrence)


RESET = UsagePeriods([an_entry(june(5, 14, 8, 2)), an_entry(june(8, 14, 8, 2), hour=2)])


def test_daily_periods_begin_at_the_anchors_hour():
    periods = UsagePeriods([an_entry(june(5))])

    starts = list(periods.starts(june(6, 14, 8, 2), june(10, 14, 8, 2)))

    assert starts == [june(7, 1), june(8, 1), june(9, 1), june(10, 1)]


def test_a_reset_begins_a_period_and_its_anchor_counts_from_there():
    starts = list(RESET.starts(june(5), june(10)))

    assert starts == [
        june(5, 14, 8, 2), june(6, 1), june(7, 1), june(8, 1), june(8, 14, 8, 2), june(9, 2),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("at", "start", "end"),
    [
        (june(1), june(5, 14, 8, 2), june(6, 1)),
        (june(5, 14, 8, 2), june(5, 14, 8, 2), june(6, 1)),
        (june(6, 1), june(6, 1), june(7, 1)),
        (june(8, 14, 8, 1), june(8, 1), june(8, 14, 8, 2)),
        (june(8, 14, 8, 2), june(8, 14, 8, 2), june(9, 2)),
        (june(20), june(19, 2), june(20, 2)),
    ],
)
def test_the_period_around_a_time_is_cut_by_the_entries(at, start, end):
    assert RESET.at(at) == Interval(start=start, end=end)


def test_a_start_is_in_when_it_is_the_end_asked_for_and_out_when_it_is_the_beginning():
    assert list(RESET.starts(june(6, 1), june(7, 1))) == [june(7, 1)]


def test_an_entry_on_an_occurrence_begins_one_period():
    periods = UsagePeriods([an_entry(june(5)), an_entry(june(7, 1))])

    assert list(periods.starts(june(5), june(8))) == [june(5, 1), june(6, 1), june(7, 1)]


@pytest.mark.parametrize("days", [[], [5, 5], [6, 5]])
def test_entries_follow_each_other(days):
    with pytest.raises(Refused) as refused:
        UsagePeriods([an_entry(june(day)) for day in days])

    assert refused.value.code == "usage_periods_out_of_order"
