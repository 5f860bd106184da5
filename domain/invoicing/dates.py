"""When an invoice is collected, approved and due. Source: catalog §3.5-3.7, §9.12."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from domain.invoicing.lines import InvoiceLine, live
from domain.time.duration import Duration, add_clamped
from domain.time.interval import truncate_second
from domain.time.recurrence import Recurrence, next_after, prev_before

AFTER_WINDOW = timedelta(minutes=1)
"""Collection starts this long after the last event that may still count was stored."""


def collection_at(lines: Iterable[InvoiceLine], interval: Duration) -> datetime | None:
    """When the usage of all metered lines is in; None for an invoice of flat lines only.

    A line's window for late events closes `interval` after its invoice date; a line with a time of its own has none.
    """
    times = [
        line.collection_at or add_clamped(line.invoice_at, interval) + AFTER_WINDOW
        for line in live(lines)
        if line.is_metered
    ]
    return max(times, default=None)


def gathering_collection_at(
    lines: Iterable[InvoiceLine], alignment: Recurrence | None = None
) -> datetime | None:
    """When pending lines are next collected: the earliest invoice date, or the first anchored date from then on."""
    earliest = min((line.invoice_at for line in live(lines)), default=None)
    if earliest is None or alignment is None:
        return earliest
    return next_after(alignment, earliest, inclusive=True)


def aligned_as_of(as_of: datetime, alignment: Recurrence) -> datetime:
    """The moment up to which anchored collection looks: the last anchored date, itself included.

    Who asks for an invoice now is not held up by this.
    """
    return prev_before(alignment, as_of, inclusive=True)


def draft_until(
    *, created_at: datetime, collected_at: datetime | None, draft_period: Duration
) -> datetime:
    """When an invoice that advances by itself is approved: `draft_period` after creation or collection, the later."""
    return add_clamped(max(created_at, collected_at or created_at), draft_period)


def due_at(
    *, due_after: Duration, draft_until: datetime | None, issued_at: datetime | None
) -> datetime | None:
    """`due_after` the draft's end where there is one, else the issuing; None while neither is known. In whole seconds."""
    start = draft_until or issued_at
    return None if start is None else truncate_second(add_clamped(start, due_after))
