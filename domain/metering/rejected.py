"""What was refused on its way through Kafka: which records to list, and what is listed."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a record stands in Kafka."""

    topic: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectedRecord:
    """A record that was refused, and why.

    `id` is the same for every copy of one refusal: a worker that was interrupted writes it again. `origin` is the record
    that was refused (None when the copy does not say), `index` the event in it, `stored` the copy in the rejected topic.
    `value` may be cut; `value_bytes` is its whole length. `rejected_ms` Unix milliseconds.
    """

    id: str
    code: str
    field: str | None
    message: str
    rejected_ms: int
    origin: Place | None
    index: int
    stored: Place
    key: bytes | None
    value: bytes
    value_bytes: int

    @property
    def cut(self) -> bool:
        """Part of the value is missing here."""
        return len(self.value) < self.value_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectedListing:
    """Which refused records to list; empty or None asks for all. `since_ms <= rejected_ms < until_ms`.

    `topic` and `partition` are those of the origin. `containing` asks for records whose value, as far as it is read, has one of these. `before` is the (rejected_ms, partition, offset) of the copy after
    which the page begins, going back in time.
    """

    codes: Sequence[str] = ()
    since_ms: int | None = None
    until_ms: int | None = None
    topic: str | None = None
    partition: int | None = None
    before: tuple[int, int, int] | None = None
    limit: int = 100
    containing: Sequence[bytes] = ()

    def fits(self, record: RejectedRecord) -> bool:
        """Whether `record` is asked for, `before` and `limit` aside."""
        origin = record.origin
        return (
            (not self.codes or record.code in self.codes)
            and (self.since_ms is None or record.rejected_ms >= self.since_ms)
            and (self.until_ms is None or record.rejected_ms < self.until_ms)
            and (self.topic is None or (origin is not None and origin.topic == self.topic))
            and (
                self.partition is None
                or (origin is not None and origin.partition == self.partition)
            )
            and (not self.containing or any(text in record.value for text in self.containing))
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectedPage:
    """Newest first. `next` is the `before` of the next page, None when everything that is older was looked at."""

    records: Sequence[RejectedRecord]
    next: tuple[int, int, int] | None
