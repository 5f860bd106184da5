"""Meters: made, changed, asked."""

from __future__ import annotations

from api.openapi.answers import MeterAnswer, MeterQueryResult
from api.openapi.operation import JSON, Answer, Operation
from api.v1 import meter_query, meter_values, meters

_TAG = "meters"
_TIMES = "RFC 3339 with a zone."
_PATH_CODES = ("invalid_parameter",)
_MISSING = {404: ("not_found",)}
_METER = Answer(says="The meter.", content={JSON: MeterAnswer})
_RESULT = Answer(
    says="Rows by window, subject and groups; CSV when `Accept` is `text/csv`.",
    content={JSON: MeterQueryResult, "text/csv": str},
)
_WRITE_CODES = (
    "group_is_value",
    "group_key_invalid",
    "length_invalid",
    "metadata_too_large",
    "path_invalid",
    "path_too_long",
    "text_invalid",
    "too_many_group_keys",
)
_CREATE_CODES = (
    *_WRITE_CODES,
    "event_type_reserved",
    "slug_invalid",
    "time_invalid",
    "value_property_missing",
    "value_property_not_allowed",
)
_QUERY_CODES = (
    *_PATH_CODES,
    "bounds_equal",
    "bounds_reversed",
    "filters_exclusive",
    "invalid_filter",
    "invalid_group_by",
    "invalid_group_by_filter",
    "pattern_too_long",
    "time_zone_unknown",
)
_MEMBERS = {
    "slug": "Names the meter in queries; one live meter has it.",
    "aggregation": "How values become one number.",
    "eventType": "The type of the events that it looks at.",
    "name": "For people. The slug when it is left out.",
    "description": "For people.",
    "metadata": "Your own keys and values.",
    "eventFrom": f"Events before this time are not counted. {_TIMES}",
    "valueProperty": "JSONPath of the value in an event's data; not for COUNT.",
    "groupBy": "Group key to JSONPath in an event's data.",
}
_TOKENS = {
    "slug": "tokens",
    "aggregation": "SUM",
    "eventType": "prompt",
    "valueProperty": "$.tokens",
    "groupBy": {"model": "$.model"},
}
_ASKED = {
    "clientId": "Taken and not used.",
    "from": f"Events at or after this time. {_TIMES}",
    "to": f"Events before this time. {_TIMES}",
    "windowSize": "Windows to keep apart; without it there is one number for each group.",
    "windowTimeZone": "IANA name of the zone in which days and months begin.",
    "subject": "Only these subjects, and kept apart.",
    "filterCustomerId": "Only these customers, and kept apart.",
    "filterGroupBy": "Groups that must have exactly these values.",
    "advancedMeterGroupByFilters": "Filters by group key; not together with `filterGroupBy`.",
    "groupBy": "Group keys of the meter, `subject` or `customer_id`: what is kept apart.",
}
_BOUNDS = {
    "from": f"Events at or after this time. {_TIMES}",
    "to": f"Events before this time. {_TIMES}",
}

OPERATIONS = (
    Operation(
        handler=meters.create,
        id="createMeter",
        tag=_TAG,
        summary="Make a meter",
        details="It counts the events that are stored already, too.",
        body={JSON: meters.CreateBody},
        examples={JSON: _TOKENS},
        words=_MEMBERS,
        answers={200: _METER},
        codes={400: _CREATE_CODES, 409: ("conflict",)},
    ),
    Operation(
        handler=meters.list_meters,
        id="listMeters",
        tag=_TAG,
        summary="List meters",
        query=meters.ListQuery,
        words={
            "page": "Checked and not used: the list is whole, at most 1000 meters.",
            "pageSize": "Checked and not used.",
            "order": "Direction.",
            "orderBy": "By what; `key` is the slug and the default.",
            "includeDeleted": "Deleted ones, too.",
        },
        answers={200: Answer(says="The meters.", content={JSON: list[MeterAnswer]})},
    ),
    Operation(
        handler=meters.read,
        id="getMeter",
        tag=_TAG,
        summary="Read a meter",
        details="By id, deleted ones too, or by the slug of a live one.",
        answers={200: _METER},
        codes={400: _PATH_CODES, **_MISSING},
    ),
    Operation(
        handler=meters.update,
        id="updateMeter",
        tag=_TAG,
        summary="Replace name, metadata and groups of a meter",
        details="What is left out is emptied, except the description, which stays. 409 when a live feature filters on a group that would go.",
        body={JSON: meters.UpdateBody},
        examples={JSON: {"name": "Tokens", "groupBy": {"model": "$.model"}}},
        words=_MEMBERS,
        answers={200: _METER},
        codes={400: (*_PATH_CODES, *_WRITE_CODES), 409: ("conflict",), **_MISSING},
    ),
    Operation(
        handler=meters.delete,
        id="deleteMeter",
        tag=_TAG,
        summary="Delete a meter",
        details="It stops counting and can still be read by its id. 409 while live features or active entitlements use it.",
        answers={204: Answer(says="It is deleted.")},
        codes={400: _PATH_CODES, 409: ("conflict",), **_MISSING},
    ),
    Operation(
        handler=meter_query.query_get,
        id="queryMeter",
        tag=_TAG,
        summary="Ask a meter",
        details="Exact at every moment. Windows without events are absent.",
        query=meter_query.QueryParameters,
        words=_ASKED,
        answers={200: _RESULT},
        codes={400: _QUERY_CODES, **_MISSING},
    ),
    Operation(
        handler=meter_query.query_post,
        id="queryMeterPost",
        tag=_TAG,
        summary="Ask a meter with a body",
        body={JSON: meter_query.QueryBody},
        examples={JSON: {"windowSize": "DAY", "groupBy": ["model"]}},
        words=_ASKED,
        answers={200: _RESULT},
        codes={400: _QUERY_CODES, **_MISSING},
    ),
    Operation(
        handler=meter_values.subjects,
        id="listMeterSubjects",
        tag=_TAG,
        summary="List the subjects of a meter",
        query=meter_values.Bounds,
        words=_BOUNDS,
        answers={200: Answer(says="Distinct, by code point.", content={JSON: list[str]})},
        codes={400: (*_PATH_CODES, "bounds_equal", "bounds_reversed"), **_MISSING},
    ),
    Operation(
        handler=meter_values.group_values,
        id="listMeterGroupByValues",
        tag=_TAG,
        summary="List the values of a group",
        details="Of the last 24 hours without bounds; `from` at most 90 days ago, `to` at most 30 days after it.",
        query=meter_values.Bounds,
        words=_BOUNDS,
        answers={200: Answer(says="Distinct and sorted.", content={JSON: list[str]})},
        codes={
            400: (
                *_PATH_CODES,
                "bounds_equal",
                "bounds_reversed",
                "bounds_too_wide",
                "from_too_old",
                "invalid_group_by",
            ),
            **_MISSING,
        },
    ),
)
