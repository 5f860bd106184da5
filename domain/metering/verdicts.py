"""What became of an event that was stored: it counted, or it had counted before."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

Place = tuple[int, int]
"""(partition, position)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictListing:
    """Whose verdicts: events with exactly this id and, where given, this source and subject, at event times `[start_s, end_s)`."""

    id: str
    source: str | None = None
    subject: str | None = None
    start_s: int | None = None
    end_s: int | None = None
    limit: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredVerdict:
    """One event as it was judged. `time_s` Unix seconds; `ingested_ms` and `stored_ms` Unix milliseconds."""

    id: str
    source: str
    type: str
    subject: str
    time_s: int
    ingested_ms: int
    stored_ms: int
    partition: int
    position: int
    accepted: bool

    @property
    def place(self) -> Place:
        """Where it stands."""
        return self.partition, self.position


def originals(verdicts: Iterable[StoredVerdict]) -> Mapping[Place, Place]:
    """For each duplicate the place of the event that counted: the last accepted one of its identity before it.

    An identity can be accepted more than once, as often as its dedupe window has passed in between. A duplicate whose
    original is not among `verdicts` is left out.
    """
    newest: dict[tuple[int, str, str, str], Place] = {}
    found: dict[Place, Place] = {}
    for verdict in sorted(verdicts, key=_place):
        identity = (verdict.partition, verdict.source, verdict.id, verdict.subject)
        if verdict.accepted:
            newest[identity] = verdict.place
        elif identity in newest:
            found[verdict.place] = newest[identity]
    return found


def in_order(verdicts: Iterable[StoredVerdict]) -> Sequence[StoredVerdict]:
    """By arrival; equal ones by partition and position."""
    return sorted(verdicts, key=lambda verdict: (verdict.ingested_ms, *verdict.place))


def _place(verdict: StoredVerdict) -> Place:
    return verdict.place
