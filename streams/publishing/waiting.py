"""Which balances are to be published: each once, however often it changes, with the newest cause."""

from __future__ import annotations

from collections.abc import Iterable

from schemas.balance_changes import Cause

_STRENGTH = {
    Cause.USAGE: 0,
    Cause.HOLD: 1,
    Cause.RESET: 2,
    Cause.MANAGEMENT: 3,
    Cause.GRANT: 4,
}
"""Of two causes before one publication the greater one is told."""


class Waiting:
    """Ids in the order in which they first changed, at most `size_max`. Past it all of the partition has to be looked at."""

    def __init__(self, size_max: int) -> None:
        self._size_max = size_max
        self._causes: dict[str, Cause] = {}
        self.overflowed = False
        """More changed than could be remembered; who looks at everything sets it back."""

    def __len__(self) -> int:
        return len(self._causes)

    def add(self, ids: Iterable[str], cause: Cause) -> None:
        """These changed."""
        causes = self._causes
        for id in ids:
            before = causes.get(id)
            if before is None and len(causes) >= self._size_max:
                self.overflowed = True
            elif before is None or _STRENGTH[cause] > _STRENGTH[before]:
                causes[id] = cause

    def take(self) -> dict[str, Cause]:
        """All of them; none is left."""
        taken, self._causes = self._causes, {}
        return taken

    def forget_oldest(self) -> None:
        """Make room: what a standby remembers is looked at anyway when it takes over."""
        excess = len(self._causes) - self._size_max // 2
        for id in list(self._causes)[: max(0, excess)]:
            del self._causes[id]
        self.overflowed = False
