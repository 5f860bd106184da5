"""Examples of entitlements: a timeline, grants and usage, asked for values, histories, periods and thresholds.

input:
  usage_period: {interval: P1D, anchor: …}      measure_usage_from: …     aggregation: SUM
  preserve_overage_at_reset: false              is_soft_limit: false
  grants: [as in simulate credits]              usage: [as in simulate credits]
  resets: [{at: …, retain_anchor: false, preserve_overage: null}]     made in this order, each at its own time
  value: TIME | history: {from, to, window_size, time_zone} | periods: {from, to} | period_at: TIME
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from domain.credits.cuts import Plan
from domain.credits.engine import evaluate, open_state
from domain.credits.readings import Readings
from domain.credits.roster import Roster
from domain.credits.segment import Segment
from domain.credits.usage import Reading
from domain.entitlements.entitlement import (
    Entitlement,
    Metered,
    MeteredAccess,
    access,
    value_instant,
)
from domain.entitlements.history import history
from domain.entitlements.thresholds import Kind, Level, Threshold, ThresholdType, reached, to_tell
from domain.entitlements.usage_period import Timeline, after_reset, new_timeline
from domain.metering.meter import Aggregation
from domain.metering.windows import WindowSize, zone
from domain.time.interval import Interval
from runtime.simulate.credits_case import read_grant
from runtime.simulate.credits_readings import quantity
from runtime.simulate.reading import Fields, choice, duration, flag, list_of, text, time
from runtime.simulate.writing import decimal_text, json_number, time_text

Answer = dict[str, object]


def entitlement(case: dict[str, object]) -> Answer:
    fields = Fields(case)
    timeline = _timeline(fields)
    if fields.has("period_at"):
        return _period(timeline.period_at(fields.get("period_at", time)))
    if fields.has("periods"):
        return _starts(timeline, fields.get("periods", Fields))
    aggregation = fields.optional("aggregation", choice(Aggregation)) or Aggregation.SUM
    plan = Plan(Roster(fields.get("grants", list_of(read_grant))), timeline, aggregation)
    usage = Readings(aggregation, fields.get("usage", list_of(_reading)))
    if fields.has("history"):
        return _history(plan, timeline, usage, fields.get("history", Fields))
    at = fields.get("value", time)
    opened = open_state(plan, timeline.measured_from)
    standing = evaluate(plan, opened, usage, value_instant(at)).standing
    soft = fields.optional("is_soft_limit", flag) or False
    entitlement = Entitlement(
        id="e",
        customer_id="c",
        feature_key="f",
        active=Interval(start=timeline.measured_from, end=None),
        terms=Metered(timeline=timeline, is_soft_limit=soft),
    )
    value = access(entitlement, at, standing)
    assert isinstance(value, MeteredAccess)
    return {
        "has_access": value.has_access,
        "balance": json_number(value.balance),
        "usage": json_number(value.usage),
        "overage": json_number(value.overage),
        "total_available": json_number(value.total_available),
        "grant_balances": _numbers(value.grant_balances),
    }


def threshold(case: dict[str, object]) -> Answer:
    fields = Fields(case)
    level = Level(
        usage=fields.get("usage", quantity),
        balance=fields.get("balance", quantity),
        overage=fields.optional("overage", quantity) or Decimal(0),
        total_available=fields.optional("total_available", quantity),
    )
    picked = reached(fields.get("thresholds", list_of(_threshold)), level)
    told = {t.kind: t for t in fields.optional("told", list_of(_threshold)) or []}
    return {
        "reached": {kind: _named(picked[kind]) for kind in Kind if kind in picked},
        "told_now": [_named(threshold) for threshold in to_tell(picked, told).values()],
    }


def _threshold(value: object, path: str) -> Threshold:
    fields = Fields(value, path)
    return Threshold(fields.get("type", choice(ThresholdType)), fields.get("value", quantity))


def _named(threshold: Threshold) -> str:
    return f"{threshold.type} {decimal_text(threshold.value)}"


def _timeline(fields: Fields) -> Timeline:
    period = fields.get("usage_period", Fields)
    timeline = new_timeline(
        interval=period.get("interval", duration),
        anchor=period.get("anchor", time),
        measured_from=fields.get("measure_usage_from", time),
        preserve_overage=fields.optional("preserve_overage_at_reset", flag) or False,
    )
    for reset in fields.optional("resets", list_of(Fields)) or []:
        timeline = after_reset(
            timeline,
            reset.get("at", time),
            now=reset.optional("made_at", time) or reset.get("at", time),
            retain_anchor=reset.optional("retain_anchor", flag) or False,
            preserve_overage=reset.optional("preserve_overage", flag),
        )
    return timeline


def _reading(value: object, path: str) -> Reading:
    fields = Fields(value, path)
    return Reading(fields.get("at", time), fields.get("value", quantity))


def _period(period: Interval) -> Answer:
    assert period.end is not None
    return {"from": time_text(period.start), "to": time_text(period.end)}


def _starts(timeline: Timeline, asked: Fields) -> Answer:
    start, end = asked.get("from", time), asked.get("to", time)
    begun = [timeline.measured_from] if start <= timeline.measured_from <= end else []
    starts = [*begun, *(reset.at for reset in timeline.between(start, end))]
    return {"starts": [time_text(at) for at in starts]}


def _history(plan: Plan, timeline: Timeline, usage: Readings, asked: Fields) -> Answer:
    found = history(
        plan,
        open_state(plan, timeline.measured_from),
        usage,
        start=asked.get("from", time),
        end=asked.get("to", time),
        size=asked.get("window_size", choice(WindowSize)),
        zone=zone(asked.optional("time_zone", text) or ""),
    )
    return {
        "windows": [
            {
                "from": time_text(window.period.start),
                "usage": json_number(window.usage),
                "balance_at_start": json_number(window.balance_at_start),
            }
            for window in found.windows
        ],
        "segments": [_segment(segment) for segment in found.segments],
    }


def _segment(segment: Segment) -> Answer:
    return {
        "from": time_text(segment.start),
        "to": time_text(segment.end),
        "usage": json_number(segment.usage),
        "overage": json_number(segment.overage),
        "balance_at_start": json_number(segment.balance),
        "balance_at_end": json_number(segment.balance_at_end),
        "grants_at_start": _numbers(segment.balances),
        "grants_at_end": _numbers(segment.balances_at_end),
        "taken": _numbers(dict(segment.taken)),
    }


def _numbers(amounts: Mapping[str, Decimal]) -> Answer:
    return {id_: json_number(amount) for id_, amount in amounts.items()}
