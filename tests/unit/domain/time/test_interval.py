from datetime import UTC, datetime

import pytest

from domain.errors import Refused
from domain.time.interval import (
    Interval,
    ceil_minute,
    earlier,
    truncate_minute,
    truncate_second,
)


def at(hour: int, minute: int = 0, second: int = 0, microsecond: int = 0) -> datetime:
    return datetime(2024, 1, 1, hour, minute, second, microsecond, tzinfo=UTC)


def test_it_has_its_start_and_not_its_end():
    interval = Interval(start=at(1), end=at(2))

    assert at(1) in interval
    assert at(1, 59, 59, 999_999) in interval
    assert at(2) not in interval
    assert at(0) not in interval


def test_without_an_end_it_has_all_that_comes():
    assert datetime(9999, 12, 31, tzinfo=UTC) in Interval(start=at(1), end=None)


def test_one_of_no_length_has_nothing():
    empty = Interval(start=at(1), end=at(1))

    assert empty.is_empty
    assert at(1) not in empty


def test_an_end_before_the_start_is_refused():
    with pytest.raises(Refused) as refused:
        Interval(start=at(2), end=at(1))

    assert refused.value.code == "interval_ends_before_it_starts"


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        ((1, 3), (2, 4), (2, 3)),
        ((1, 4), (2, 3), (2, 3)),
        ((1, None), (2, 3), (2, 3)),
        ((1, None), (2, None), (2, None)),
        ((1, 2), (2, 3), None),
        ((1, 2), (3, 4), None),
        ((1, 3), (2, 2), None),
    ],
)
def test_what_two_share(one, other, both):
    def interval(ends):
        return Interval(start=at(ends[0]), end=None if ends[1] is None else at(ends[1]))

    shared = None if both is None else interval(both)

    assert interval(one).intersection(interval(other)) == shared
    assert interval(other).intersection(interval(one)) == shared


def test_length():
    assert Interval(start=at(1), end=at(3)).length == at(3) - at(1)
    assert Interval(start=at(1), end=None).length is None


def test_of_two_ends_the_open_one_is_later():
    assert earlier(None, at(1)) == at(1)
    assert earlier(at(2), at(1)) == at(1)
    assert earlier(None, None) is None


def test_times_are_cut_to_the_minute_and_to_the_second():
    assert truncate_minute(at(1, 2, 59, 999_999)) == at(1, 2)
    assert truncate_second(at(1, 2, 59, 999_999)) == at(1, 2, 59)


def test_a_full_minute_stays_and_a_part_is_rounded_up():
    assert ceil_minute(at(1, 2)) == at(1, 2)
    assert ceil_minute(at(1, 2, 0, 1)) == at(1, 3)


def test_beyond_the_year_9999_there_is_no_minute():
    with pytest.raises(Refused) as refused:
        ceil_minute(datetime(9999, 12, 31, 23, 59, 1, tzinfo=UTC))

    assert refused.value.code == "time_out_of_range"
