"""An explanation as JSON: the form that pages and the command line show, too."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from api.balances.explaining import ExplainedSegment, Explanation
from api.balances.history import segment_shown
from api.balances.shown import value_v2
from api.entitlements.shown import number
from api.times import of_ms
from domain.credits.explanation import Cause
from domain.credits.grant import Grant, GrantId
from domain.entitlements.readings import minute_at
from domain.errors import Refused
from domain.metering.meter import Aggregation, Meter
from domain.metering.series import SeriesRow, nearest, quantity
from domain.metering.usage_events import EventPlace, UsageEvent
from domain.time.duration import format_duration
from schemas.position import index_of, offset_of


def shown(found: Explanation) -> dict[str, Any]:
    """All of it."""
    record, meter = found.account.record, found.account.meter
    assert meter is not None
    names = [grant.id for grant in found.of.grants]
    running = _running(found)
    return {
        "entitlement": {
            "id": record.id,
            "customerId": record.customer_id,
            "featureId": record.feature_id,
            "featureKey": record.feature_key,
            "isSoftLimit": record.is_soft_limit,
            "measureUsageFrom": record.measured_from,
            "activeFrom": record.active_from,
            **({} if record.active_to is None else {"activeTo": record.active_to}),
        },
        "usageOf": {
            "subjects": list(found.account.subjects),
            "meter": _meter(meter),
            "filters": dict(found.account.feature.filters),
        },
        "at": found.at,
        "usageBefore": found.until,
        "value": value_v2(found.of.value),
        **({} if running is None else {"running": running}),
        "currentUsagePeriod": {"from": found.of.period.start, "to": found.of.period.end},
        "from": found.of.start,
        "grants": [_grant(grant, found) for grant in found.of.grants],
        "resets": [
            {
                "at": reset.at,
                "byHand": reset.at in found.of.by_hand,
                "preserveOverage": reset.preserve_overage,
            }
            for reset in found.of.resets
        ],
        "segments": [_segment(one, names, meter) for one in found.of.segments],
        "events": {
            "items": [_event(event, found) for event in found.events],
            **({} if found.next_event is None else {"nextCursor": cursor(found.next_event)}),
        },
    }


def cursor(place: EventPlace) -> str:
    """Names the place of an event, for what comes after it."""
    text = ",".join(map(str, place))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def place_of(text: str) -> EventPlace:
    """The inverse of `cursor`. Refused."""
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        second, partition, position = map(int, raw.decode().split(","))
    except (binascii.Error, ValueError):
        raise Refused("invalid_cursor", "not a cursor that an answer gave", "cursor") from None
    if not (abs(second) < 1 << 40 and 0 <= partition < 1 << 31 and 0 <= position < 1 << 63):
        raise Refused("invalid_cursor", "not a cursor that an answer gave", "cursor")
    return EventPlace(second, partition, position)


def _meter(meter: Meter) -> dict[str, Any]:
    return {
        "id": meter.id,
        "slug": meter.slug,
        "aggregation": meter.aggregation,
        "eventType": meter.event_type,
        **({} if meter.value_property is None else {"valueProperty": meter.value_property}),
        "groupBy": dict(meter.group_by),
    }


def _running(found: Explanation) -> dict[str, Any] | None:
    """What a worker says, with what holds have reserved of it."""
    read = found.running
    if read is None or not read.values:
        return None
    (value,) = read.values[:1]
    told: dict[str, Any] = {"source": read.source, **value_v2(value)}
    if read.as_of_ms:
        told["asOf"] = of_ms(read.as_of_ms)
    if value.held is not None:
        told["held"] = number(value.held)
    return told


def _grant(grant: Grant, found: Explanation) -> dict[str, Any]:
    left = (found.of.value.grant_balances or {}).get(grant.id)
    recurrence = grant.recurrence
    told = {
        "id": grant.id,
        "amount": number(grant.amount),
        "priority": grant.priority,
        "effectiveAt": grant.effective_at,
        "expiresAt": grant.expires_at,
        "voidedAt": grant.voided_at,
        "deletedAt": grant.deleted_at,
        "minRolloverAmount": number(grant.min_rollover),
        "maxRolloverAmount": number(grant.max_rollover),
        "recurrence": recurrence
        and {"interval": format_duration(recurrence.interval), "anchor": recurrence.anchor},
        "balance": None if left is None else number(left),
    }
    return {name: value for name, value in told.items() if value is not None}


def _segment(one: ExplainedSegment, names: Sequence[GrantId], meter: Meter) -> dict[str, Any]:
    segment = one.step.segment
    ended_by = segment.ended_by
    return {
        **segment_shown(segment, names),
        "overageAtStart": number(segment.overage_at_start),
        "causes": [_cause(cause) for cause in one.step.causes],
        **({} if ended_by is None else {"endedBy": ended_by}),
        "rowCount": one.row_count,
        "eventCount": one.event_count,
        "rows": [_row(row, meter) for row in one.rows],
    }


def _cause(cause: Cause) -> dict[str, Any]:
    return {"why": cause.why, **({} if cause.grant is None else {"grantId": cause.grant})}


def _row(row: SeriesRow, meter: Meter) -> dict[str, Any]:
    """One row of usage: `usage` is what it adds; of LATEST its value, of UNIQUE_COUNT how many values, seen before or not."""
    told: dict[str, Any] = {
        "minute": minute_at(row.minute),
        "subject": row.subject,
        "events": row.row.count,
        "usage": number(_used(row, meter.aggregation)),
        "partition": row.partition,
        "firstOffset": offset_of(row.row.epoch),
        "lastOffset": offset_of(row.row.position),
    }
    if row.groups:
        told["groupBy"] = dict(zip(sorted(meter.group_by), row.groups, strict=True))
    return told


def _used(row: SeriesRow, aggregation: Aggregation) -> Any:
    if aggregation is Aggregation.LATEST:
        return nearest(0 if row.row.latest is None else row.row.latest.value)
    if aggregation is Aggregation.UNIQUE_COUNT:
        return nearest(len(row.values))
    return quantity(row.row, aggregation)


def _event(event: UsageEvent, found: Explanation) -> dict[str, Any]:
    meter = found.account.meter
    assert meter is not None
    at = datetime.fromtimestamp(event.place.second, UTC)
    told: dict[str, Any] = {
        "id": event.id,
        "source": event.source,
        "subject": event.subject,
        "time": at,
        "arrivedAt": of_ms(event.arrived_ms),
        "partition": event.place.partition,
        "offset": offset_of(event.place.position),
        "index": index_of(event.place.position),
        "verdict": "accepted" if event.counts else "duplicate",
        "counts": event.counts and event.is_number,
    }
    if event.value is not None:
        told["value"] = event.value
    if event.groups:
        told["groupBy"] = dict(zip(sorted(meter.group_by), event.groups, strict=True))
    segment = _segment_at(at, found)
    if segment is not None:
        told["segment"] = segment
    return told


def _segment_at(at: datetime, found: Explanation) -> int | None:
    """The place of the segment in the list that the event's minute lies in."""
    for place in range(len(found.of.segments) - 1, -1, -1):
        segment = found.of.segments[place].step.segment
        if segment.start <= at < segment.end:
            return place
    return None
