"""Holds, and the stream of changed balances."""

from __future__ import annotations

from api.openapi.hold_answers import HoldAnswer, HoldConfirm, HoldCreate, HoldPageAnswer
from api.openapi.operation import JSON, Answer, Operation
from api.openapi.operations.events import INGEST_CODES
from api.v1 import holds, stream
from api.v1.holds import ListHoldsQuery
from api.v1.stream import StreamQuery

_TAG = "entitlements"
_PATH_CODES = ("invalid_parameter",)
_OWNED = {404: ("not_found",), 412: ("precondition_failed",)}
_ONE = Answer(says="The hold as it is now.", content={JSON: HoldAnswer})
_EVENT_CODES = (
    "hold_event_of_other_subject",
    "hold_event_of_other_type",
    "hold_needs_event",
    "hold_too_large",
    "hold_used_or_event",
)

OPERATIONS = (
    Operation(
        handler=holds.create,
        id="createHold",
        tag=_TAG,
        summary="Reserve an amount before the work",
        details="Lowers the balance at once, until it is confirmed, released or expires. The same key with the same body gets the "
        "first answer again, so that a request whose answer was lost can be repeated.",
        body={JSON: HoldCreate},
        examples={JSON: {"key": "job-1", "amount": 100, "expiresIn": 120}},
        answers={201: Answer(says="Reserved.", content={JSON: HoldAnswer}), 200: _ONE},
        codes={
            400: (
                *_PATH_CODES,
                "hold_amount_invalid",
                "hold_expiry_invalid",
                "hold_not_metered",
                "hold_too_large",
                "metadata_too_large",
            ),
            409: ("hold_exceeds_balance", "hold_key_reused", "holds_too_many"),
            **_OWNED,
        },
    ),
    Operation(
        handler=holds.list_holds,
        id="listHolds",
        tag=_TAG,
        summary="List the holds of an entitlement",
        details="Ended ones are listed, too, for a day unless configured otherwise.",
        query=ListHoldsQuery,
        words={"limit": "Entries of a page.", "after": "Only holds with keys after this one."},
        answers={200: Answer(says="A page, by key.", content={JSON: HoldPageAnswer})},
        codes={400: (*_PATH_CODES, "hold_not_metered"), **_OWNED},
    ),
    Operation(
        handler=holds.read,
        id="getHold",
        tag=_TAG,
        summary="Get a hold",
        answers={200: _ONE},
        codes={400: _PATH_CODES, **_OWNED},
    ),
    Operation(
        handler=holds.confirm,
        id="confirmHold",
        tag=_TAG,
        summary="Confirm what was used",
        details="The usage is counted once, however often this is sent, and the balance is lowered by it instead of by the hold from "
        "this answer on. It may be less or more than was held. `used` is enough where the meter is a SUM or COUNT that an event "
        "can be made for; other meters need the `event`.",
        body={JSON: HoldConfirm},
        examples={JSON: {"used": 42}},
        answers={200: _ONE},
        codes={
            400: (*_PATH_CODES, *_EVENT_CODES, *INGEST_CODES, "hold_amount_invalid"),
            413: ("event_too_large",),
            409: ("hold_confirmed", "hold_expired", "hold_released"),
            **_OWNED,
        },
    ),
    Operation(
        handler=holds.release,
        id="releaseHold",
        tag=_TAG,
        summary="Give back what is reserved",
        answers={200: _ONE},
        codes={400: _PATH_CODES, 409: ("hold_confirmed",), **_OWNED},
    ),
    Operation(
        handler=stream.stream,
        id="streamBalances",
        tag=_TAG,
        summary="Changed balances as they come",
        details="Server-sent events. `balance`: a value after a change; `connected`; `reset`: read values anew, the stream cannot go on "
        "where it was; `slow` and `closing`: it ends, connect again. The `id` of each is a position: sent as Last-Event-ID, it is "
        "gone on after it without a gap.",
        query=StreamQuery,
        words={
            "customer": "Ids or keys of customers; all when it is left out.",
            "feature": "Ids or keys of features; all when it is left out.",
            "snapshot": "Begin with the values of the customers as they are now.",
            "lastEventId": "For clients that cannot send the header Last-Event-ID, which goes before this.",
        },
        answers={200: Answer(says="Events.", content={"text/event-stream": str})},
        codes={
            400: ("last_event_id_invalid", "snapshot_needs_customer"),
            **_OWNED,
        },
    ),
)
