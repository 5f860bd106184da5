"""Features: what customers are entitled to."""

from __future__ import annotations

from api.openapi.customer_answers import FeatureAnswer, FeaturePageAnswer
from api.openapi.operation import JSON, Answer, Operation
from api.v1 import features

_TAG = "features"
_MISSING = {404: ("not_found",)}
_FEATURE = Answer(says="The feature.", content={JSON: FeatureAnswer})

OPERATIONS = (
    Operation(
        handler=features.create,
        id="createFeature",
        tag=_TAG,
        summary="Make a feature",
        details="With a meter its usage is what passes the filters. A feature is not changed later: archive it and make another.",
        body={JSON: features.FeatureBody},
        examples={
            JSON: {
                "key": "gpt_4_tokens",
                "name": "GPT-4 tokens",
                "meterSlug": "tokens",
                "advancedMeterGroupByFilters": {"model": {"$in": ["gpt-4", "gpt-4o"]}},
            }
        },
        words={
            "key": "Names it in entitlements; one live feature has it, and it cannot look like an id.",
            "name": "For people.",
            "metadata": "Your own keys and values.",
            "meterSlug": "Slug or id of a live meter: SUM, COUNT, UNIQUE_COUNT or LATEST.",
            "meterGroupByFilters": "Group key to the one value that counts; not used beside advanced ones.",
            "advancedMeterGroupByFilters": "Group key to a filter on its value; all must hold.",
            "unitCost": "What one unit costs you.",
        },
        answers={201: _FEATURE},
        codes={
            400: (
                "aggregation_not_supported",
                "filters_too_large",
                "invalid_filter",
                "invalid_group_by_filter",
                "key_is_id",
                "length_invalid",
                "metadata_too_large",
                "number_out_of_range",
                "pattern_too_long",
                "text_invalid",
                "unit_cost_invalid",
                "unit_cost_needs_meter",
                "unit_cost_negative",
            ),
            409: ("conflict",),
            **_MISSING,
        },
    ),
    Operation(
        handler=features.list_features,
        id="listFeatures",
        tag=_TAG,
        summary="List features",
        query=features.ListQuery,
        words={
            "meterSlug": "Of these meters only.",
            "includeArchived": "Archived ones, too.",
            "page": "From 1 on; with it or `pageSize` the answer is a page.",
            "pageSize": "Features on a page.",
            "offset": "How many to pass over, without pages.",
            "limit": "How many, without pages.",
            "order": "Direction.",
            "orderBy": "By what; `key` is the default.",
        },
        answers={
            200: Answer(
                says="The features; a page when one was asked for.",
                content={JSON: list[FeatureAnswer] | FeaturePageAnswer},
            )
        },
    ),
    Operation(
        handler=features.read,
        id="getFeature",
        tag=_TAG,
        summary="Read a feature",
        details="A live one by id or key.",
        answers={200: _FEATURE},
        codes=_MISSING,
    ),
    Operation(
        handler=features.delete,
        id="deleteFeature",
        tag=_TAG,
        summary="Archive a feature",
        details="Its key is free for another; its entitlements live on.",
        answers={204: Answer(says="It is archived.")},
        codes=_MISSING,
    ),
)
