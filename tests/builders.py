"""Builders with defaults."""

from datetime import UTC, datetime

from domain.metering.meter import Aggregation
from schemas.catalog import MeterRecord, meter_of

NOON = datetime(2026, 3, 5, 12, 0, tzinfo=UTC)
ULIDS = [f"01ARZ3NDEKTSV4RRFFQ69G5F{i:02d}" for i in range(100)]


def a_meter_record(
    slug="tokens",
    *,
    id=ULIDS[0],
    aggregation="SUM",
    value="$.tokens",
    groups=None,
    version=1,
    **more,
):
    return MeterRecord(
        id=id,
        namespace=more.pop("namespace", "default"),
        slug=slug,
        name=slug,
        aggregation=Aggregation(aggregation),
        event_type=more.pop("event_type", "request"),
        value_property=None if aggregation == "COUNT" else value,
        group_by=groups or {},
        created_at=NOON,
        updated_at=NOON,
        version=version,
        **more,
    )


def an_event(
    id="e1", *, subject="s1", time="2026-03-05T12:00:00Z", source="test", type="request", **data
):
    return {
        "specversion": "1.0",
        "id": id,
        "source": source,
        "type": type,
        "subject": subject,
        "time": time,
        "data": data,
    }


def a_meter(slug="tokens", **more):
    """The rule's meter; takes what `a_meter_record` takes."""
    return meter_of(a_meter_record(slug, **more))
