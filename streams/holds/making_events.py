"""The CloudEvents of a confirmation: made of what was used, or given; in both cases they must be the customer's usage of the meter."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

import msgspec

from domain.errors import NotFound, Refused
from domain.holds.hold import Counting, Hold
from domain.holds.made_events import datas_of, needs_event
from domain.time.interval import truncate_minute
from schemas.catalog import CustomerRecord, FeatureRecord, MeterRecord, meter_of
from schemas.cloudevents import Envelope, decode_record, encode_event
from streams.holds.ports import CatalogView

SOURCE = "meterstream/holds"


_encode = msgspec.json.Encoder(decimal_format="number").encode
"""Decimals as JSON numbers, every digit kept."""


def counting_of_used(
    hold: Hold, used: Decimal, catalog: CatalogView, now: datetime
) -> Counting | None:
    """What counts `used`; None for nothing. Refused when no event can be made."""
    if not used:
        return None
    feature, meter = _feature(hold, catalog), _meter(hold, catalog)
    subject = _subject_of(_customer(hold, catalog), catalog)
    datas = datas_of(meter_of(meter), feature.filters, used)
    return Counting(
        subject=subject,
        minute=truncate_minute(now),
        events=tuple(
            encode_event(
                Envelope(
                    id=f"hold-{hold.id}" if len(datas) == 1 else f"hold-{hold.id}-{number}",
                    source=SOURCE,
                    type=meter.event_type,
                    subject=subject,
                    specversion="1.0",
                    time=now,
                    data=msgspec.Raw(_encode(data)),
                )
            ).decode()
            for number, data in enumerate(datas)
        ),
    )


def counting_of_event(hold: Hold, text: str, catalog: CatalogView) -> Counting:
    """What counts the event that was given, under its own id: it counts once, whoever sends it how often. Refused."""
    event = decode_record(text.encode())[0]
    customer, meter = _customer(hold, catalog), _meter(hold, catalog)
    if event.type != meter.event_type:
        raise Refused(
            "hold_event_of_other_type",
            f"the meter looks at events of type {meter.event_type[:200]!r}",
            "$.event.type",
        )
    if catalog.customer_of(event.subject) != customer.id:
        raise Refused(
            "hold_event_of_other_subject",
            f"{event.subject[:200]!r} is no subject of the customer",
            "$.event.subject",
        )
    assert event.time is not None
    return Counting(
        subject=event.subject,
        minute=truncate_minute(event.time),
        events=(encode_event(event).decode(),),
    )


def record_of(counting: Counting) -> bytes:
    """The value of the one record that all the events are in."""
    texts: Sequence[str] = counting.events
    return (texts[0] if len(texts) == 1 else f"[{','.join(texts)}]").encode()


def _customer(hold: Hold, catalog: CatalogView) -> CustomerRecord:
    found = catalog.customer(hold.customer_id)
    if found is None or found.deleted_at is not None:
        raise NotFound("the customer is deleted")
    return found


def _feature(hold: Hold, catalog: CatalogView) -> FeatureRecord:
    found = catalog.feature(hold.feature_id)
    if found is None:
        raise NotFound("the feature is not there any more")
    return found


def _subject_of(customer: CustomerRecord, catalog: CatalogView) -> str:
    for subject in (customer.key, *customer.subject_keys):
        if subject is not None and catalog.customer_of(subject) == customer.id:
            return subject
    raise needs_event("the customer has neither a key nor a subject")


def _meter(hold: Hold, catalog: CatalogView) -> MeterRecord:
    feature = _feature(hold, catalog)
    meter = None if feature.meter_id is None else catalog.meter(feature.meter_id)
    if meter is None:
        raise needs_event("the feature has no meter")
    return meter
