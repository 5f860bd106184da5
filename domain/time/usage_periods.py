"""The usage periods of an entitlement: they follow one recurrence until a reset by hand starts another.

Source: metering §5.3. Periods are half-open and cover all time from the first entry on.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from domain.errors import Refused
from domain.time.interval import Interval, earlier
from domain.time.recurrence import Recurrence, next_after, period_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """From `since` on, periods end where `recurrence` says. The first entry is the start of measuring, each other a reset."""

    since: datetime
    recurrence: Recurrence


class UsagePeriods:
    """A timeline of entries. A period begins at every entry and, until the next one, at every occurrence."""

    __slots__ = ("_entries", "_since")

    def __init__(self, entries: Sequence[Entry]) -> None:
        """At least one, each later than the one before; else Refused with code `usage_periods_out_of_order`."""
        self._entries = tuple(entries)
        self._since = [entry.since for entry in entries]
        if not entries or any(b <= a for a, b in zip(self._since, self._since[1:], strict=False)):
            raise Refused(
                "usage_periods_out_of_order",
                "at least one entry, each later than the one before",
                "$.entries",
            )

    def at(self, moment: datetime) -> Interval:
        """The period that contains the moment; before the first entry: the first period."""
        index = self._index(moment)
        entry = self._entries[index]
        found = period_at(entry.recurrence, max(moment, entry.since))
        return Interval(
            start=max(found.start, entry.since), end=earlier(found.end, self._end(index))
        )

    def starts(self, after: datetime, until: datetime) -> Iterator[datetime]:
        """Where periods begin in `(after, until]`, in order. The first entry counts as one."""
        while (start := self.next_start_after(after)) <= until:
            yield start
            after = start

    def next_start_after(self, after: datetime) -> datetime:
        """Where the first period after the moment begins."""
        if after < self._since[0]:
            return self._since[0]
        index = self._index(after)
        occurrence = next_after(self._entries[index].recurrence, after, inclusive=False)
        end = self._end(index)
        return occurrence if end is None else min(occurrence, end)

    def _index(self, moment: datetime) -> int:
        return max(bisect_right(self._since, moment) - 1, 0)

    def _end(self, index: int) -> datetime | None:
        return self._since[index + 1] if index + 1 < len(self._since) else None
