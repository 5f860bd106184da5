"""Values, histories and access: what customers may still use."""

from __future__ import annotations

from api.balances import explain_routes
from api.balances.explain_routes import ExplainQuery
from api.balances.routes import HistoryQuery, ValueQuery
from api.openapi.balance_answers import (
    AccessQueryAnswer,
    CustomerAccess,
    CustomerAccessV3,
    EntitlementValue,
    EntitlementValueV2,
    ExplanationAnswer,
    TypedProblem,
    WindowedBalanceHistory,
)
from api.openapi.operation import JSON, PROBLEM, Answer, Operation
from api.v1 import entitlement_values as v1
from api.v2 import entitlement_values as v2
from api.v3 import entitlement_access as v3
from api.v3.entitlement_access import AccessQuery

_TAG = "entitlements"
_OWNED = {404: ("not_found",), 412: ("precondition_failed",)}
_PATH_CODES = ("invalid_parameter",)
_COMPUTE_CODES = ("history_too_long", "time_out_of_range", "too_many_phases")
_HISTORY_CODES = (
    *_COMPUTE_CODES,
    "history_before_measuring",
    "history_ends_before_it_starts",
    "not_metered",
    "time_zone_unknown",
    "too_many_windows",
)
_ORIGIN = (
    "The headers `meterstream-source` (owner, standby, recomputed), `meterstream-as-of` and `meterstream-lag-ms` say where the "
    "numbers come from, and up to when events that arrived are counted."
)
_TIME = {"time": "Now when it is left out; rounded up to the minute. RFC 3339 with a zone."}
_HISTORY = {
    "windowSize": "HOUR and DAY are meant; MINUTE and MONTH work, too.",
    "from": "The last reset when it is left out; cut to the minute. RFC 3339 with a zone.",
    "to": "Now when it is left out; rounded up to the minute. RFC 3339 with a zone.",
    "windowTimeZone": "IANA name of the zone in which days and months begin.",
}
_VALUE = Answer(says="The value.", content={JSON: EntitlementValue})
_VALUE_V2 = Answer(says="The value.", content={JSON: EntitlementValueV2})
_WINDOWS = Answer(
    says="Windows with usage and the balance they began with; segments with who paid what.",
    content={JSON: WindowedBalanceHistory},
)
_TYPED = {PROBLEM: TypedProblem}

_EXPLAIN = {
    "time": "As of when; now when it is left out, rounded up to the minute. RFC 3339 with a zone.",
    "from": "Since when; the usage period before the current one when it is left out. RFC 3339 with a zone.",
    "rows": "Rows of usage of each segment, at most.",
    "events": "Events, at most; 0 for none.",
    "cursor": "`events.nextCursor` of an answer: the events after those.",
}
_EXPLANATION = Answer(
    says="Segments with their causes, grants, resets, rows of usage and events.",
    content={JSON: ExplanationAnswer, "text/html": str},
)
_EXPLAIN_CODES = (
    *_COMPUTE_CODES,
    "history_before_measuring",
    "history_ends_before_it_starts",
    "invalid_cursor",
    "not_metered",
    "too_many_segments",
)

OPERATIONS = (
    Operation(
        handler=explain_routes.of_subject,
        id="explainEntitlement",
        tag=_TAG,
        summary="Why is a balance what it is?",
        details="A page when `Accept` is `text/html`. The entitlement has to be of the subject's customer.",
        query=ExplainQuery,
        words=_EXPLAIN,
        answers={200: _EXPLANATION},
        codes={400: _EXPLAIN_CODES, **_OWNED},
    ),
    Operation(
        handler=explain_routes.of_customer,
        id="explainCustomerEntitlement",
        tag=_TAG,
        summary="Why is a customer's balance what it is?",
        details="A page when `Accept` is `text/html`. The entitlement has to be the customer's.",
        query=ExplainQuery,
        words=_EXPLAIN,
        answers={200: _EXPLANATION},
        codes={400: (*_EXPLAIN_CODES, *_PATH_CODES), **_OWNED},
    ),
    Operation(
        handler=v1.value_of_subject,
        id="getEntitlementValue",
        tag=_TAG,
        summary="What is left of an entitlement?",
        details=_ORIGIN,
        query=ValueQuery,
        words=_TIME,
        answers={200: _VALUE},
        codes={400: _COMPUTE_CODES, **_OWNED},
    ),
    Operation(
        handler=v1.history_of_subject,
        id="getEntitlementHistory",
        tag=_TAG,
        summary="How a balance became what it is",
        details="By id; the subject is not looked at.",
        query=HistoryQuery,
        words=_HISTORY,
        answers={200: _WINDOWS},
        codes={400: _HISTORY_CODES, 404: ("not_found",)},
    ),
    Operation(
        handler=v1.value_of_customer,
        id="getCustomerEntitlementValue",
        tag=_TAG,
        summary="What is left for a customer?",
        details=f"Without an active entitlement there is no access. {_ORIGIN}",
        query=ValueQuery,
        words={"time": "Checked and not used: the value is that of now."},
        answers={200: _VALUE},
        codes={400: (*_COMPUTE_CODES, *_PATH_CODES), **_OWNED},
    ),
    Operation(
        handler=v1.access_of_customer,
        id="getCustomerAccess",
        tag=_TAG,
        summary="Everything that a customer may use now",
        details=_ORIGIN,
        answers={200: Answer(says="Values by feature key.", content={JSON: CustomerAccess})},
        codes={400: (*_COMPUTE_CODES, *_PATH_CODES), **_OWNED},
    ),
    Operation(
        handler=v2.value,
        id="getCustomerEntitlementValueV2",
        tag=_TAG,
        summary="What is left for a customer, and of which grants?",
        details=f"Without an active entitlement there is no access. {_ORIGIN}",
        query=ValueQuery,
        words=_TIME,
        answers={200: _VALUE_V2},
        codes={400: (*_COMPUTE_CODES, *_PATH_CODES), **_OWNED},
    ),
    Operation(
        handler=v2.history,
        id="getCustomerEntitlementHistoryV2",
        tag=_TAG,
        summary="How a customer's balance became what it is",
        query=HistoryQuery,
        words=_HISTORY,
        answers={200: _WINDOWS},
        codes={400: (*_HISTORY_CODES, *_PATH_CODES), **_OWNED},
    ),
    Operation(
        handler=v3.query,
        id="queryEntitlementAccess",
        tag=_TAG,
        summary="Who may use what? Many customers and features",
        details=(
            "Customers are found by key or subject key, each once. Features that are asked for are answered also where there is no "
            f"access, with the reason. Pages by `page[size]` (1-100), `page[after]`, `page[before]`. {_ORIGIN}"
        ),
        body={JSON: AccessQuery},
        examples={JSON: {"customer": {"keys": ["acme"]}, "feature": {"keys": ["tokens"]}}},
        words={
            "customer": "Up to 100 keys, of customers or of their subjects.",
            "feature": "Up to 100 feature keys; everything that is active when it is left out.",
            "include_credits": "Taken and not used.",
        },
        answers={
            200: Answer(says="The customers of a page.", content={JSON: AccessQueryAnswer}),
            400: Answer(says="The request does not have this form.", content=_TYPED),
        },
    ),
    Operation(
        handler=v3.of_customer,
        id="listCustomerEntitlementAccess",
        tag=_TAG,
        summary="What may a customer use?",
        details=_ORIGIN,
        answers={
            200: Answer(says="By feature key.", content={JSON: CustomerAccessV3}),
            404: Answer(says="There is no such customer.", content=_TYPED),
        },
        codes={400: _COMPUTE_CODES, 412: ("precondition_failed",)},
    ),
)
