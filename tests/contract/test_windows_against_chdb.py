"""Windows start where ClickHouse's toStartOf… functions put them, around changes of the clock in many zones."""

import random
from itertools import pairwise

import pytest

from domain.metering.windows import WindowSize, window_start, zone
from tests.contract.chdb_engine import ask
from tests.zones import changes

ZONES = [
    "UTC", "America/New_York", "America/Sao_Paulo", "America/St_Johns", "America/Havana", "America/Asuncion",
    "Europe/Berlin", "Europe/Dublin", "Africa/Cairo", "Asia/Beirut", "Asia/Amman", "Asia/Gaza", "Asia/Tehran",
    "Asia/Kolkata", "Asia/Kathmandu", "Asia/Pyongyang", "Australia/Adelaide", "Australia/Lord_Howe", "Pacific/Apia",
    "Pacific/Chatham", "Pacific/Kwajalein", "America/Caracas", "Antarctica/Troll",
]  # fmt: skip
BESIDE = (
    -90_000,
    -86_400,
    -7201,
    -3601,
    -1801,
    -1,
    0,
    1,
    59,
    60,
    1799,
    1800,
    3599,
    3600,
    7200,
    43_200,
    90_000,
)
FIRST, LAST = 86_400 * 3, 2**32


@pytest.mark.parametrize("name", ZONES)
def test_windows_start_where_the_engine_starts_them(name):
    tz = zone(name)
    rnd = random.Random(name)
    found = changes(tz, FIRST, LAST)
    some = rnd.sample(found, min(25, len(found)))
    seconds = sorted(
        {at + beside for at, _, _ in some for beside in BESIDE}
        | {rnd.randrange(FIRST, LAST) for _ in range(100)}
    )
    starts = {
        WindowSize.MINUTE: f"toStartOfMinute(t, '{name}')",
        WindowSize.HOUR: f"toStartOfHour(t, '{name}')",
        WindowSize.DAY: f"toStartOfDay(t, '{name}')",
        WindowSize.MONTH: f"toStartOfInterval(t, INTERVAL 1 MONTH, '{name}')",
    }
    columns = ", ".join(
        f"toUnixTimestamp64Second(toDateTime64({start}, 0, '{name}'))" for start in starts.values()
    )

    rows = ask(
        f"SELECT s, {columns} FROM (SELECT arrayJoin({seconds}::Array(Int64)) AS s, fromUnixTimestamp64Second(s, 'UTC') AS t)"
        " SETTINGS enable_extended_results_for_datetime_functions = 1"
    )

    uneven = [at for at, before, after in found if (after - before) % 3600]
    for second, *theirs in (map(int, row) for row in rows):
        for size, start in zip(starts, theirs, strict=True):
            if size is WindowSize.HOUR and any(0 <= second - at <= 86_400 for at in uneven):
                continue  # the engine counts hours from such a change until midnight; ours return to the full hour
            assert window_start(second, size, tz) == start, (name, second, size)
    assert all(a < b for a, b in pairwise(seconds))
