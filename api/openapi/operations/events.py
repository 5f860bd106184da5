"""Events: in, listed, refused."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from api.openapi.answers import EventPage, Fate, IngestedEvent, RejectedPage
from api.openapi.operation import JSON, Answer, Operation
from api.times import Time
from api.v1 import events, events_v2, fate, rejected
from schemas.cloudevents import ATTRIBUTE_LENGTH_MAX, BATCH, SINGLE

_TAG = "events"
_TIMES = "RFC 3339 with a zone."
_Attribute = Annotated[str, Meta(min_length=1, max_length=ATTRIBUTE_LENGTH_MAX)]


class CloudEvent(Struct, kw_only=True):
    """A CloudEvent 1.0 in structured JSON. Extension attributes may be there and are not kept."""

    id: Annotated[
        _Attribute,
        Meta(description="With `source` and `subject` it names the event: it counts once."),
    ]
    source: Annotated[_Attribute, Meta(description="A URI reference.")]
    specversion: Literal["1.0", "0.3"]
    type: Annotated[_Attribute, Meta(description="Which meters look at it.")]
    subject: Annotated[_Attribute, Meta(description="Whose usage it is.")]
    time: Annotated[
        Time | UnsetType | None,
        Meta(description="When it happened; the time of arrival when it is left out or null."),
    ] = UNSET
    datacontenttype: Literal["application/json"] | UnsetType | None = UNSET
    dataschema: Annotated[str, Meta(min_length=1)] | UnsetType | None = UNSET
    data: Annotated[
        dict[str, Any] | UnsetType | None,
        Meta(description="What meters read with JSONPath. Its members are not null."),
    ] = UNSET


_EVENT = {
    "specversion": "1.0",
    "id": "1",
    "source": "app",
    "type": "prompt",
    "subject": "acme",
    "data": {"tokens": 42, "model": "small"},
}
_CLIENT_ID = "Taken and not used."
_V1_LIST = {
    "clientId": _CLIENT_ID,
    "from": f"Events at or after this time, at most 32 days ago, which is the default. {_TIMES}",
    "to": f"Events before this time. {_TIMES}",
    "ingestedAtFrom": f"Events that arrived at or after this time, at most 32 days ago. {_TIMES}",
    "ingestedAtTo": f"Events that arrived before this time. {_TIMES}",
    "id": "Events whose id contains this.",
    "subject": "Events of exactly this subject.",
    "customerId": "Events of these customers.",
    "limit": "Events in the answer, at most.",
}
_V2_LIST = {
    "cursor": "`nextCursor` of the page before.",
    "limit": "Events on the page.",
    "clientId": _CLIENT_ID,
    "filter": "One operator for each member; `$and` and `$or` nest once.",
}
_REJECTED_LIST = {
    "code": "Records that were refused with one of these codes.",
    "from": f"Records that were refused at or after this time. {_TIMES}",
    "to": f"Records that were refused before this time. {_TIMES}",
    "topic": "Records that came in by this topic.",
    "partition": "Records that came in by this partition.",
    "cursor": "`nextCursor` of the page before.",
    "limit": "Records on the page.",
}
INGEST_CODES = (
    "data_not_object",
    "data_null_property",
    "datacontenttype_unknown",
    "empty_field",
    "extension_invalid",
    "field_too_long",
    "invalid_content_type",
    "invalid_json",
    "missing_field",
    "no_events",
    "not_a_cloudevent",
    "source_invalid",
    "specversion_unknown",
    "time_invalid",
    "wrong_type",
)

OPERATIONS = (
    Operation(
        handler=events.ingest,
        id="ingestEvents",
        tag=_TAG,
        summary="Send events",
        details="Answered when Kafka has acknowledged every event. One bad event refuses the whole request, before any is "
        "taken. After 503 some may have been taken: send all of them again, each counts once.",
        body={SINGLE: CloudEvent, BATCH: list[CloudEvent], JSON: CloudEvent | list[CloudEvent]},
        examples={SINGLE: _EVENT, BATCH: [_EVENT], JSON: [_EVENT]},
        answers={204: Answer(says="All events are taken.")},
        codes={400: INGEST_CODES, 413: ("event_too_large",)},
    ),
    Operation(
        handler=events.list_v1,
        id="listEvents",
        tag=_TAG,
        summary="List events, newest first",
        query=events.ListQuery,
        words=_V1_LIST,
        answers={200: Answer(says="The events.", content={JSON: list[IngestedEvent]})},
        codes={400: ("bounds_reversed", "customer_not_found", "from_too_old")},
    ),
    Operation(
        handler=events_v2.list_v2,
        id="listEventsV2",
        tag=_TAG,
        summary="List events by filters, page by page",
        query=events_v2.ListQuery,
        words=_V2_LIST,
        answers={200: Answer(says="A page.", content={JSON: EventPage})},
        codes={400: ("customer_not_found", "invalid_cursor", "invalid_filter", "pattern_too_long")},
    ),
    Operation(
        handler=rejected.list_rejected,
        id="listRejectedEvents",
        tag=_TAG,
        summary="List records that were refused on their way through Kafka, newest first",
        details="Read from the rejected topic. A page looks at a bounded number of records (`api.rejected_scan_max`), so with "
        "filters it may be short, even empty: go on until there is no `nextCursor`. The same refusal can stand there more "
        "than once, under one `id`.",
        query=rejected.ListQuery,
        words=_REJECTED_LIST,
        answers={200: Answer(says="A page.", content={JSON: RejectedPage})},
        codes={400: ("bounds_reversed", "invalid_cursor")},
    ),
    Operation(
        handler=fate.fate,
        id="getEventFate",
        tag=_TAG,
        summary="What became of the events with an id: counted, duplicate of which, or refused",
        details="What was judged is found as soon as it is stored, a moment before queries see it. Refused records are found by "
        "the id in their first 16 KiB, among the newest `api.rejected_scan_max` of them. Nothing found: it has not arrived, is "
        "on its way, or is older than what is kept.",
        query=fate.FateQuery,
        words={
            "id": "Events with exactly this id.",
            "source": "Stored events of this source.",
            "subject": "Stored events of this subject.",
            "from": f"Stored events at or after this time of their own. {_TIMES}",
            "to": f"Stored events before this time of their own. {_TIMES}",
        },
        answers={200: Answer(says="Everything that was found.", content={JSON: Fate})},
        codes={400: ("bounds_reversed",)},
    ),
)
