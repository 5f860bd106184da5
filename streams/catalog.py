"""The catalog as the fold knows it: the newest record of every meter, applied by version, and how far the whole is."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from domain.errors import Refused
from schemas.catalog import CatalogRecord, MeterRecord, meter_of
from streams import metrics

log = logging.getLogger(__name__)


class Catalog:
    """Keeps the newest version of each meter; older records that come late change nothing.

    Records of other kinds only move the version: who reads them has them elsewhere (`tables/catalog_store.py`).
    """

    def __init__(self, on_change: Callable[[CatalogRecord], None]) -> None:
        self._on_change = on_change
        self._newest: dict[str, CatalogRecord] = {}
        self.version = 0
        """The newest version of any record."""
        self.meters_version = 0
        """The newest version of a meter's record."""

    def take(self, record: CatalogRecord) -> None:
        """Apply a record; one whose meter breaks a rule is left out."""
        if record.meter is not None and not self._take_meter(record, record.meter):
            return
        self.reached(record.version)
        self._on_change(record)

    def reached(self, version: int) -> None:
        """Everything up to `version` has been applied."""
        self.version = max(self.version, version)
        metrics.catalog_version.set(self.version)

    def _take_meter(self, record: CatalogRecord, meter: MeterRecord) -> bool:
        known = self._newest.get(meter.id)
        if known is not None and known.version >= record.version:
            return False
        try:
            meter_of(meter)
        except Refused as refused:
            metrics.catalog_refused.inc()
            log.error(
                "catalog record left out: %s",
                refused,
                extra={"meter": meter.id[:40], "version": record.version},
            )
            return False
        self._newest[meter.id] = record
        self.meters_version = max(self.meters_version, record.version)
        return True

    def meters(self) -> Sequence[MeterRecord]:
        """Every meter as it is now, deleted ones too."""
        return [record.meter for record in self._newest.values() if record.meter is not None]
