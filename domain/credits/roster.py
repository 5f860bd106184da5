"""The grants of one entitlement, made ready to ask: who is active at an instant, and when does that change?"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta

from domain.credits.grant import Grant, GrantId, active_minutes, burn_order, recurs_at
from domain.errors import Refused
from domain.time.recurrence import Recurrence, next_after, occurrences

_TICK = timedelta(microseconds=1)
_LAST_MOMENT = "time_out_of_range"


class Roster:
    """Grants in burn order with their activity, in whole minutes. Immutable once made.

    Making it costs a sort of the grants; asking costs a binary search. Two grants of one id are Refused with code
    `grant_id_repeated`.
    """

    __slots__ = ("_active", "_ends", "_recurring", "changes", "grants", "starts")

    def __init__(self, grants: Iterable[Grant]) -> None:
        self.grants = tuple(sorted(grants, key=burn_order))
        minutes = {grant.id: active_minutes(grant) for grant in self.grants}
        if len(minutes) < len(self.grants):
            raise Refused("grant_id_repeated", "two grants have the same id", "$.grants")
        lasting = [grant for grant in self.grants if not minutes[grant.id].is_empty]
        self.starts = {grant.id: minutes[grant.id].start for grant in lasting}
        self._ends = ends = {
            grant.id: end for grant in lasting if (end := minutes[grant.id].end) is not None
        }
        self.changes = sorted({*self.starts.values(), *ends.values()})
        self._active = list(_sweep(lasting, self.changes, self.starts, ends))
        self._recurring = {
            grant.id: recurrence
            for grant in lasting
            if (recurrence := recurs_at(grant)) is not None
        }

    def active_at(self, at: datetime) -> tuple[Grant, ...]:
        """The grants active at `at`, in burn order."""
        return self._active[bisect_right(self.changes, at)]

    def ending_at(self, at: datetime) -> tuple[Grant, ...]:
        """The grants that were active until `at`, in burn order."""
        return tuple(grant for grant in self.grants if self._ends.get(grant.id) == at)

    def changes_between(
        self, after: datetime, until: datetime, *, at_end: bool
    ) -> Sequence[datetime]:
        """The instants in `(after, until)`, with `at_end` in `(after, until]`, at which a grant begins or ends."""
        end = (bisect_right if at_end else bisect_left)(self.changes, until)
        return self.changes[bisect_right(self.changes, after) : end]

    def recurrences_between(
        self, after: datetime, until: datetime
    ) -> Iterator[tuple[GrantId, datetime]]:
        """Who is refilled when in `(after, until]`, while active, grant by grant."""
        first, last = bisect_right(self.changes, after), bisect_right(self.changes, until)
        concerned = {grant.id for active in self._active[first : last + 1] for grant in active}
        for id_ in concerned & self._recurring.keys():
            end = self._ends.get(id_)
            stop = until + _TICK if end is None else min(end, until + _TICK)
            start = max(self.starts[id_], after + _TICK)
            for at in occurrences(self._recurring[id_], start, stop):
                yield id_, at

    def recurrences_at(self, at: datetime) -> Iterator[tuple[GrantId, datetime]]:
        """Who is refilled at `at`."""
        return self.recurrences_between(at - _TICK, at)

    def next_change_after(self, after: datetime) -> datetime | None:
        """The next instant at which a grant begins or ends; None when there is none."""
        index = bisect_right(self.changes, after)
        return self.changes[index] if index < len(self.changes) else None

    def next_recurrence_after(self, after: datetime) -> datetime | None:
        """The next refill of the grants that are active at `after`; None when there is none."""
        found = [
            at
            for grant in self.active_at(after)
            if grant.id in self._recurring
            and (at := _next(self._recurring[grant.id], after)) is not None
            and (grant.id not in self._ends or at < self._ends[grant.id])
        ]
        return min(found, default=None)


def _sweep(
    grants: list[Grant],
    changes: list[datetime],
    starts: dict[GrantId, datetime],
    ends: dict[GrantId, datetime],
) -> Iterator[tuple[Grant, ...]]:
    """Who is active before the first change, and from each change on. `grants` come in burn order."""
    places = {grant.id: place for place, grant in enumerate(grants)}
    begin: dict[datetime, list[int]] = {}
    leave: dict[datetime, list[int]] = {}
    for grant in grants:
        begin.setdefault(starts[grant.id], []).append(places[grant.id])
        if grant.id in ends:
            leave.setdefault(ends[grant.id], []).append(places[grant.id])
    active: set[int] = set()
    yield ()
    for at in changes:
        active.difference_update(leave.get(at, ()))
        active.update(begin.get(at, ()))
        yield tuple(grants[place] for place in sorted(active))


def _next(recurrence: Recurrence, after: datetime) -> datetime | None:
    """The next occurrence, or None past the end of the calendar."""
    try:
        return next_after(recurrence, after, inclusive=False)
    except Refused as refused:
        if refused.code != _LAST_MOMENT:
            raise
        return None
