"""Entitlements of subjects (v1) and of customers (v2): made, read, listed, replaced, reset, deleted."""

from __future__ import annotations

from api.entitlements.bodies import BooleanBody, MeteredBody, MeteredV2Body, ResetBody, StaticBody
from api.openapi.entitlement_answers import (
    EntitlementAnswer,
    EntitlementPage,
    EntitlementV2Answer,
    EntitlementV2Page,
)
from api.openapi.operation import JSON, Answer, Operation, words_of
from api.v1 import entitlements as v1
from api.v2 import entitlements as v2

_TAG = "entitlements"
_PATH_CODES = ("invalid_parameter",)
_MISSING = {404: ("not_found",)}
_OWNED = {**_MISSING, 412: ("precondition_failed",)}
_GONE = "It is gone, and its grants with it."
GRANT_CODES = (
    "annotations_too_deep",
    "annotations_too_large",
    "entitlement_too_large",
    "grant_amount_must_be_positive",
    "grant_before_the_period",
    "interval_not_positive",
    "invalid_duration",
    "metadata_too_large",
    "number_out_of_range",
    "recurrence_too_short",
    "rollover_negative",
    "text_invalid",
    "time_out_of_range",
    "too_many_grants",
)
_CREATE_CODES = (
    *GRANT_CODES,
    "config_not_json",
    "config_number_out_of_range",
    "config_too_deep",
    "config_too_large",
    "feature_has_no_meter",
    "feature_missing",
    "issue_and_grants",
    "issue_priority_without_amount",
    "measure_from_invalid",
    "measure_from_too_early",
    "usage_period_too_short",
)
_RESET_CODES = (
    "entitlement_inactive",
    "entitlement_too_large",
    "not_metered",
    "reset_before_the_period",
    "reset_in_the_future",
    "reset_too_early",
    "too_many_resets",
)
_CREATE = {400: _CREATE_CODES, 409: ("entitlement_overlaps",), **_OWNED}
_CREATE_V2 = {**_CREATE, 400: (*_CREATE_CODES, *_PATH_CODES)}
_OVERRIDE_CODES = (*_CREATE_CODES, "entitlement_inactive", "feature_differs")
_OVERRIDE = {**_CREATE, 400: _OVERRIDE_CODES, 403: ("forbidden",)}
_OVERRIDE_V2 = {**_OVERRIDE, 400: (*_OVERRIDE_CODES, *_PATH_CODES)}
_WORDS = {
    "featureKey": "Key of a feature that is not archived.",
    "featureId": "Its id, which goes before the key.",
    "metadata": "Your own keys and values.",
    "usagePeriod": "After each the balance is reset. Counted from the anchor, which is now when it is left out.",
    "measureUsageFrom": "CURRENT_PERIOD_START, NOW or an RFC 3339 time with a zone; cut to the minute.",
    "isSoftLimit": "Access is given whatever the balance is.",
    "isUnlimited": "Taken and not used.",
    "issueAfterReset": "A grant that comes with the entitlement and is full again after each reset.",
    "issueAfterResetPriority": "Of that grant; 1 when it is left out.",
    "issue": "The same grant; goes before the two older members. Not together with `grants`.",
    "grants": "Grants that are made with the entitlement.",
    "preserveOverageAtReset": "What was used beyond the balance is charged to the next period.",
    "config": "JSON as text; comes back in one spelling.",
    "effectiveAt": "Now when it is left out; cut to the minute. Not in the future, not before the running period.",
    "retainAnchor": "Periods end as before; otherwise they are counted from the reset on.",
    "preserveOverage": "Otherwise than the entitlement says.",
}
_LIST_WORDS = {
    "feature": "Keys or ids of features.",
    "subject": "Subject keys.",
    "customerKeys": "Keys of customers.",
    "customerIds": "Ids of customers.",
    "entitlementType": "Only these types.",
    "excludeInactive": "Only those that are active now.",
    "includeDeleted": "Checked and not used: deleted ones are never listed.",
    "page": "The first one is 1.",
    "pageSize": "Entries of a page.",
    "limit": "Entries, where no page is asked for.",
    "offset": "Entries before the first one, where no page is asked for.",
    "order": "Direction.",
    "orderBy": "By what; `createdAt` is the default.",
}
_ALWAYS_PAGES = {**_LIST_WORDS, "limit": "Checked and not used.", "offset": "Checked and not used."}
_METERED = {
    "type": "metered",
    "featureKey": "tokens",
    "usagePeriod": {"interval": "MONTH"},
    "issueAfterReset": 1000,
}
_METERED_V2 = {
    "type": "metered",
    "featureKey": "tokens",
    "usagePeriod": {"interval": "MONTH"},
    "issue": {"amount": 1000},
}
_BODY = {JSON: MeteredBody | StaticBody | BooleanBody}
_BODY_V2 = {JSON: MeteredV2Body | StaticBody | BooleanBody}
_ONE = Answer(says="The entitlement.", content={JSON: EntitlementAnswer})
_ONE_V2 = Answer(says="The entitlement.", content={JSON: EntitlementV2Answer})
_PAGE_V2 = Answer(says="A page.", content={JSON: EntitlementV2Page})

OPERATIONS = (
    Operation(
        handler=v1.create,
        id="createEntitlement",
        tag=_TAG,
        summary="Entitle the customer of a subject",
        details="At most one entitlement of a customer and feature key is active at a time.",
        body=_BODY,
        examples={JSON: _METERED},
        words=_WORDS,
        answers={201: _ONE},
        codes=_CREATE,
    ),
    Operation(
        handler=v1.list_of_subject,
        id="listSubjectEntitlements",
        tag=_TAG,
        summary="List the active entitlements of a subject's customer",
        query=v1.OfSubjectQuery,
        words=words_of(v1.OfSubjectQuery, _LIST_WORDS),
        answers={200: Answer(says="The oldest first.", content={JSON: list[EntitlementAnswer]})},
        codes=_OWNED,
    ),
    Operation(
        handler=v1.list_all,
        id="listEntitlements",
        tag=_TAG,
        summary="List entitlements",
        details="An array, or a page where `page` or `pageSize` is given. Deleted ones are never listed.",
        query=v1.ListQuery,
        words=words_of(v1.ListQuery, _LIST_WORDS),
        answers={
            200: Answer(
                says="Those that fit.", content={JSON: list[EntitlementAnswer] | EntitlementPage}
            )
        },
    ),
    Operation(
        handler=v1.read,
        id="getEntitlementById",
        tag=_TAG,
        summary="Read an entitlement",
        answers={200: _ONE},
        codes={400: _PATH_CODES, **_MISSING},
    ),
    Operation(
        handler=v1.read_of_subject,
        id="getEntitlement",
        tag=_TAG,
        summary="Read an entitlement by its id",
        details="The subject is not looked at.",
        answers={200: _ONE},
        codes=_MISSING,
    ),
    Operation(
        handler=v1.delete,
        id="deleteEntitlement",
        tag=_TAG,
        summary="Delete an entitlement by its id",
        details="The subject is not looked at. A new entitlement for the feature is possible at once.",
        answers={204: Answer(says=_GONE)},
        codes={403: ("forbidden",), **_MISSING},
    ),
    Operation(
        handler=v1.override,
        id="overrideEntitlement",
        tag=_TAG,
        summary="Replace an entitlement",
        details="It ends now and a new one of the same feature key begins. Balance and grants do not come along.",
        body=_BODY,
        examples={JSON: _METERED},
        words=_WORDS,
        answers={201: _ONE},
        codes=_OVERRIDE,
    ),
    Operation(
        handler=v1.reset,
        id="resetEntitlementUsage",
        tag=_TAG,
        summary="Reset the balance of an entitlement",
        details="The subject is not looked at.",
        body={JSON: ResetBody},
        examples={JSON: {}},
        words=_WORDS,
        answers={204: Answer(says="A new usage period has begun.")},
        codes={400: _RESET_CODES, 403: ("forbidden",), **_MISSING},
    ),
    Operation(
        handler=v2.create,
        id="createCustomerEntitlementV2",
        tag=_TAG,
        summary="Entitle a customer",
        details="At most one entitlement of a customer and feature key is active at a time.",
        body=_BODY_V2,
        examples={JSON: _METERED_V2},
        words=_WORDS,
        answers={201: _ONE_V2},
        codes=_CREATE_V2,
    ),
    Operation(
        handler=v2.list_of_customer,
        id="listCustomerEntitlementsV2",
        tag=_TAG,
        summary="List the active entitlements of a customer",
        query=v2.OfCustomerQuery,
        words=words_of(v2.OfCustomerQuery, _ALWAYS_PAGES),
        answers={200: _PAGE_V2},
        codes={400: _PATH_CODES, **_OWNED},
    ),
    Operation(
        handler=v2.list_all,
        id="listEntitlementsV2",
        tag=_TAG,
        summary="List entitlements as pages",
        details="`customerKeys` and `customerIds` add up. Deleted ones are never listed.",
        query=v2.ListQuery,
        words=words_of(v2.ListQuery, _ALWAYS_PAGES),
        answers={200: _PAGE_V2},
    ),
    Operation(
        handler=v2.read,
        id="getEntitlementByIdV2",
        tag=_TAG,
        summary="Read an entitlement with its customer",
        answers={200: _ONE_V2},
        codes={400: _PATH_CODES, **_MISSING},
    ),
    Operation(
        handler=v2.read_of_customer,
        id="getCustomerEntitlementV2",
        tag=_TAG,
        summary="Read an entitlement of a customer",
        details="By id, whoever has it, or by the feature key of the customer's active one.",
        answers={200: _ONE_V2},
        codes={400: _PATH_CODES, **_OWNED},
    ),
    Operation(
        handler=v2.delete,
        id="deleteCustomerEntitlementV2",
        tag=_TAG,
        summary="Delete an entitlement of a customer",
        details="A new entitlement for the feature is possible at once.",
        answers={204: Answer(says=_GONE)},
        codes={400: _PATH_CODES, 403: ("forbidden",), **_OWNED},
    ),
    Operation(
        handler=v2.override,
        id="overrideCustomerEntitlementV2",
        tag=_TAG,
        summary="Replace an entitlement of a customer",
        details="It ends now and a new one of the same feature key begins. Balance and grants do not come along.",
        body=_BODY_V2,
        examples={JSON: _METERED_V2},
        words=_WORDS,
        answers={201: _ONE_V2},
        codes=_OVERRIDE_V2,
    ),
    Operation(
        handler=v2.reset,
        id="resetCustomerEntitlementUsageV2",
        tag=_TAG,
        summary="Reset the balance of a customer's entitlement",
        body={JSON: ResetBody},
        examples={JSON: {}},
        words=_WORDS,
        answers={204: Answer(says="A new usage period has begun.")},
        codes={400: (*_RESET_CODES, *_PATH_CODES), 403: ("forbidden",), **_OWNED},
    ),
)
