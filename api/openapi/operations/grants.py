"""Grants: made, listed, voided."""

from __future__ import annotations

from api.entitlements.bodies import GrantBody, GrantV2Body
from api.openapi.entitlement_answers import GrantAnswer, GrantPage, GrantV2Answer, GrantV2Page
from api.openapi.operation import JSON, Answer, Operation, words_of
from api.openapi.operations.entitlements import GRANT_CODES
from api.v1 import grants as v1
from api.v2 import grants as v2

_TAG = "entitlements"
_PATH_CODES = ("invalid_parameter",)
_MISSING = {404: ("not_found",)}
_OWNED = {**_MISSING, 412: ("precondition_failed",)}
_CREATE_CODES = (*GRANT_CODES, "entitlement_inactive", "not_metered")
_VOID_CODES = ("grant_already_voided", "void_before_the_period", "void_in_the_future")
_WORDS = {
    "amount": "What it is worth, in units of the meter.",
    "priority": "The lower burns first; 0, before all others, when it is left out.",
    "effectiveAt": "Cut to the minute; not before the running usage period.",
    "expiration": "How long after `effectiveAt` it ends.",
    "maxRolloverAmount": "The most that a reset leaves of it: 0 in v1, all in v2, when it is left out.",
    "minRolloverAmount": "What a reset leaves of it at least; the maximum goes first.",
    "recurrence": "When it is full again; counted from `effectiveAt` when it has no anchor.",
    "metadata": "Your own keys and values.",
    "annotations": "Any JSON.",
}
_LIST_WORDS = {
    "feature": "Keys or ids of features.",
    "subject": "Subject keys.",
    "customer": "Ids or keys of customers; an unknown one is not found, a deleted one has none.",
    "includeDeleted": "Checked and not used: void grants are always listed, those of deleted entitlements never.",
    "page": "The first one is 1.",
    "pageSize": "Entries of a page.",
    "limit": "Entries, where no page is asked for.",
    "offset": "Entries before the first one, where no page is asked for.",
    "order": "Direction.",
    "orderBy": "By what; when it takes effect is the default.",
}
_GRANT = {
    "amount": 100,
    "effectiveAt": "2040-01-01T00:00:00Z",
    "expiration": {"duration": "MONTH", "count": 3},
}
_ONE = Answer(says="The grant.", content={JSON: GrantAnswer})

OPERATIONS = (
    Operation(
        handler=v1.create,
        id="createGrant",
        tag=_TAG,
        summary="Grant to an entitlement of a subject",
        body={JSON: GrantBody},
        examples={JSON: _GRANT},
        words=_WORDS,
        answers={201: _ONE},
        codes={400: _CREATE_CODES, 403: ("forbidden",), **_OWNED},
    ),
    Operation(
        handler=v1.list_of_entitlement,
        id="listEntitlementGrants",
        tag=_TAG,
        summary="List the grants of an entitlement",
        query=v1.OfEntitlementQuery,
        words=words_of(
            v1.OfEntitlementQuery,
            {**_LIST_WORDS, "orderBy": "By what; `updatedAt` is the default."},
        ),
        answers={200: Answer(says="The first 1000.", content={JSON: list[GrantAnswer]})},
        codes=_OWNED,
    ),
    Operation(
        handler=v1.list_all,
        id="listGrants",
        tag=_TAG,
        summary="List grants",
        details="An array, or a page where `page` or `pageSize` is given.",
        query=v1.ListQuery,
        words=words_of(v1.ListQuery, _LIST_WORDS),
        answers={
            200: Answer(says="Those that fit.", content={JSON: list[GrantAnswer] | GrantPage})
        },
    ),
    Operation(
        handler=v1.void,
        id="voidGrant",
        tag=_TAG,
        summary="Void a grant",
        details="What it paid stays paid; the rest is gone.",
        query=v1.VoidQuery,
        words={"at": "Now when it is left out; cut to the minute. Not before the running period."},
        answers={204: Answer(says="It is void.")},
        codes={400: _VOID_CODES, 403: ("forbidden",), **_MISSING},
    ),
    Operation(
        handler=v2.create,
        id="createCustomerEntitlementGrantV2",
        tag=_TAG,
        summary="Grant to an entitlement of a customer",
        body={JSON: GrantV2Body},
        examples={JSON: {"amount": 100, "effectiveAt": "2040-01-01T00:00:00Z"}},
        words=_WORDS,
        answers={201: Answer(says="The grant.", content={JSON: GrantV2Answer})},
        codes={400: (*_CREATE_CODES, *_PATH_CODES), 403: ("forbidden",), **_OWNED},
    ),
    Operation(
        handler=v2.list_of_entitlement,
        id="listCustomerEntitlementGrantsV2",
        tag=_TAG,
        summary="List the grants of a customer's entitlement",
        query=v2.OfEntitlementQuery,
        words=words_of(
            v2.OfEntitlementQuery,
            {**_LIST_WORDS, "limit": "Checked and not used.", "offset": "Checked and not used."},
        ),
        answers={200: Answer(says="A page.", content={JSON: GrantV2Page})},
        codes={400: _PATH_CODES, **_OWNED},
    ),
    Operation(
        handler=v2.list_all,
        id="listGrantsV2",
        tag=_TAG,
        summary="List grants as pages",
        details="Where no page is asked for, `limit` and `offset` count, and `page` and `pageSize` are 0.",
        query=v2.ListQuery,
        words=words_of(v2.ListQuery, _LIST_WORDS),
        answers={200: Answer(says="A page.", content={JSON: GrantV2Page})},
        codes=_MISSING,
    ),
)
