"""In-memory stand-ins for the ports; tests/contract holds them to what the real ones do."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from domain.errors import Conflict, NotFound
from domain.metering.meter import Meter
from domain.metering.ulid import is_ulid
from schemas.catalog import CatalogRecord, record_of

_ORDERS = {
    "key": "slug",
    "name": "name",
    "aggregation": "aggregation",
    "createdAt": "created_at",
    "updatedAt": "updated_at",
}


class MemoryMeters:
    """The port `Meters` in a dict; `outbox` is what the workers would be told."""

    def __init__(self, namespace: str, now: Callable[[], datetime]) -> None:
        self._namespace = namespace
        self._now = now
        self._meters: dict[str, Meter] = {}
        self.outbox: list[CatalogRecord] = []
        self.refuse: Callable[[Meter, Meter], None] = lambda before, after: None
        """What features forbid: `MemoryFeatures` sets it."""

    async def create(self, meter: Meter) -> Meter:
        stored = replace(meter, id=meter.id.upper())
        if stored.id in self._meters or any(m.slug == meter.slug for m in self._live()):
            raise Conflict(f"a live meter has the slug {meter.slug!r}")
        self._store(stored)
        return stored

    async def find(self, id_or_slug: str) -> Meter:
        if is_ulid(id_or_slug) and id_or_slug.upper() in self._meters:
            return self._meters[id_or_slug.upper()]
        for meter in self._live():
            if meter.slug == id_or_slug:
                return meter
        raise NotFound(f"no meter has the id or slug {id_or_slug[:80]!r}")

    async def update(self, id_or_slug: str, change: Callable[[Meter], Meter]) -> Meter:
        before = await self.find(id_or_slug)
        after = change(before)
        if after != before:
            self.refuse(before, after)
            self._store(after)
        return after

    async def delete(self, id_or_slug: str) -> None:
        meter = await self.find(id_or_slug)
        if meter.deleted_at is None:
            after = replace(meter, deleted_at=self._now())
            self.refuse(meter, after)
            self._store(after)

    async def list_meters(
        self, *, order_by: str, descending: bool, include_deleted: bool, limit: int
    ) -> list[Meter]:
        found = list(self._meters.values()) if include_deleted else self._live()
        key = _ORDERS[order_by]
        found.sort(key=lambda meter: (getattr(meter, key), meter.id), reverse=descending)
        return found[:limit]

    async def of_types(self, event_types: Sequence[str]) -> list[Meter]:
        found = [meter for meter in self._live() if meter.event_type in event_types]
        return sorted(found, key=lambda meter: meter.slug)

    def _live(self) -> list[Meter]:
        return [meter for meter in self._meters.values() if meter.deleted_at is None]

    def _store(self, meter: Meter) -> None:
        self._meters[meter.id] = meter
        self.outbox.append(
            CatalogRecord(kind="meter", version=len(self.outbox) + 1, meter=record_of(meter))
        )
