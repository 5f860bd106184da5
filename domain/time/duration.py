"""ISO 8601 durations, and the two ways of adding months to a time.

Years and months have no fixed length: they move the calendar in UTC. Everything smaller is exact: a week is seven
days, a day is 24 hours (UTC has no clock changes; leap seconds are not counted).

Source: metering §5.3 (usage periods and recurrences clamp), §6.1 (an expiry overflows).
"""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import lru_cache

from domain.errors import Refused
from domain.time.interval import out_of_range

MAX_DIGITS = 9
"""Digits of one component before its point; more are refused."""
_MAX_LENGTH = 64

_SECOND_US = 1_000_000
_DAY_US = 86_400 * _SECOND_US
_UNIT_US = {
    "weeks": 7 * _DAY_US,
    "days": _DAY_US,
    "hours": 3_600 * _SECOND_US,
    "minutes": 60 * _SECOND_US,
    "seconds": _SECOND_US,
}
_FIELDS = ("years", "months", "weeks", "days", "hours", "minutes", "seconds")
_LETTERS = ("Y", "M", "W", "D", "H", "M", "S")
_NUMBER = rf"[-+]?[0-9]{{1,{MAX_DIGITS}}}(?:[.,][0-9]{{1,9}})?"
_PATTERN = re.compile(
    rf"(?P<sign>[-+]?)P(?=[-+0-9T])(?:(?P<years>{_NUMBER})Y)?(?:(?P<months>{_NUMBER})M)?"
    rf"(?:(?P<weeks>{_NUMBER})W)?(?:(?P<days>{_NUMBER})D)?"
    rf"(?:T(?=[-+0-9])(?:(?P<hours>{_NUMBER})H)?(?:(?P<minutes>{_NUMBER})M)?(?:(?P<seconds>{_NUMBER})S)?)?",
    re.ASCII,
)
_EPOCH = datetime(1, 1, 1, tzinfo=UTC)
_ERA_DAYS = 146_097  # the calendar repeats after 400 years


@dataclass(frozen=True, slots=True, kw_only=True)
class Duration:
    """A duration as written: `P7D` and `P1W` last equally long and are two durations.

    Years and months are whole; of the rest only the smallest that is not zero may have a fraction, which is exact to
    the microsecond. Any may be negative. Else Refused with code `invalid_duration`.
    """

    years: int = 0
    months: int = 0
    weeks: int | Decimal = 0
    days: int | Decimal = 0
    hours: int | Decimal = 0
    minutes: int | Decimal = 0
    seconds: int | Decimal = 0

    def __post_init__(self) -> None:
        _check(self)

    @property
    def total_months(self) -> int:
        """The part that moves the calendar."""
        return self.years * 12 + self.months

    @property
    def total_microseconds(self) -> int:
        """The part of fixed length."""
        return _fixed_length(self)

    @property
    def is_positive(self) -> bool:
        """Whether it leads forward from every moment: no part is negative and one is not zero."""
        months, rest = self.total_months, self.total_microseconds
        return months >= 0 and rest >= 0 and (months > 0 or rest > 0)


def parse_duration(text: str) -> Duration:
    """The duration that ISO 8601 text means (`P1M`, `PT12H`, `P1Y2M10DT2H30M`, `-P1D`, `P-1D`, `PT1.5S`).

    Refused with code `invalid_duration`, also for no component at all (`P`, `PT`).
    """
    match = _PATTERN.fullmatch(text) if len(text) <= _MAX_LENGTH else None
    if match is None:
        raise _invalid(f"not an ISO 8601 duration: {text[:80]!r}")
    sign = -1 if match["sign"] == "-" else 1
    given = {name: sign * Decimal(match[name].replace(",", ".")) for name in _FIELDS if match[name]}
    return Duration(**{name: _whole(value) for name, value in given.items()})  # type: ignore[arg-type]  # _check refuses fractions of years and months


def format_duration(duration: Duration) -> str:
    """ISO 8601 text that `parse_duration` reads as an equal duration; `P0D` for none."""
    texts = [
        f"{value}{letter}"
        for name, letter in zip(_FIELDS, _LETTERS, strict=True)
        if (value := _plain(getattr(duration, name))) != "0"
    ]
    of_day = sum(1 for name in _FIELDS[:4] if getattr(duration, name))
    date_part, time_part = "".join(texts[:of_day]), "".join(texts[of_day:])
    return f"P{date_part}{'T' if time_part else ''}{time_part}" if texts else "P0D"


def add_clamped(at: datetime, duration: Duration, times: int = 1) -> datetime:
    """`at` + `duration`, `times` times, in UTC. A day that the month does not have becomes the month's last one.

    31 January + 1 month = 28 or 29 February; + 2 months = 31 March. First the months, then the rest.
    Refused with code `time_out_of_range` outside the years 1 to 9999.
    """
    return from_microseconds(clamped_microseconds(at, duration, times))


def add_overflowing(at: datetime, duration: Duration, times: int = 1) -> datetime:
    """As `add_clamped`, but days past the month's end run into the next: 31 January + 1 month = 2 or 3 March."""
    start, of_day = _day_and_time(at)
    months = start.year * 12 + start.month - 1 + times * duration.total_months
    days = _days(months // 12, months % 12 + 1, 1) + start.day - 1
    return from_microseconds(days * _DAY_US + of_day + times * duration.total_microseconds)


def clamped_microseconds(at: datetime, duration: Duration, times: int) -> int:
    """`add_clamped` as microseconds since the start of the year 1; any year, nothing is refused."""
    if not duration.total_months:
        return to_microseconds(at) + times * duration.total_microseconds
    start, of_day = _day_and_time(at)
    months = start.year * 12 + start.month - 1 + times * duration.total_months
    year, month = months // 12, months % 12 + 1
    days = _days(year, month, min(start.day, _last_day(year, month)))
    return days * _DAY_US + of_day + times * duration.total_microseconds


def from_microseconds(since_year_1: int) -> datetime:
    """The moment; Refused with code `time_out_of_range` outside the years 1 to 9999."""
    try:
        return _EPOCH + timedelta(microseconds=since_year_1)
    except OverflowError:
        raise out_of_range() from None


def to_microseconds(at: datetime) -> int:
    """Since the start of the year 1, UTC."""
    return (at - _EPOCH) // timedelta(microseconds=1)


@lru_cache(maxsize=4_096)
def _fixed_length(duration: Duration) -> int:
    """Kept: recurrences ask for it again and again."""
    return sum(int(getattr(duration, name) * length) for name, length in _UNIT_US.items())


def _day_and_time(at: datetime) -> tuple[date, int]:
    """The day in UTC and the microseconds into it."""
    days, of_day = divmod(to_microseconds(at), _DAY_US)
    return date.fromordinal(days + 1), of_day


def _days(year: int, month: int, day: int) -> int:
    """Days since 1 January of the year 1, for any year of the calendar."""
    era, of_era = divmod(year - 1, 400)
    return date(of_era + 1, month, day).toordinal() - 1 + era * _ERA_DAYS


def _last_day(year: int, month: int) -> int:
    if month == 2:
        return 29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28
    return 30 if month in (4, 6, 9, 11) else 31


def _check(duration: Duration) -> None:
    used = [name for name in _FIELDS if getattr(duration, name)]
    for name in used:
        value = getattr(duration, name)
        if not isinstance(value, int | Decimal) or not Decimal(value).is_finite():
            raise _invalid(f"{name} of a duration are a finite number, not {value!r}")
        if abs(value) >= 10**MAX_DIGITS:
            raise _invalid(f"{name} of a duration have at most {MAX_DIGITS} digits")
        if value != int(value):
            _check_fraction(name, value, is_last=name == used[-1])


def _check_fraction(name: str, value: int | Decimal, *, is_last: bool) -> None:
    if name not in _UNIT_US:
        raise _invalid(f"a fraction of {name} has no fixed length")
    if not is_last:
        raise _invalid("only the smallest part of a duration may have a fraction")
    if value * _UNIT_US[name] % 1:
        raise _invalid("a duration is exact to the microsecond")


def _whole(value: Decimal) -> int | Decimal:
    return int(value) if value == int(value) else value


def _plain(value: int | Decimal) -> str:
    if isinstance(value, int) or value == int(value):
        return str(int(value))
    return f"{value:f}".rstrip("0")


def _invalid(message: str) -> Refused:
    return Refused("invalid_duration", message)
