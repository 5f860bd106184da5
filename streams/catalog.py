"""The catalog as a worker knows it: the newest record of every meter, applied by version."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from schemas.catalog import CatalogRecord, MeterRecord


class Catalog:
    """Keeps the newest version of each entity; older records that come late change nothing."""

    def __init__(self, on_change: Callable[[CatalogRecord], None]) -> None:
        self._on_change = on_change
        self._newest: dict[str, CatalogRecord] = {}
        self.version = 0

    def take(self, record: CatalogRecord) -> None:
        """Apply a record."""
        known = self._newest.get(record.meter.id)
        if known is not None and known.version >= record.version:
            return
        self._newest[record.meter.id] = record
        self.version = max(self.version, record.version)
        self._on_change(record)

    def live(self) -> Sequence[MeterRecord]:
        """The meters that are not deleted."""
        return [record.meter for record in self._newest.values() if record.meter.deleted_at is None]
