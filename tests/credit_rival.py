"""The credit engine once more, slowly and word by word as the rules are written down: what the fast one is compared with.

Pieces between resets, a list of phases for each, plain dictionaries, every grant looked at everywhere. Source: metering §6.5-6.7.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise

from domain.credits.cuts import Reset
from domain.credits.grant import Grant
from domain.credits.usage import Reading
from domain.metering.meter import Aggregation

Balances = dict[str, Decimal]
ZERO = Decimal(0)


def minute(at: datetime) -> datetime:
    return at - timedelta(seconds=at.second, microseconds=at.microsecond)


def span(grant: Grant) -> tuple[datetime, datetime]:
    ends = [e for e in (grant.expires_at, grant.voided_at, grant.deleted_at) if e is not None]
    end = min(ends) if ends else datetime.max.replace(tzinfo=grant.effective_at.tzinfo)
    return minute(grant.effective_at), minute(end) if ends else end


def active(grant: Grant, at: datetime) -> bool:
    start, end = span(grant)
    return start <= at < end


def occurrences(grant: Grant, first: datetime, last: datetime) -> list[datetime]:
    """In [first, last], stepping from long before the anchor. Months: only P1M is used."""
    if grant.recurrence is None:
        return []
    interval, anchor = grant.recurrence.interval, grant.recurrence.anchor
    found = []
    for n in range(-20, 40):
        if interval.total_months:
            month = anchor.month - 1 + n
            year, month = anchor.year + month // 12, month % 12 + 1
            day = anchor.day
            while True:
                try:
                    at = anchor.replace(year=year, month=month, day=day)
                    break
                except ValueError:
                    day -= 1
        else:
            at = anchor + n * timedelta(microseconds=interval.total_microseconds)
        if first <= at <= last:
            found.append(at)
    return found


def order(grant: Grant) -> tuple[object, ...]:
    expiry = grant.expires_at
    never = datetime.max.replace(tzinfo=grant.effective_at.tzinfo)
    return (grant.priority, expiry or never, grant.created_at, grant.id)


class Rival:
    def __init__(
        self,
        grants: Sequence[Grant],
        resets: Sequence[Reset],
        aggregation: Aggregation,
        readings: Sequence[Reading],
    ) -> None:
        self.grants = sorted(grants, key=order)
        self.resets = {reset.at: reset for reset in resets}
        self.aggregation = aggregation
        self.readings = sorted(readings, key=lambda reading: reading.at)
        self.segments: list[tuple[object, ...]] = []

    def usage(self, start: datetime, end: datetime) -> Decimal:
        inside = [r.value for r in self.readings if start <= r.at < end]
        if self.aggregation is Aggregation.LATEST:
            return Decimal(inside[-1]) if inside else ZERO
        if self.aggregation is Aggregation.UNIQUE_COUNT:
            before = {r.value for r in self.readings if self.period_start <= r.at < start}
            return Decimal(len(set(inside) - before))
        return sum((Decimal(value) for value in inside), ZERO)

    def run(self, start: datetime, until: datetime) -> "Rival":
        self.balances: Balances = {
            g.id: g.amount if active(g, start) else ZERO for g in self.grants
        }
        self.overage = self.period_usage = self.taken = ZERO
        self.period_start = start
        cuts = [start, *sorted(r for r in self.resets if start < r <= until), until]
        for number, (a, b) in enumerate(pairwise(cuts)):
            self.piece(a, b, is_last=number == len(cuts) - 2)
            if number < len(cuts) - 2:
                self.reset(b)
        for grant in self.grants:
            if not active(grant, until):
                self.balances[grant.id] = ZERO
        return self

    def piece(self, a: datetime, b: datetime, *, is_last: bool) -> None:
        changes = {
            at for g in self.grants if span(g)[0] < span(g)[1] for at in span(g) if a < at < b
        }
        recurring: dict[datetime, set[str]] = {}
        for grant in self.grants:
            for at in occurrences(grant, a, b):
                inside = at < b or is_last or a == b
                if inside and active(grant, at):
                    recurring.setdefault(at, set()).add(grant.id)
        ends = sorted({*changes, *(at for at in recurring if at > a)})
        if not ends or ends[-1] < b or b in recurring:  # a tail, or a refill that has to show
            ends.append(b)
        begin = a
        for end in ends:
            self.phase(begin, end, recurring.get(begin, set()))
            begin = end

    def phase(self, start: datetime, end: datetime, recurred: set[str]) -> None:
        for grant in self.grants:
            if not active(grant, start):
                self.balances[grant.id] = ZERO
            elif (
                grant.id in recurred
                or span(grant)[0] == start
                or self.aggregation is Aggregation.LATEST
            ):
                self.balances[grant.id] = grant.amount
        before, overage, used = dict(self.balances), self.overage, self.usage(start, end)
        self.overage = self.burn(used + overage)
        self.period_usage += used
        self.segments.append((start, end, before, overage, used, self.overage))

    def burn(self, demand: Decimal) -> Decimal:
        for grant in self.grants:
            balance = self.balances[grant.id]
            if balance == 0:
                continue
            share = balance if balance <= demand else demand
            self.balances[grant.id] -= share
            self.taken += share
            demand -= share
        return demand

    def reset(self, at: datetime) -> None:
        for grant in self.grants:
            kept = min(grant.max_rollover, max(grant.min_rollover, self.balances[grant.id]))
            self.balances[grant.id] = kept if active(grant, at) else ZERO
        before = dict(self.balances)
        overage = self.overage if self.resets[at].preserve_overage else ZERO
        self.taken = self.period_usage = ZERO
        self.period_start = at
        self.overage = self.burn(overage) if overage else ZERO
        self.segments.append((at, at, before, overage, ZERO, self.overage))
