"""Windows at the odd moments of the calendar; the laws are in tests/property, the engine's view in tests/contract."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from domain.errors import Refused
from domain.metering.windows import WindowSize, utc, window_end, window_start, zone


def window(moment: str, size: str, name: str) -> tuple[str, str]:
    """The window that holds an ISO time, as local ISO times."""
    tz = zone(name)
    start = window_start(int(datetime.fromisoformat(moment).timestamp()), WindowSize(size), tz)
    end = window_end(start, WindowSize(size), tz)
    return tuple(datetime.fromtimestamp(second, tz).isoformat() for second in (start, end))


@pytest.mark.parametrize(
    ("moment", "size", "name", "start", "end"),
    [
        ("2024-03-31T12:00:00+02:00", "DAY", "Europe/Berlin", "2024-03-31T00:00:00+01:00", "2024-04-01T00:00:00+02:00"),
        ("2024-10-27T12:00:00+01:00", "DAY", "Europe/Berlin", "2024-10-27T00:00:00+02:00", "2024-10-28T00:00:00+01:00"),
        ("2024-10-27T02:30:00+01:00", "HOUR", "Europe/Berlin", "2024-10-27T02:00:00+01:00", "2024-10-27T03:00:00+01:00"),
        ("2024-10-27T02:30:00+02:00", "HOUR", "Europe/Berlin", "2024-10-27T02:00:00+02:00", "2024-10-27T02:00:00+01:00"),
        ("2024-12-15T00:00:00Z", "MONTH", "America/New_York", "2024-12-01T00:00:00-05:00", "2025-01-01T00:00:00-05:00"),
        ("2024-01-01T04:59:59Z", "HOUR", "Asia/Kolkata", "2024-01-01T10:00:00+05:30", "2024-01-01T11:00:00+05:30"),
        # midnight does not exist
        ("2018-11-04T12:00:00-02:00", "DAY", "America/Sao_Paulo", "2018-11-04T01:00:00-02:00", "2018-11-05T00:00:00-02:00"),
        ("2018-11-03T12:00:00-03:00", "DAY", "America/Sao_Paulo", "2018-11-03T00:00:00-03:00", "2018-11-04T01:00:00-02:00"),
        ("2022-03-27T12:00:00+03:00", "DAY", "Asia/Beirut", "2022-03-27T01:00:00+03:00", "2022-03-28T00:00:00+03:00"),
        # midnight comes twice, of the same date and of two dates
        ("2024-11-03T12:00:00-05:00", "DAY", "America/Havana", "2024-11-03T00:00:00-04:00", "2024-11-04T00:00:00-05:00"),
        ("1996-10-27T00:00:30-02:30", "DAY", "America/St_Johns", "1996-10-26T00:00:00-02:30", "1996-10-27T00:00:00-03:30"),
        ("1996-10-26T23:30:00-03:30", "DAY", "America/St_Johns", "1996-10-26T00:00:00-02:30", "1996-10-27T00:00:00-03:30"),
        # a day that never was
        ("2011-12-29T12:00:00-10:00", "DAY", "Pacific/Apia", "2011-12-29T00:00:00-10:00", "2011-12-31T00:00:00+14:00"),
        # half an hour of daylight saving
        ("2024-10-06T01:30:00+10:30", "HOUR", "Australia/Lord_Howe", "2024-10-06T01:00:00+10:30", "2024-10-06T02:30:00+11:00"),
        ("2024-10-06T02:45:00+11:00", "HOUR", "Australia/Lord_Howe", "2024-10-06T02:30:00+11:00", "2024-10-06T03:00:00+11:00"),
        ("2024-04-07T01:45:00+10:30", "HOUR", "Australia/Lord_Howe", "2024-04-07T01:30:00+10:30", "2024-04-07T02:00:00+10:30"),
        # an offset that changes in the middle of an hour
        ("2016-05-01T02:10:00-04:30", "HOUR", "America/Caracas", "2016-05-01T02:00:00-04:30", "2016-05-01T03:00:00-04:00"),
        ("2007-12-09T02:40:00-04:30", "HOUR", "America/Caracas", "2007-12-09T02:30:00-04:30", "2007-12-09T03:00:00-04:30"),
    ],
)  # fmt: skip
def test_a_window_at_an_odd_moment(moment, size, name, start, end):
    assert window(moment, size, name) == (start, end)


@pytest.mark.parametrize(
    "name", ["Europe/Berlin", "UTC", "Etc/GMT+5", "America/Argentina/Buenos_Aires"]
)
def test_a_zone_has_its_name(name):
    assert isinstance(zone(name), ZoneInfo)
    assert zone(name).key == name


def test_no_name_is_utc():
    assert zone("").key == "UTC"


@pytest.mark.parametrize(
    "name",
    [
        "Mars/Base",
        "europe/berlin",
        "../../etc/passwd",
        "/etc/localtime",
        "localtime",
        "Europe",
        "UTC ",
        "\0",
        "é",
        "tzdata.zi",
    ],
)
def test_an_unknown_zone_is_refused(name):
    with pytest.raises(Refused) as refused:
        zone(name)

    assert refused.value.code == "time_zone_unknown"


def test_seconds_as_utc():
    assert utc(10_413_791_999).isoformat() == "2299-12-31T23:59:59+00:00"
