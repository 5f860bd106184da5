"""The history of one balance, for every version of the API. Source: metering §5.8."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from api.balances.accounts import METERED, Account
from api.balances.calls import BalanceCalls
from api.balances.reading import Source
from api.balances.routes import HistoryQuery
from api.balances.shown import origin_of
from api.balances.valuing import Metered, metered, phases_until
from api.entitlements.shown import number
from api.times import in_utc
from domain.credits.engine import open_state
from domain.credits.grant import Grant, GrantId, active_minutes
from domain.credits.segment import Segment
from domain.entitlements.history import History, Window, history
from domain.errors import Refused
from domain.metering.meter import Aggregation
from domain.metering.series import SeriesRow
from domain.metering.windows import zone
from domain.time.interval import Interval, ceil_minute

_WORK_MAX = 200_000_000
"""Values of UNIQUE_COUNT that all windows together may look at: their sets cannot be subtracted like sums."""


async def history_of(
    calls: BalanceCalls, account: Account, query: HistoryQuery
) -> tuple[dict[str, Any], dict[str, str]]:
    """The answer and its headers. Refused, Unavailable."""
    refuse_unmetered(account)
    tz = zone(query.window_time_zone)
    end = in_utc(query.to) if query.to is not None else calls.now()
    until = ceil_minute(end)
    phases_until(account.record, until)
    recompute = calls.stored.recompute
    usage = await recompute.usage([account], until)
    rows = usage.rows[0]

    def evaluate() -> dict[str, Any]:
        found = metered(account, rows)
        start = found.timeline.last_reset if query.from_ is None else in_utc(query.from_)
        _check_work(account, rows, start, end, query)
        opened = open_state(found.plan, found.timeline.measured_from)
        of = history(
            found.plan,
            opened,
            found.usage,
            start=start,
            end=end,
            size=query.window_size,
            zone=tz,
        )
        return _shown(found, of)

    shown = await recompute.evaluated(evaluate, [account], usage, until)
    return shown, origin_of(Source.RECOMPUTED, usage.as_of_ms or 0, calls.wall_ms())


def refuse_unmetered(account: Account) -> None:
    """Only what is metered has a history."""
    if account.record.type != METERED:
        raise Refused("not_metered", f"a {account.record.type} entitlement has no balance")


def _check_work(
    account: Account,
    rows: Sequence[SeriesRow],
    start: datetime,
    end: datetime,
    query: HistoryQuery,
) -> None:
    assert account.meter is not None
    if account.meter.aggregation is not Aggregation.UNIQUE_COUNT:
        return
    values = sum(len(row.values) for row in rows)
    windows = max(0.0, (end - start).total_seconds()) / _LENGTH_S[query.window_size] + 1
    if values * windows > _WORK_MAX:
        raise Refused(
            "history_too_long",
            f"{values} values in {int(windows)} windows: ask for fewer windows",
            "windowSize",
        )


_LENGTH_S = {"MINUTE": 60, "HOUR": 3600, "DAY": 86_400, "MONTH": 2_419_200}


def _shown(found: Metered, of: History) -> dict[str, Any]:
    grants = touching(found.plan.roster.grants, of.segments[0].start, of.segments[-1].end)
    names = [grant.id for grant in grants]
    return {
        "windowedHistory": [_window(window) for window in of.windows],
        "burndownHistory": [segment_shown(segment, names) for segment in of.segments],
    }


def touching(grants: Iterable[Grant], start: datetime, end: datetime) -> list[Grant]:
    """The grants that were active at some time of a history."""
    found = []
    for grant in grants:
        active = active_minutes(grant)
        if (
            active.start <= end
            and not active.is_empty
            and (active.end is None or active.end > start)
        ):
            found.append(grant)
    return found


def segment_shown(segment: Segment, names: Sequence[GrantId]) -> dict[str, Any]:
    """A segment of the burn-down, with all grants of `names`."""
    held, left = segment.balances, segment.balances_at_end
    nothing = Decimal(0)
    return {
        "period": _period(Interval(start=segment.start, end=segment.end)),
        "usage": number(segment.usage),
        "overage": number(segment.overage),
        "balanceAtStart": number(segment.balance),
        "grantBalancesAtStart": {str(id_): number(held.get(id_, nothing)) for id_ in names},
        "balanceAtEnd": number(segment.balance_at_end),
        "grantBalancesAtEnd": {str(id_): number(left.get(id_, nothing)) for id_ in names},
        "grantUsages": [
            {"grantId": str(id_), "usage": number(share)} for id_, share in segment.taken
        ],
    }


def _window(window: Window) -> dict[str, Any]:
    return {
        "period": _period(window.period),
        "usage": number(window.usage),
        "balanceAtStart": number(window.balance_at_start),
    }


def _period(period: Interval) -> dict[str, Any]:
    return {"from": period.start, "to": period.end}
