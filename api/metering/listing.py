"""Listing stored events and judging each against the meters there are now. Source: metering §1.6, §1.7."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from api.ports import EventListing, Ports, StoredEvent
from domain.errors import Refused
from domain.metering.jsonpath import MISSING
from domain.metering.judge import problems
from domain.metering.meter import Meter
from schemas.cloudevents import decode_data


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedEvent:
    """A stored event, whose it is, and what keeps it from counting.

    `data` is the JSON text of its data, which may be null; None when it has none, or none that is JSON.
    """

    event: StoredEvent
    data: msgspec.Raw | None
    customer_id: str | None
    problems: Sequence[str]


async def list_events(ports: Ports, listing: EventListing) -> list[JudgedEvent]:
    """The events that fit, newest first. Unavailable."""
    events = await ports.events.list_events(listing)
    if not events:
        return []
    meters = await ports.meters.of_types(sorted({event.type for event in events}))
    owners = await ports.customers.of_subjects(sorted({event.subject for event in events}))
    return [_judged(event, meters, owners.get(event.subject)) for event in events]


def _judged(event: StoredEvent, meters: Sequence[Meter], owner: str | None) -> JudgedEvent:
    found: list[str] = []
    data = msgspec.Raw(event.data.encode()) if event.data else None
    try:
        read = MISSING if data is None else decode_data(data)
    except Refused as refused:
        data = None
        found.append(f"invalid event: failed to parse event data: {refused}")
    else:
        found += problems(event.type, read, meters)
    if owner is None:
        found.append(f"no customer found for event subject: {event.subject}")
    return JudgedEvent(event=event, data=data, customer_id=owner, problems=found)
