"""The clock of the processes: the one place that reads the time.

Rules go by `now`, which tests can set (`testing.clock`, docs/decisions/0165). When something arrived, how old it is and how
long it took goes by `wall_now`, which nobody can set: append times, `as_of`, lag, retention, retries, metrics.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """At `since` of the real time it was `at`; from then on it stands (`frozen`) or goes on."""

    at: datetime
    since: datetime
    frozen: bool = False


_setting: Setting | None = None


def now() -> datetime:
    """The time that rules go by, aware, in UTC: the real one, unless a test has set it."""
    if _setting is None:
        return wall_now()
    if _setting.frozen:
        return _setting.at
    return _setting.at + (wall_now() - _setting.since)


def now_ms() -> int:
    """`now` in Unix milliseconds."""
    if _setting is None:
        return wall_ms()
    return int(now().timestamp() * 1000)


def wall_now() -> datetime:
    """The real time, aware, in UTC."""
    return datetime.now(UTC)


def wall_ms() -> int:
    """The real time in Unix milliseconds."""
    return time.time_ns() // 1_000_000


def set_time(setting: Setting | None) -> None:
    """Go by `setting` from now on, None: by the real time. Only what `testing.clock` switches on calls this."""
    global _setting
    _setting = setting
