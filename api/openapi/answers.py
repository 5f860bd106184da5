"""What the API answers with, as types: the document's schemas of answers. Every answer of a test is held against them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

from domain.metering.meter import Aggregation
from domain.metering.windows import WindowSize

Ulid = Annotated[str, Meta(pattern=r"^[0-7][0-9A-HJKMNP-TV-Z]{25}$")]


class ValidationIssue(Struct, kw_only=True):
    """Why a request was refused, for programs."""

    code: Annotated[str, Meta(description="Stable; which ones can occur is said at each answer.")]
    message: str
    severity: Literal["critical", "warning"]
    field: Annotated[
        str | UnsetType, Meta(description="The value that is wrong: a JSONPath or a parameter.")
    ] = UNSET
    amount: Annotated[float | UnsetType, Meta(description="Of a grant, when it is refused.")] = (
        UNSET
    )


class ProblemExtensions(Struct, kw_only=True, rename="camel"):
    """What programs need."""

    validation_errors: list[ValidationIssue]
    conflicting_entity_id: Annotated[
        str | UnsetType, Meta(description="The entitlement that stands in the way.")
    ] = UNSET


class Problem(Struct, kw_only=True):
    """An error (RFC 9457)."""

    type: Literal["about:blank"]
    title: Annotated[str, Meta(description="The status in words.")]
    status: Annotated[int, Meta(ge=400, le=599)]
    instance: Annotated[
        str, Meta(description="Names this request in the log; X-Request-Id when one was sent.")
    ]
    detail: Annotated[str | UnsetType, Meta(description="For people; never given with 500.")] = (
        UNSET
    )
    extensions: ProblemExtensions | UnsetType = UNSET


class MeterAnswer(Struct, kw_only=True, rename="camel"):
    """A meter."""

    id: Ulid
    slug: Annotated[str, Meta(min_length=1, max_length=64)]
    name: Annotated[str, Meta(min_length=1, max_length=256)]
    aggregation: Aggregation
    event_type: str
    created_at: datetime
    updated_at: datetime
    metadata: dict[str, str] | None
    annotations: Annotated[None, Meta(description="Always null.")]
    description: str | UnsetType = UNSET
    event_from: datetime | UnsetType = UNSET
    value_property: str | UnsetType = UNSET
    group_by: dict[str, str] | UnsetType = UNSET
    deleted_at: datetime | UnsetType = UNSET


class ListedCloudEvent(Struct, kw_only=True):
    """An event as it was taken, its time in whole seconds."""

    specversion: Literal["1.0"]
    id: str
    source: str
    type: str
    subject: str
    time: datetime
    datacontenttype: Literal["application/json"] | UnsetType = UNSET
    data: dict[str, Any] | UnsetType | None = UNSET


class IngestedEvent(Struct, kw_only=True, rename="camel"):
    """An event that counts, with what keeps it from counting for a meter."""

    event: ListedCloudEvent
    ingested_at: Annotated[datetime, Meta(description="When Kafka took it.")]
    stored_at: Annotated[datetime, Meta(description="When ClickHouse took it.")]
    customer_id: str | UnsetType = UNSET
    validation_error: Annotated[
        str | UnsetType,
        Meta(description="One line for each meter of its type that it does not fit, judged now."),
    ] = UNSET


class EventPage(Struct, kw_only=True, rename="camel"):
    """A page of events."""

    items: list[IngestedEvent]
    next_cursor: Annotated[str | UnsetType, Meta(description="Names the next page.")] = UNSET


class RecordPlace(Struct, kw_only=True):
    """Where a record stands in Kafka."""

    topic: str
    partition: Annotated[int, Meta(ge=0)]
    offset: Annotated[int, Meta(ge=0)]


class RejectedOrigin(RecordPlace, kw_only=True):
    """The record that an event came in by; `index` tells which event of it."""

    index: Annotated[int, Meta(ge=0)]


class RejectedEvent(Struct, kw_only=True, rename="camel"):
    """A record that was refused on its way through Kafka, and why."""

    id: Annotated[str, Meta(description="The same for every copy of one refusal.")]
    code: str
    message: str
    rejected_at: datetime
    stored: RecordPlace
    value_bytes: Annotated[int, Meta(ge=0, description="Length of the whole value.")]
    field: Annotated[str | UnsetType, Meta(description="JSONPath of what is wrong.")] = UNSET
    origin: RejectedOrigin | UnsetType = UNSET
    redriven_at: Annotated[
        datetime | UnsetType,
        Meta(description="When it was sent again (meterstream events redrive)."),
    ] = UNSET
    key: str | UnsetType = UNSET
    key_base64: Annotated[
        str | UnsetType, Meta(description="Instead of `key`, when that is no UTF-8.")
    ] = UNSET
    value: Annotated[
        str | UnsetType, Meta(description="Its first 16 KiB; shorter than `valueBytes` when cut.")
    ] = UNSET
    value_base64: Annotated[
        str | UnsetType, Meta(description="Instead of `value`, when that is no UTF-8.")
    ] = UNSET


class RejectedPage(Struct, kw_only=True, rename="camel"):
    """A page of refused records; without `nextCursor` it is the last one."""

    items: list[RejectedEvent]
    next_cursor: str | UnsetType = UNSET


class FateEvent(Struct, kw_only=True):
    """The event itself."""

    id: str
    source: str
    type: str
    subject: str
    time: datetime


class StoredFate(Struct, kw_only=True, rename="camel"):
    """An event that was judged: it counted, or it had counted before."""

    verdict: Literal["accepted", "duplicate"]
    at: RejectedOrigin
    event: FateEvent
    ingested_at: Annotated[datetime, Meta(description="When Kafka took it.")]
    stored_at: Annotated[datetime, Meta(description="When it was written for queries.")]
    duplicate_of: Annotated[
        RejectedOrigin | UnsetType,
        Meta(description="The event that counted, when it is among those found."),
    ] = UNSET


class Fate(Struct, kw_only=True):
    """What became of the events with an id."""

    stored: list[StoredFate]
    rejected: list[RejectedEvent]
    complete: Annotated[
        bool, Meta(description="False: more was stored or refused than was looked at.")
    ]


class MeterQueryRow(Struct, kw_only=True, rename="camel"):
    """One number."""

    value: float
    window_start: datetime
    window_end: datetime
    subject: Annotated[str | None, Meta(description="Null when subjects are not kept apart.")]
    customer_id: Annotated[
        str | UnsetType, Meta(description="Whose usage it is, with `filterCustomerId`.")
    ] = UNSET
    group_by: Annotated[
        dict[str, str], Meta(description='By group key; "" for events without the group.')
    ]


class MeterQueryResult(Struct, kw_only=True, rename="camel"):
    """The answer of a meter; `from`, `to` and `windowSize` as they were asked for."""

    data: list[MeterQueryRow]
    from_: datetime | UnsetType = field(default=UNSET, name="from")
    to: datetime | UnsetType = UNSET
    window_size: WindowSize | UnsetType = UNSET


class Readiness(Struct, kw_only=True):
    """Whether requests can be served, by service: `ok` or what is wrong."""

    status: Literal["ok", "unavailable"]
    checks: dict[str, str]


class Version(Struct, kw_only=True):
    """What runs here."""

    version: str
    os: str
    arch: str
