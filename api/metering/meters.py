"""Meters: making and changing them. Ids and times come from the ports. Source: metering §2.1, §2.2."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from api.ports import Ports
from domain.metering.meter import Aggregation, Meter, changed, new_meter

METERS_MAX = 1000
"""How many meters a list shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterRules:
    """What the configuration says about meters."""

    namespace: str
    reserved_event_types: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMeter:
    """A meter as it was asked for."""

    slug: str
    aggregation: Aggregation
    event_type: str
    name: str | None = None
    description: str | None = None
    metadata: Mapping[str, str] | None = None
    value_property: str | None = None
    group_by: Mapping[str, str] | None = None
    event_from: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterChange:
    """A meter's new face: None says that the request left it out."""

    name: str | None = None
    description: str | None = None
    metadata: Mapping[str, str] | None = None
    group_by: Mapping[str, str] | None = None


async def create(ports: Ports, rules: MeterRules, asked: NewMeter) -> Meter:
    """Make a meter. Refused, Conflict."""
    meter = new_meter(
        id=ports.new_id(),
        namespace=rules.namespace,
        slug=asked.slug,
        aggregation=asked.aggregation,
        event_type=asked.event_type,
        at=ports.now(),
        name=asked.name,
        description=asked.description,
        metadata=asked.metadata,
        value_property=asked.value_property,
        group_by=asked.group_by,
        event_from=asked.event_from,
        reserved=rules.reserved_event_types,
    )
    return await ports.meters.create(meter)


async def update(ports: Ports, id_or_slug: str, asked: MeterChange) -> Meter:
    """Change a meter, a deleted one too. Refused, NotFound, Conflict."""

    def change(meter: Meter) -> Meter:
        return changed(
            meter,
            name=asked.name,
            description=asked.description,
            metadata=asked.metadata,
            group_by=asked.group_by,
            at=ports.now(),
        )

    return await ports.meters.update(id_or_slug, change)
