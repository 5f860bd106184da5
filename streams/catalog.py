"""The catalog as a worker knows it: the newest record of every meter, applied by version."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from domain.errors import Refused
from schemas.catalog import CatalogRecord, MeterRecord, meter_of
from streams import metrics

log = logging.getLogger(__name__)


class Catalog:
    """Keeps the newest version of each entity; older records that come late change nothing."""

    def __init__(self, on_change: Callable[[CatalogRecord], None]) -> None:
        self._on_change = on_change
        self._newest: dict[str, CatalogRecord] = {}
        self.version = 0

    def take(self, record: CatalogRecord) -> None:
        """Apply a record; one whose meter breaks a rule is left out."""
        if record.meter is None:
            return
        known = self._newest.get(record.meter.id)
        if known is not None and known.version >= record.version:
            return
        try:
            meter_of(record.meter)
        except Refused as refused:
            metrics.catalog_refused.inc()
            log.error(
                "catalog record left out: %s",
                refused,
                extra={"meter": record.meter.id[:40], "version": record.version},
            )
            return
        self._newest[record.meter.id] = record
        self.version = max(self.version, record.version)
        metrics.catalog_version.set(self.version)
        self._on_change(record)

    def meters(self) -> Sequence[MeterRecord]:
        """Every meter as it is now, deleted ones too."""
        return [record.meter for record in self._newest.values() if record.meter is not None]
