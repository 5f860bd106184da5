"""Listing stored events and judging each against the meters there are now. Source: metering §1.6, §1.7."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

import msgspec

from api.ports import EventListing, Ports, StoredEvent
from domain.metering.jsonpath import MISSING
from domain.metering.judge import problems
from domain.metering.meter import Meter

_decode_data = msgspec.json.Decoder(float_hook=Decimal).decode


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedEvent:
    """A stored event, whose it is, and what keeps it from counting."""

    event: StoredEvent
    customer_id: str | None
    problems: Sequence[str]

    @property
    def data(self) -> msgspec.Raw | None:
        """The JSON text of its data, which may be null; None when it has none."""
        return msgspec.Raw(self.event.data.encode()) if self.event.data else None


async def list_events(ports: Ports, listing: EventListing) -> list[JudgedEvent]:
    """The events that fit, newest first. Unavailable."""
    events = await ports.events.list_events(listing)
    if not events:
        return []
    meters = await ports.meters.of_types(sorted({event.type for event in events}))
    owners = await ports.customers.of_subjects(sorted({event.subject for event in events}))
    return [
        JudgedEvent(
            event=event,
            customer_id=owners.get(event.subject),
            problems=_problems(event, meters, owners.get(event.subject)),
        )
        for event in events
    ]


def _problems(event: StoredEvent, meters: Sequence[Meter], owner: str | None) -> list[str]:
    nobody = [] if owner else [f"no customer found for event subject: {event.subject}"]
    try:
        data = _decode_data(event.data) if event.data else MISSING
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        return [*nobody, f"invalid event: failed to parse event data: {error}"]
    found = problems(event.type, data, meters)
    return [*found, *nobody]
