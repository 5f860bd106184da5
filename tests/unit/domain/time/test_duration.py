from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from domain.errors import Refused
from domain.time.duration import (
    Duration,
    add_clamped,
    add_overflowing,
    format_duration,
    parse_duration,
)


def day(year: int, month: int, day: int) -> datetime:
    return datetime(year, month, day, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("P1M", Duration(months=1)),
        ("PT1M", Duration(minutes=1)),
        ("P1W", Duration(weeks=1)),
        ("P1Y2M3W4DT5H6M7S", Duration(years=1, months=2, weeks=3, days=4, hours=5, minutes=6, seconds=7)),
        ("PT1.5S", Duration(seconds=Decimal("1.5"))),
        ("PT0,25H", Duration(hours=Decimal("0.25"))),
        ("P1.5D", Duration(days=Decimal("1.5"))),
        ("-P1M", Duration(months=-1)),
        ("P-1M", Duration(months=-1)),
        ("-P-1M", Duration(months=1)),
        ("+P1D", Duration(days=1)),
        ("-PT168H", Duration(hours=-168)),
        ("P0D", Duration()),
        ("PT0S", Duration()),
        ("P1.0M", Duration(months=1)),
    ],
)  # fmt: skip
def test_what_is_a_duration(text, duration):
    assert parse_duration(text) == duration


@pytest.mark.parametrize(
    "text",
    [
        "", "P", "PT", "P1", "1M", "P1H", "PT1D", "P1DT", "P1M1Y", "P1S", "p1m", "P1M ", " P1M", "P1M\n", "P--1M", "P.5D",
        "P1.D", "P1e3D", "PT1.5H30M", "P0.5M", "P0.5Y", "PT0.0000001S", "P1234567890D", "P\u0661M", "P1M" + "D" * 100,
        "month", "P1W1W", "P1D1W", "PNaND",
    ],
)  # fmt: skip
def test_what_is_none(text):
    with pytest.raises(Refused) as refused:
        parse_duration(text)

    assert refused.value.code == "invalid_duration"


@pytest.mark.parametrize(
    "fields",
    [
        {"days": Decimal("NaN")},
        {"seconds": Decimal("Infinity")},
        {"months": Decimal("0.5")},
        {"hours": 10**9},
        {"hours": Decimal("0.5"), "minutes": 1},
        {"days": 0.5},
    ],
)
def test_a_wrong_duration_cannot_be_made(fields):
    with pytest.raises(Refused) as refused:
        Duration(**fields)

    assert refused.value.code == "invalid_duration"


@pytest.mark.parametrize(
    ("duration", "text"),
    [
        (Duration(), "P0D"),
        (Duration(months=14), "P14M"),
        (Duration(days=7), "P7D"),
        (Duration(weeks=1), "P1W"),
        (Duration(months=1, minutes=1), "P1MT1M"),
        (Duration(seconds=Decimal("1.50")), "PT1.5S"),
        (Duration(days=Decimal(-10)), "P-10D"),
    ],
)
def test_how_a_duration_is_written(duration, text):
    assert format_duration(duration) == text


@pytest.mark.parametrize(
    ("duration", "positive"),
    [
        (Duration(), False),
        (Duration(months=-1), False),
        (Duration(months=1, days=-30), False),
        (Duration(months=-1, days=40), False),
        (Duration(years=1, months=-1), True),
        (Duration(days=1, hours=-1), True),
        (Duration(seconds=Decimal("0.000001")), True),
    ],
)
def test_which_lead_forward(duration, positive):
    assert duration.is_positive is positive


@pytest.mark.parametrize(
    ("start", "months", "clamped", "overflowing"),
    [
        (day(2024, 1, 31), 1, day(2024, 2, 29), day(2024, 3, 2)),
        (day(2023, 1, 31), 1, day(2023, 2, 28), day(2023, 3, 3)),
        (day(2023, 1, 29), 1, day(2023, 2, 28), day(2023, 3, 1)),
        (day(2024, 3, 31), 1, day(2024, 4, 30), day(2024, 5, 1)),
        (day(2024, 3, 31), -1, day(2024, 2, 29), day(2024, 3, 2)),
        (day(2024, 2, 29), 12, day(2025, 2, 28), day(2025, 3, 1)),
        (day(2024, 2, 29), 48, day(2028, 2, 29), day(2028, 2, 29)),
        (day(2096, 2, 29), 48, day(2100, 2, 28), day(2100, 3, 1)),
        (day(1996, 2, 29), 48, day(2000, 2, 29), day(2000, 2, 29)),
        (day(2024, 12, 31), 2, day(2025, 2, 28), day(2025, 3, 3)),
        (day(2024, 1, 15), 1, day(2024, 2, 15), day(2024, 2, 15)),
    ],
)
def test_a_day_that_the_month_does_not_have_clamps_or_overflows(
    start, months, clamped, overflowing
):
    assert add_clamped(start, Duration(months=months)) == clamped
    assert add_overflowing(start, Duration(months=months)) == overflowing


def test_times_multiply_before_the_month_clamps():
    start = day(2024, 1, 31)

    assert add_clamped(start, Duration(months=1), 2) == day(2024, 3, 31)
    assert add_clamped(start, Duration(months=1), -2) == day(2023, 11, 30)
    assert add_overflowing(start, Duration(months=1), 2) == day(2024, 3, 31)


def test_months_are_those_of_utc():
    start = datetime(2024, 1, 31, 23, 30, tzinfo=timezone(timedelta(hours=-2)))

    assert add_clamped(start, Duration(months=1)) == datetime(2024, 3, 1, 1, 30, tzinfo=UTC)


@pytest.mark.parametrize("add", [add_clamped, add_overflowing])
@pytest.mark.parametrize("years", [8000, -2024])
def test_outside_of_the_years_1_to_9999_there_is_no_time(add, years):
    with pytest.raises(Refused) as refused:
        add(day(2024, 2, 29), Duration(years=years))

    assert refused.value.code == "time_out_of_range"
