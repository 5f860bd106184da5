"""Applies the clock that a test has set (`testing.clock`) to this process, and follows it in an api process.

Workers learn of it by the catalog topic. An api process asks Postgres, and the one that took the PUT knows at once.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

from domain.errors import Unavailable
from runtime import clock
from runtime.clock import Setting
from schemas.catalog import CatalogRecord, ClockRecord

log = logging.getLogger(__name__)

_ASK_AGAIN_S = 0.1


class ClockSwitch:
    """The newest change of the clock that this process has seen decides what `runtime.clock` answers."""

    def __init__(self) -> None:
        self.version = 0

    def take(self, record: CatalogRecord) -> None:
        """Apply a record of the catalog; those of other kinds and older ones change nothing."""
        if record.clock is None or record.version <= self.version:
            return
        self.version = record.version
        clock.set_time(setting_of(record.clock))
        log.info("the clock was set", extra={"now": clock.now().isoformat()})


def setting_of(record: ClockRecord) -> Setting | None:
    """What `runtime.clock` is to go by."""
    if record.at is None or record.since is None:
        return None
    return Setting(at=record.at, since=record.since, frozen=record.frozen)


class Stored(Protocol):
    """Where the clock is kept."""

    async def read(self) -> CatalogRecord | None:
        """The newest change; None when there is none. Unavailable."""
        ...


async def follow(stored: Stored, switch: ClockSwitch) -> None:
    """Apply what other api processes set, until cancelled."""
    while True:
        try:
            record = await stored.read()
        except Unavailable as cause:
            log.warning("the testing clock waits", extra={"cause": str(cause)})
        else:
            if record is not None:
                switch.take(record)
        await asyncio.sleep(_ASK_AGAIN_S)
