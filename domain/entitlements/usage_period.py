"""The timeline of a metered entitlement: its usage periods as the resets of its balance.

The balance is reset at every period boundary after the first, without anything being stored, and by hand.

Source: metering §5.3, §5.9, §6.6. Where periods begin: `domain.time.usage_periods`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from domain.credits.cuts import CUTS_MAX, Reset
from domain.errors import Refused
from domain.time.duration import Duration, add_clamped
from domain.time.interval import Interval, truncate_minute
from domain.time.recurrence import Recurrence, prev_before
from domain.time.usage_periods import Entry, UsagePeriods

INTERVAL_LEAST = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """Where measuring begins, then every manual reset, oldest first; times in whole minutes.

    It is a `domain.credits.cuts.Resets`. Refused: `usage_period_too_short`, `usage_periods_out_of_order`.
    """

    entries: tuple[Entry, ...]
    preserve_overage: bool = False
    """What becomes of overage at a boundary."""
    by_hand: Mapping[datetime, bool] = field(default_factory=dict)
    """Of each manual reset, whether it preserves overage."""
    _periods: UsagePeriods = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for entry in self.entries:
            _check_interval(entry.recurrence)
        object.__setattr__(self, "_periods", UsagePeriods(self.entries))

    @property
    def measured_from(self) -> datetime:
        """Where measuring, and with it the first period, begins."""
        return self.entries[0].since

    @property
    def last_reset(self) -> datetime:
        """The latest manual reset, else where measuring begins. Boundaries do not count."""
        return self.entries[-1].since

    def period_at(self, at: datetime) -> Interval:
        """The usage period that `at` lies in; before measuring begins the first one."""
        return self._periods.at(at)

    def between(self, after: datetime, until: datetime) -> Sequence[Reset]:
        """The resets in `(after, until]`. Refused beyond CUTS_MAX: `too_many_phases`."""
        resets: list[Reset] = []
        for at in self._periods.starts(max(after, self.measured_from), until):
            if len(resets) == CUTS_MAX:
                raise Refused("too_many_phases", f"more than {CUTS_MAX} usage periods", "$.until")
            resets.append(Reset(at, self.by_hand.get(at, self.preserve_overage)))
        return resets

    def next_after(self, after: datetime) -> datetime:
        """The next reset after an instant; there is always one."""
        return self._periods.next_start_after(max(after, self.measured_from))


class MeasureFrom(StrEnum):
    """Where measuring begins, where it is not a time."""

    CURRENT_PERIOD_START = "CURRENT_PERIOD_START"
    NOW = "NOW"


def measured_from(
    wanted: datetime | MeasureFrom | None, *, interval: Duration, anchor: datetime, now: datetime
) -> datetime:
    """Where measuring begins: at a time, at the start of the period that `now` lies in, or now (the default)."""
    if isinstance(wanted, datetime):
        return truncate_minute(wanted)
    if wanted is MeasureFrom.CURRENT_PERIOD_START:
        recurrence = Recurrence(interval=interval, anchor=truncate_minute(anchor))
        return prev_before(recurrence, now, inclusive=True)
    return truncate_minute(now)


def new_timeline(
    *, interval: Duration, anchor: datetime, measured_from: datetime, preserve_overage: bool = False
) -> Timeline:
    """The timeline of a new entitlement; both times are cut to the minute. Refused: `usage_period_too_short`."""
    recurrence = Recurrence(interval=interval, anchor=truncate_minute(anchor))
    first = Entry(since=truncate_minute(measured_from), recurrence=recurrence)
    return Timeline(entries=(first,), preserve_overage=preserve_overage)


def after_reset(
    timeline: Timeline,
    at: datetime,
    *,
    now: datetime,
    retain_anchor: bool = False,
    preserve_overage: bool | None = None,
) -> Timeline:
    """`timeline` with a manual reset at `at`, cut to the minute; without `retain_anchor` it is the new anchor.

    `preserve_overage` None: as at boundaries. Refused: `reset_in_the_future`, `reset_before_the_period` (the running
    one), `reset_too_early` (in the minute of the last reset, or before it).
    """
    path, minute = "$.effectiveAt", truncate_minute(at)
    if at > now:
        raise Refused("reset_in_the_future", "a reset cannot lie in the future", path)
    if minute <= timeline.last_reset:
        last = timeline.last_reset.isoformat()
        raise Refused("reset_too_early", f"not after the last reset, {last}", path)
    begun = timeline.period_at(now).start
    if minute < begun:
        message = f"before the current usage period, which began {begun.isoformat()}"
        raise Refused("reset_before_the_period", message, path)
    recurrence = timeline.entries[-1].recurrence
    if not retain_anchor:
        recurrence = Recurrence(interval=recurrence.interval, anchor=minute)
    preserve = timeline.preserve_overage if preserve_overage is None else preserve_overage
    return Timeline(
        entries=(*timeline.entries, Entry(since=minute, recurrence=recurrence)),
        preserve_overage=timeline.preserve_overage,
        by_hand={**timeline.by_hand, minute: preserve},
    )


def _check_interval(recurrence: Recurrence) -> None:
    first = add_clamped(recurrence.anchor, recurrence.interval) - recurrence.anchor
    if first < INTERVAL_LEAST:
        raise Refused(
            "usage_period_too_short",
            "a usage period has at least one hour",
            "$.usagePeriod.interval",
        )
