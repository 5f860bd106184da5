"""Brings the gauges up to date that tell of Postgres, whenever metrics are asked for."""

from __future__ import annotations

import asyncio
import math
from typing import Protocol

from connectors.postgres.standing import Standing
from domain.errors import Unavailable
from runtime import metrics

LOOK_S_MAX = 2.0


class Looks(Protocol):
    """Where the figures come from."""

    async def look(self) -> Standing:
        """As of now; Unavailable."""
        ...


async def look(source: Looks | None) -> None:
    """Set the gauges; to no number (NaN) when there is no answer in time, so that nobody trusts an old one."""
    unknown = math.nan
    waiting, oldest_s, done, begun = unknown, unknown, unknown, unknown
    if source is not None:
        try:
            async with asyncio.timeout(LOOK_S_MAX):
                found = await source.look()
        except (TimeoutError, Unavailable):
            pass
        else:
            waiting, oldest_s = found.outbox_waiting, found.outbox_oldest_s
            done, begun = found.redrives_done, found.redrives_begun
    metrics.outbox_waiting.set(waiting)
    metrics.outbox_oldest_seconds.set(oldest_s)
    metrics.redrives.labels("done").set(done)
    metrics.redrives.labels("begun").set(begun)
