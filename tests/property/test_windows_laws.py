"""Windows tile time: every second is in exactly one, and windows follow each other without a gap."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.metering.windows import WindowSize, window_end, window_start, zone
from tests.zones import changes

ZONES = [
    "UTC", "Europe/Berlin", "America/New_York", "America/Sao_Paulo", "America/St_Johns", "America/Havana",
    "America/Caracas", "Asia/Beirut",
    "Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Apia", "Pacific/Chatham", "Africa/Monrovia", "Antarctica/Troll",
]  # fmt: skip
CHANGES = {name: [at for at, _, _ in changes(zone(name), 1, 2**31)] for name in ZONES}

sizes = st.sampled_from(WindowSize)


@st.composite
def moments(draw):
    """A zone and a second, often beside a change of the clock."""
    name = draw(st.sampled_from(ZONES))
    anywhere = st.integers(1, 10_413_791_999)
    beside = anywhere
    if CHANGES[name]:
        beside = st.builds(
            int.__add__, st.sampled_from(CHANGES[name]), st.integers(-90_000, 90_000)
        )
    return zone(name), draw(beside | anywhere)


@given(moments(), sizes)
def test_a_second_lies_in_its_window_and_nowhere_else(moment, size):
    tz, second = moment

    start = window_start(second, size, tz)
    end = window_end(start, size, tz)

    assert start <= second < end
    assert window_start(start, size, tz) == start == window_start(end - 1, size, tz)
    assert window_start(end, size, tz) == end
    assert window_start(start - 1, size, tz) < start
    assert window_end(window_start(start - 1, size, tz), size, tz) == start


@given(moments(), sizes)
def test_a_window_is_made_of_whole_minutes_of_utc(moment, size):
    tz, second = moment

    start = window_start(second, size, tz)

    assert start % 60 == 0
    assert window_end(start, size, tz) % 60 == 0


@given(moments())
def test_windows_nest(moment):
    tz, second = moment

    minute, hour, day, month = (window_start(second, size, tz) for size in WindowSize)

    assert month <= day <= hour + 3600
    assert month <= day <= minute
    assert hour <= minute


@given(moments())
def test_a_window_is_at_most_as_long_as_its_name_says(moment):
    tz, second = moment
    longest = {
        WindowSize.MINUTE: 60,
        WindowSize.HOUR: 3600,
        WindowSize.DAY: 26 * 3600,
        WindowSize.MONTH: 32 * 86_400,
    }

    for size, limit in longest.items():
        start = window_start(second, size, tz)
        assert 0 < window_end(start, size, tz) - start <= limit


@pytest.mark.parametrize("name", ZONES)
def test_days_begin_at_local_midnight_unless_it_does_not_exist(name):
    tz = zone(name)
    assert isinstance(tz, ZoneInfo)
    for at in CHANGES[name][-40:]:
        for second in range(at - 86_400, at + 2 * 86_400, 7200):
            start = window_start(second, WindowSize.DAY, tz)
            local = datetime.fromtimestamp(start, tz)
            if (local.hour, local.minute) != (0, 0):
                earlier = datetime.fromtimestamp(start - 1, tz)
                assert earlier.utcoffset() != local.utcoffset() or local.second, (name, start)
