"""Values as `meterstream simulate` prints them."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

from domain.time.interval import Interval


def time_text(at: datetime) -> str:
    """RFC 3339 in UTC; digits below the second only where they are not zero."""
    utc = at.astimezone(UTC).replace(tzinfo=None)
    text = utc.isoformat(timespec="microseconds" if utc.microsecond else "seconds")
    return (text.rstrip("0") if utc.microsecond else text) + "Z"


def interval_texts(interval: Interval) -> list[str | None]:
    """`[start, end]`; an open end is null."""
    return [time_text(interval.start), None if interval.end is None else time_text(interval.end)]


def json_number(value: Decimal) -> int | Decimal:
    """What is written as a JSON number with every digit and no exponent it can do without."""
    return int(value) if value == value.to_integral_value() else value


def decimal_text(value: Decimal) -> str:
    """Money: every digit, no exponent, no trailing zeros; zero has no sign."""
    text = f"{value:f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in ("-0", "") else text
