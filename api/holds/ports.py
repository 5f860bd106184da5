"""What holds need from outside."""

from __future__ import annotations

from typing import Protocol

from schemas.holds import HoldCall, HoldTold


class WorkerHolds(Protocol):
    """The worker that decides of a customer's holds."""

    async def ask(self, call: HoldCall) -> HoldTold:
        """What it says. Unavailable: nobody could be asked, or it is not known what became of it: ask again, with the same key."""
        ...
