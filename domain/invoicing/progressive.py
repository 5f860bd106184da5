"""Billing a part of a line before its period is over. Source: catalog §3.6, §3.11, §3.12."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from domain.errors import Refused
from domain.metering.meter import Aggregation
from domain.money.amounts import EXACT, add_up
from domain.rating.line import LinePart
from domain.rating.price import FlatPrice, Price, TieredPrice, TierMode
from domain.time.interval import Interval, truncate_second

_GROWING = frozenset(
    {Aggregation.SUM, Aggregation.COUNT, Aggregation.MAX, Aggregation.UNIQUE_COUNT}
)
"""Aggregations whose value over a part, and over the part with more time, can be told apart by subtraction."""


def billable_period(
    *,
    price: Price,
    period: Interval,
    invoice_at: datetime,
    as_of: datetime,
    progressive: bool,
    aggregation: Aggregation | None = None,
) -> Interval | None:
    """What of a pending line can be billed at `as_of`, in whole seconds; None when nothing can.

    A flat price: all, from `invoice_at` on. Usage: all once its period has ended (and `invoice_at` has come, unless
    billing is progressive); a part before that, if billing is progressive, the price is no volume price and the meter's
    aggregation allows it. `period` has an end.
    """
    assert period.end is not None
    at, start, end = (truncate_second(time) for time in (as_of, period.start, period.end))
    whole = Interval(start=start, end=end)
    due = truncate_second(invoice_at) <= at
    if isinstance(price, FlatPrice):
        return whole if due else None
    if at >= end:
        return whole if due or progressive else None
    if not progressive or not _can_split(price, aggregation) or at <= start:
        return None
    return Interval(start=start, end=at)


def split(period: Interval, at: datetime) -> tuple[Interval, Interval]:
    """A period as two. Refused with `invoice_line_split_outside_period` unless `at` lies inside and not on an end."""
    if not period.start < at or (period.end is not None and at >= period.end):
        raise Refused(
            "invoice_line_split_outside_period",
            f"{at.isoformat()} does not divide the line's period",
            field="$.at",
        )
    return Interval(start=period.start, end=at), Interval(start=at, end=period.end)


def part_of(line: Interval, full: Interval) -> LinePart:
    """Which part of the full service period a line's period is."""
    first, last = line.start == full.start, line.end == full.end
    if first:
        return LinePart.SINGLE if last else LinePart.FIRST
    return LinePart.LAST if last else LinePart.MID


def line_quantity(*, until_start: Decimal, until_end: Decimal) -> Decimal:
    """A part's quantity: what the service period had used at the part's end, less what it had at its start."""
    return EXACT.subtract(until_end, until_start)


def _can_split(price: Price, aggregation: Aggregation | None) -> bool:
    is_volume = isinstance(price, TieredPrice) and price.mode is TierMode.VOLUME
    return not is_volume and aggregation in _GROWING


@dataclass(frozen=True, slots=True, kw_only=True)
class BilledPart:
    """A part of the same service period on a standard invoice; `gross` is its amount before discounts."""

    period: Interval
    gross: Decimal
    is_deleted: bool = False


def previously_billed(parts: Iterable[BilledPart], *, start: datetime) -> Decimal:
    """What the parts before a line that starts at `start` have billed: gross, deleted parts excepted."""
    return add_up(
        part.gross
        for part in parts
        if not part.is_deleted and part.period.end is not None and part.period.end <= start
    )
