"""What a fault is, and what it may do to those who ask."""

from __future__ import annotations

import random
from typing import Protocol

from tests.chaos.cluster import Cluster


class Fault(Protocol):
    """`kind` is what `--faults` names. `heals_after_s`: how long it lasts, between these. `reads` and `ingest`: the least part of requests
    that must be answered well while it lasts and until it has healed, when the other api is asked once more."""

    kind: str
    heals_after_s: tuple[float, float]
    reads: float
    ingest: float

    async def inject(self, cluster: Cluster, random: random.Random) -> str:
        """Break it; what was done, for the report."""
        ...

    async def heal(self, cluster: Cluster) -> None:
        """Everything is as before when it returns."""
        ...
