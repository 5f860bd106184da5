"""Which events of a partition are the first of their identity: judged again from the log, in its order.

The rule is that of a worker: an id is remembered in the week that it arrived in, and the week goes when it ended longer
than `dedupe.window` before the newest arrival. A week that may go goes a little later, when ClickHouse has everything;
so what repeats an id of such a week may be either, and the verdict that was given is taken. Source: docs/internals.md, "Expiry".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, Protocol

from schemas.state import WEEK_MS


class Fate(Enum):
    """What an event is by the log."""

    ACCEPTED = 1
    DUPLICATE = 2


class First(NamedTuple):
    """Where an identity was accepted. `certain` is False when a worker may have remembered it or not."""

    position: int
    arrived_ms: int
    certain: bool = True


class Identities(Protocol):
    """What is remembered of one partition's identities."""

    def find(self, hashes: Sequence[bytes]) -> list[First | None]:
        """What is known of each."""
        ...

    def remember(self, found: Mapping[bytes, First]) -> None:
        """Put these in place of what was known."""
        ...


class Judged(NamedTuple):
    """An event's fate, and where its first stands."""

    fate: Fate
    first: int | None


@dataclass(slots=True)
class Judge:
    """Judges the events of one partition in the order of the log; `newest_ms` is the newest arrival of any of its records until now."""

    identities: Identities
    window_ms: int
    newest_ms: int = 0

    def judge(
        self,
        positions: Sequence[int],
        hashes: Sequence[bytes],
        arrived_ms: Sequence[int],
        stored: Mapping[int, bool],
        *,
        newest_ms: int,
        without: frozenset[int] | set[int] = frozenset(),
    ) -> list[Judged]:
        """One for each event. `stored`: the verdicts given, by position; events at `without` are judged but not remembered.

        `newest_ms`: the newest arrival of the records that these stand in or between, refused ones and those of other subjects
        too: by them a worker forgets.
        """
        self.newest_ms = max(self.newest_ms, newest_ms)
        known: dict[bytes, First] = {
            key: first
            for key, first in zip(hashes, self.identities.find(hashes), strict=True)
            if first is not None
        }
        new: dict[bytes, First] = {}
        judged: list[Judged] = []
        for at, key, arrived in zip(positions, hashes, arrived_ms, strict=True):
            first = known.get(key)
            self_first = First(at, arrived)
            if first is None:
                judged.append(_ACCEPTED)
            elif first.certain and not self._may_be_forgotten(first):
                judged.append(Judged(Fate.DUPLICATE, first.position))
                continue
            elif at not in stored:  # nobody knows: what repeats it may be either, too
                judged.append(_ACCEPTED)
                self_first = First(at, arrived, certain=False)
            elif stored[at]:
                judged.append(_ACCEPTED)
            else:
                judged.append(Judged(Fate.DUPLICATE, first.position))
                continue
            if at not in without:
                known[key] = new[key] = self_first
        self.identities.remember(new)
        return judged

    def _may_be_forgotten(self, first: First) -> bool:
        week_ends_ms = (first.arrived_ms // WEEK_MS + 1) * WEEK_MS
        return week_ends_ms + self.window_ms < self.newest_ms


_ACCEPTED = Judged(Fate.ACCEPTED, None)
