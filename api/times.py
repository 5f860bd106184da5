"""Times in requests and answers: RFC 3339 with a zone, fractions cut (never rounded) to microseconds."""

from __future__ import annotations

import re
from datetime import UTC, datetime

_RFC3339 = re.compile(
    r"\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d+)?"
    r"(?:Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)\Z",
    re.ASCII,
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Time(datetime):
    """A time as a request carries it; a type of its own, because msgspec alone reads other notations, too."""


def parse_time(text: str) -> Time:
    """The time; ValueError for every other notation and for a date that does not exist."""
    if not _RFC3339.match(text):
        raise ValueError(f"not an RFC 3339 date-time with a zone: {text[:80]!r}")
    return Time.fromisoformat(text)


def unix_s(at: datetime) -> int:
    """Whole Unix seconds, fractions cut."""
    return unix_us(at) // 1_000_000


def unix_ms(at: datetime) -> int:
    """Whole Unix milliseconds, fractions cut."""
    return unix_us(at) // 1000


def unix_us(at: datetime) -> int:
    """Unix microseconds, exactly."""
    passed = at - _EPOCH
    return (passed.days * 86_400 + passed.seconds) * 1_000_000 + passed.microseconds


def in_utc(at: datetime) -> datetime:
    """The plain datetime in UTC, which msgspec writes with a Z."""
    return datetime.fromtimestamp(0, UTC) + (at - _EPOCH)


def of_ms(at_ms: int) -> datetime:
    """Unix milliseconds as a time in UTC."""
    second, rest = divmod(at_ms, 1000)
    return datetime.fromtimestamp(second, UTC).replace(microsecond=rest * 1000)
