"""Lines of an invoice and what they add up to. Source: catalog §3.3, §3.7."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from domain.money.currency import Currency
from domain.money.totals import Totals, sum_totals
from domain.rating.line import DetailedLine
from domain.time.interval import Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoiceLine:
    """A line with the detailed lines it was rated to. A deleted one is kept, and counts for nothing.

    `period` has an end. `collection_at` replaces the time that its invoice date and the profile give (a part of a split
    line is collected at the split).
    """

    id: str
    name: str
    period: Interval
    invoice_at: datetime
    is_metered: bool
    detailed: tuple[DetailedLine, ...] = ()
    is_deleted: bool = False
    collection_at: datetime | None = None


def line_totals(line: InvoiceLine, currency: Currency) -> Totals:
    """The sum of its detailed lines."""
    return sum_totals((one.totals for one in line.detailed), currency)


def invoice_totals(lines: Iterable[InvoiceLine], currency: Currency) -> Totals:
    """The sum of the lines that are not deleted. Refused when one has another currency."""
    return sum_totals((line_totals(line, currency) for line in live(lines)), currency)


def invoice_period(lines: Iterable[InvoiceLine]) -> Interval | None:
    """From the first start to the last end of the lines that are not deleted; None without any."""
    periods = [line.period for line in live(lines)]
    if not periods:
        return None
    return Interval(
        start=min(period.start for period in periods),
        end=max(period.end for period in periods if period.end is not None),
    )


def live(lines: Iterable[InvoiceLine]) -> list[InvoiceLine]:
    """Those that are not deleted."""
    return [line for line in lines if not line.is_deleted]


def in_invoice_order(lines: Iterable[InvoiceLine]) -> list[InvoiceLine]:
    """By name, then start of the period, then id."""
    return sorted(lines, key=lambda line: (line.name, line.period.start, line.id))


def without_empty(detailed: Iterable[DetailedLine]) -> tuple[DetailedLine, ...]:
    """The detailed lines that an invoice shows: one that comes to nothing before discounts is left out.

    Source: conversation "25-rounding" of a running server, where 1 x 0.0049 USD leaves no detailed line.
    """
    return tuple(line for line in detailed if line.gross)
