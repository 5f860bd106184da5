"""Features: making them. Ids and times come from the ports. Source: metering §4."""

from __future__ import annotations

from api.ports import Ports
from domain.errors import NotFound
from domain.features.feature import Feature, FeatureFace, new_feature


async def create(ports: Ports, namespace: str, face: FeatureFace) -> Feature:
    """Make a feature. Refused, Conflict; NotFound for its meter."""
    meter = None if face.meter is None else await ports.meters.find(face.meter)
    if meter is not None and meter.deleted_at is not None:
        raise NotFound(f"meter is deleted: {meter.id}")
    feature = new_feature(face, id=ports.new_id(), namespace=namespace, meter=meter, at=ports.now())
    return await ports.features.create(feature)
