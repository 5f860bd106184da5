"""Sends refused records again: those that would be taken now, once each, however often it is interrupted and run.

The book (Postgres) is written before and after a batch is sent. What was begun and not finished is sent again while the
dedupe window surely remembers its ids, and left alone after that. Source: docs/decisions/0110.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from connectors.kafka.original_records import OriginalRecord
from connectors.kafka.redriven_events import RedrivenEvent
from connectors.postgres.redrives import Redrive
from domain.errors import Refused, Unavailable
from domain.metering.rejected import Place, RejectedListing, RejectedRecord
from runtime.redrive.judging import Candidate, judge
from schemas.avro_records import schema_id
from schemas.avro_schemas import Schemas
from schemas.binary_mode import Headers
from schemas.rejected import redriven_from
from streams.fetched_schemas import FetchedSchemas, SchemaOptions

BATCH_RECORDS_MAX = 500
BATCH_BYTES_MAX = 32 << 20
_IDS_MAX = 100_000
_CLOCKS = timedelta(hours=1)
"""The clocks of this machine and the brokers may differ by this much."""


class Rejections(Protocol):
    """The rejected topic."""

    def ends(self) -> Mapping[int, int]:
        """Each partition's offset after its last record."""
        ...

    def forwards(
        self, listing: RejectedListing, ends: Mapping[int, int]
    ) -> Iterator[tuple[RejectedRecord, Headers]]:
        """What fits and stands before `ends`."""
        ...


class Originals(Protocol):
    """Records where they stood first."""

    def read(self, places: Sequence[Place]) -> Mapping[Place, OriginalRecord]:
        """Those that are still there."""
        ...


class Events(Protocol):
    """The events topic."""

    def partitions(self) -> int:
        """How many it has."""
        ...

    def send(self, events: Sequence[RedrivenEvent]) -> None:
        """Returns when all are acknowledged."""
        ...


class Book(Protocol):
    """What was begun and what is done."""

    async def find(self, ids: Sequence[str]) -> Mapping[str, Redrive]:
        """What is known of these."""
        ...

    async def begin(self, ids: Sequence[str], at: datetime) -> None:
        """They are about to be sent."""
        ...

    async def finish(self, ids: Sequence[str], at: datetime) -> None:
        """They were acknowledged."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What to send again. `limit` refused records are sent at most; `changes` sets attributes of their events.

    `window` is for how long a worker remembers ids. A record that was refused longer ago is left alone unless
    `beyond_window`: its producer may have sent the event again meanwhile, and nobody would know.
    """

    namespace: str
    listing: RejectedListing
    topics: Sequence[str]
    window: timedelta
    changes: Mapping[str, str] = field(default_factory=dict)
    limit: int | None = None
    dry_run: bool = False
    beyond_window: bool = False


@dataclass(slots=True)
class Report:
    """Refused records by what became of them; `refused` by today's code, with the first record of each as `examples`."""

    found: int = 0
    sent: int = 0
    events: int = 0
    done_before: int = 0
    too_old: int = 0
    uncertain: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)

    @property
    def left(self) -> int:
        """Not looked at, because the limit was reached."""
        judged = self.sent + self.done_before + self.too_old + self.uncertain
        return self.found - judged - self.refused.total()


class Redriver:
    """One run. `report` tells how far it came, also when it breaks off."""

    def __init__(
        self,
        order: Order,
        *,
        rejections: Rejections,
        originals: Originals,
        events: Events,
        book: Book,
        now: Callable[[], datetime],
        partition_of: Callable[[bytes, int], int],
        schemas: FetchedSchemas | None = None,
        report: Report | None = None,
        on_batch: Callable[[Report], None] = lambda report: None,
    ) -> None:
        self._order = order
        self._schemas = schemas or FetchedSchemas(None, SchemaOptions())
        self._rejections = rejections
        self._originals = originals
        self._events = events
        self._book = book
        self._now = now
        count = events.partitions()
        self._owner_of: Callable[[str], int] = lambda subject: partition_of(subject.encode(), count)
        self._seen: OrderedDict[str, None] = OrderedDict()
        self.report = Report() if report is None else report
        self._on_batch = on_batch

    async def run(self) -> Report:
        """Everything that was refused before it began. Unavailable: what is not finished then is known to the book."""
        for batch in self._batches():
            await self._take(batch)
            if self._left() == 0:
                break
        return self.report

    def _batches(self) -> Iterator[list[tuple[RejectedRecord, Headers]]]:
        """Each refusal once, in parts of bounded size."""
        batch: list[tuple[RejectedRecord, Headers]] = []
        size = 0
        for record, headers in self._rejections.forwards(
            self._order.listing, self._rejections.ends()
        ):
            if not self._is_first(record.id):
                continue
            batch.append((record, headers))
            size += len(record.value)
            if len(batch) >= BATCH_RECORDS_MAX or size >= BATCH_BYTES_MAX:
                yield batch
                batch, size = [], 0
        if batch:
            yield batch

    def _is_first(self, id: str) -> bool:
        """False for a copy; the book tells those that stand further apart than what is remembered here."""
        if id in self._seen:
            return False
        self._seen[id] = None
        if len(self._seen) > _IDS_MAX:
            self._seen.popitem(last=False)
        return True

    async def _take(self, batch: Sequence[tuple[RejectedRecord, Headers]]) -> None:
        self.report.found += len(batch)
        known = await self._book.find([record.id for record, _ in batch])
        open_ = [one for one in batch if self._is_open(one[0], known.get(one[0].id))]
        ids: list[str] = []
        events: list[RedrivenEvent] = []
        for candidate in self._candidates(open_):
            if self._left() == len(ids):
                break
            found = self._judged(candidate, await self._schemas_of(candidate))
            if found is not None:
                ids.append(candidate.refused.id)
                events += found
        if ids and not self._order.dry_run:
            await self._book.begin(ids, self._now())
            self._events.send(events)
            await self._book.finish(ids, self._now())
        self.report.sent += len(ids)
        self.report.events += len(events)
        self._on_batch(self.report)

    def _left(self) -> int:
        """How many records may still be sent; -1 for any number."""
        return -1 if self._order.limit is None else self._order.limit - self.report.sent

    def _is_open(self, record: RejectedRecord, known: Redrive | None) -> bool:
        """Whether sending it now cannot count anything twice."""
        remembered_since = self._now() - self._order.window + _CLOCKS
        if known is not None and known.done_at is not None:
            self.report.done_before += 1
            return False
        if known is not None and known.begun_at < remembered_since:
            self.report.uncertain += 1
            return False
        too_old = record.rejected_ms / 1000 < remembered_since.timestamp()
        if known is None and too_old and not self._order.beyond_window:
            self.report.too_old += 1
            return False
        return True

    def _candidates(self, batch: Sequence[tuple[RejectedRecord, Headers]]) -> Iterator[Candidate]:
        """With the original where it still stands: it has the producer's headers, its whole length and its time."""
        originals = self._originals.read(
            [r.origin for r, _ in batch if r.origin and r.origin.topic in self._order.topics]
        )
        for record, headers in batch:
            original = originals.get(record.origin) if record.origin else None
            if original is not None and original.appended_ms > record.rejected_ms:
                original = None  # of a topic that was made anew under the same name
            yield _best(record, headers, original)

    async def _schemas_of(self, candidate: Candidate) -> Schemas:
        """What is known of the Avro schema of a record, here and at the registry. Unavailable."""
        id = schema_id(candidate.value)
        found = await self._schemas.find(() if id is None else (id,))
        if found.unavailable:
            raise Unavailable(f"the schema registry could not be asked for schema {id}")
        return found

    def _judged(self, candidate: Candidate, schemas: Schemas) -> list[RedrivenEvent] | None:
        """Its events, or None when it is refused again."""
        refused = candidate.refused
        try:
            found = judge(
                candidate,
                self._order.changes,
                namespace=self._order.namespace,
                owner_of=self._owner_of,
                schemas=schemas,
            )
        except Refused as again:
            self.report.refused[again.code] += 1
            where = f"{again.field}: " if again.field else ""
            self.report.examples.setdefault(
                again.code, f"{redriven_from(refused).decode()}: {where}{str(again)[:300]}"
            )
            return None
        return [
            RedrivenEvent(
                self._owner_of(one.subject), one.subject, one.value, redriven_from(refused)
            )
            for one in found
        ]


def _best(record: RejectedRecord, headers: Headers, original: OriginalRecord | None) -> Candidate:
    """The original when the copy is of all of it; the copy of a single event out of a record stands for itself."""
    if (
        original is not None
        and len(original.value) == record.value_bytes
        and original.value.startswith(record.value)
    ):
        return Candidate(
            refused=record,
            key=original.key,
            value=original.value,
            cut=False,
            appended_ms=original.appended_ms,
            headers=original.headers,
        )
    return Candidate(
        refused=record,
        key=record.key,
        value=record.value,
        cut=record.cut,
        appended_ms=record.rejected_ms if original is None else original.appended_ms,
        headers=headers,
    )
