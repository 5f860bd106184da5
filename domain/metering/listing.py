"""Which stored events to list, and what is listed."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from domain.metering.filters import TextFilter, TimeFilter


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEvent:
    """An accepted event as listed. `time_s` Unix seconds; `ingested_ms`/`stored_ms` Unix milliseconds; `data` JSON text or ""."""

    id: str
    source: str
    type: str
    subject: str
    time_s: int
    data: str
    ingested_ms: int
    stored_ms: int
    partition: int
    position: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EventListing:
    """Which events to list. `fields` maps id/source/subject/type to filters; newest first, ties by row id descending.

    `before` is the (time_s, ingested_ms, partition, position) of the last event of the page before.
    """

    fields: Mapping[str, TextFilter] = field(default_factory=dict)
    time: TimeFilter | None = None
    ingested: TimeFilter | None = None
    before: tuple[int, int, int, int] | None = None
    limit: int = 100
