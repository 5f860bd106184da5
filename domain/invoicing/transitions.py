"""The life of a standard invoice as one table: where every trigger leads from every state.

A row of TRANSITIONS is a state; what it does not name is not allowed there. Where a trigger has several exits, the first
whose guard holds is taken. Source: catalog §3.8.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from domain.invoicing.guards import (
    Facts,
    always,
    collectable,
    draft_over,
    has_lines,
    has_no_lines,
    issued_by_app,
    sound,
    synced_for_approval_by_hand,
    synced_for_approval_by_time,
)
from domain.invoicing.states import Effect, State, Trigger

Guard = Callable[[Facts], bool]


@dataclass(frozen=True, slots=True)
class Exit:
    """Where a trigger leads when the guard holds."""

    to: State
    when: Guard


Exits = tuple[Exit, ...]


def _to(state: State, when: Guard = always) -> Exits:
    return (Exit(state, when),)


_DELETE = {Trigger.DELETE: _to(State.DELETE_IN_PROGRESS)}
_EDIT_OR_DELETE = {Trigger.UPDATED: _to(State.UPDATING), **_DELETE}
_VOID = {Trigger.VOID: _to(State.VOIDED)}
_RETRY_DRAFT = {Trigger.RETRY: _to(State.VALIDATING), **_EDIT_OR_DELETE}
_PAYMENT_WENT_WRONG = {
    Trigger.ACTION_REQUIRED: _to(State.ACTION_REQUIRED),
    Trigger.PAYMENT_OVERDUE: _to(State.OVERDUE),
    Trigger.PAYMENT_UNCOLLECTIBLE: _to(State.UNCOLLECTIBLE),
}
_PAYMENT_FAILED = {Trigger.FAILED: _to(State.PAYMENT_FAILED)}
_PAYMENT_CAME = {
    Trigger.AUTHORIZED: _to(State.BOOKING_AUTHORIZED),
    Trigger.PAID: _to(State.BOOKING_BOTH),
}
_PAYMENT_AGAIN = {Trigger.RETRY: _to(State.PAYMENT_PENDING)}

_ROWS: dict[State, Mapping[Trigger, Exits]] = {
    State.DRAFT_CREATED: {
        Trigger.NEXT: _to(State.WAITING_FOR_COLLECTION),
        Trigger.FAILED: _to(State.INVALID),
        **_EDIT_OR_DELETE,
    },
    State.WAITING_FOR_COLLECTION: {
        Trigger.NEXT: _to(State.COLLECTING, collectable),
        Trigger.FORCE_COLLECT: _to(State.COLLECTING),
        **_EDIT_OR_DELETE,
    },
    State.COLLECTING: {
        Trigger.NEXT: _to(State.VALIDATING),
        Trigger.FAILED: _to(State.INVALID),
        **_EDIT_OR_DELETE,
    },
    State.UPDATING: {
        Trigger.NEXT: _to(State.WAITING_FOR_COLLECTION),
        Trigger.FAILED: _to(State.INVALID),
        **_DELETE,
    },
    State.VALIDATING: {
        Trigger.NEXT: _to(State.DRAFT_SYNCING, sound),
        Trigger.FAILED: _to(State.INVALID),
        **_EDIT_OR_DELETE,
    },
    State.INVALID: _RETRY_DRAFT,
    State.DRAFT_SYNCING: {
        Trigger.NEXT: (
            Exit(State.MANUAL_APPROVAL_NEEDED, synced_for_approval_by_hand),
            Exit(State.WAITING_AUTO_APPROVAL, synced_for_approval_by_time),
        ),
        Trigger.FAILED: _to(State.DRAFT_SYNC_FAILED),
        **_DELETE,
    },
    State.DRAFT_SYNC_FAILED: _RETRY_DRAFT,
    State.WAITING_AUTO_APPROVAL: {
        Trigger.NEXT: _to(State.READY_TO_ISSUE, draft_over),
        Trigger.APPROVE: _to(State.READY_TO_ISSUE),
        **_EDIT_OR_DELETE,
    },
    State.MANUAL_APPROVAL_NEEDED: {
        Trigger.APPROVE: _to(State.READY_TO_ISSUE, sound),
        **_EDIT_OR_DELETE,
    },
    State.READY_TO_ISSUE: {
        Trigger.NEXT: (
            Exit(State.LINE_FINALIZATION, has_lines),
            Exit(State.DELETE_SYNCING, has_no_lines),
        ),
        **_EDIT_OR_DELETE,
    },
    State.DELETE_IN_PROGRESS: {
        Trigger.NEXT: _to(State.DELETE_SYNCING),
        Trigger.FAILED: _to(State.DELETE_FAILED),
    },
    State.DELETE_SYNCING: {
        Trigger.NEXT: _to(State.DELETED),
        Trigger.FAILED: _to(State.DELETE_FAILED),
    },
    State.DELETE_FAILED: _DELETE,
    State.DELETED: {},
    State.LINE_FINALIZATION: {
        Trigger.NEXT: _to(State.ISSUING_SYNCING),
        Trigger.FAILED: _to(State.LINE_FINALIZATION_FAILED),
        **_DELETE,
    },
    State.LINE_FINALIZATION_FAILED: {Trigger.RETRY: _to(State.LINE_FINALIZATION)},
    State.ISSUING_SYNCING: {
        Trigger.NEXT: _to(State.CHARGE_BOOKING, issued_by_app),
        Trigger.FAILED: _to(State.ISSUING_FAILED),
        **_DELETE,
    },
    State.ISSUING_FAILED: {Trigger.RETRY: _to(State.ISSUING_SYNCING)},
    State.CHARGE_BOOKING: {
        Trigger.NEXT: _to(State.ISSUED),
        Trigger.FAILED: _to(State.CHARGE_BOOKING_FAILED),
        **_DELETE,
    },
    State.CHARGE_BOOKING_FAILED: {Trigger.RETRY: _to(State.CHARGE_BOOKING)},
    State.ISSUED: {Trigger.NEXT: _to(State.PAYMENT_PENDING), **_VOID},
    State.PAYMENT_PENDING: {
        **_PAYMENT_CAME,
        **_PAYMENT_FAILED,
        **_PAYMENT_WENT_WRONG,
        **_VOID,
    },
    State.BOOKING_AUTHORIZED: {
        Trigger.NEXT: _to(State.AUTHORIZED),
        Trigger.FAILED: _to(State.BOOKING_AUTHORIZED_FAILED),
        **_VOID,
    },
    State.BOOKING_AUTHORIZED_FAILED: {Trigger.RETRY: _to(State.BOOKING_AUTHORIZED), **_VOID},
    State.AUTHORIZED: {
        Trigger.PAID: _to(State.BOOKING_SETTLED),
        **_PAYMENT_FAILED,
        **_PAYMENT_WENT_WRONG,
        **_VOID,
    },
    State.BOOKING_SETTLED: {
        Trigger.NEXT: _to(State.PAID),
        Trigger.FAILED: _to(State.BOOKING_SETTLED_FAILED),
        **_VOID,
    },
    State.BOOKING_SETTLED_FAILED: {Trigger.RETRY: _to(State.BOOKING_SETTLED), **_VOID},
    State.BOOKING_BOTH: {
        Trigger.NEXT: _to(State.PAID),
        Trigger.FAILED: _to(State.BOOKING_BOTH_FAILED),
        **_VOID,
    },
    State.BOOKING_BOTH_FAILED: {Trigger.RETRY: _to(State.BOOKING_BOTH), **_VOID},
    State.PAYMENT_FAILED: {
        **_PAYMENT_AGAIN,
        **_PAYMENT_CAME,
        **_PAYMENT_WENT_WRONG,
        **_VOID,
    },
    State.ACTION_REQUIRED: {
        **_PAYMENT_AGAIN,
        **_PAYMENT_CAME,
        **_PAYMENT_FAILED,
        **_PAYMENT_WENT_WRONG,
        **_VOID,
    },
    State.OVERDUE: {
        **_PAYMENT_AGAIN,
        **_PAYMENT_CAME,
        **_PAYMENT_FAILED,
        Trigger.ACTION_REQUIRED: _to(State.ACTION_REQUIRED),
        Trigger.PAYMENT_UNCOLLECTIBLE: _to(State.UNCOLLECTIBLE),
    },
    State.UNCOLLECTIBLE: {**_PAYMENT_CAME, **_VOID},
    State.PAID: {},
    State.VOIDED: {},
}

TRANSITIONS: Mapping[tuple[State, Trigger], Exits] = MappingProxyType(
    {(state, trigger): exits for state, row in _ROWS.items() for trigger, exits in row.items()}
)

ON_ENTRY: Mapping[State, tuple[Effect, ...]] = MappingProxyType(
    {
        State.DRAFT_CREATED: (Effect.CALCULATE,),
        State.COLLECTING: (Effect.SNAPSHOT_QUANTITIES, Effect.CALCULATE),
        State.UPDATING: (Effect.CALCULATE, Effect.VALIDATE),
        State.VALIDATING: (Effect.CALCULATE, Effect.VALIDATE_WITH_APP),
        State.DRAFT_SYNCING: (Effect.UPSERT_WITH_APP,),
        State.DELETE_IN_PROGRESS: (Effect.MARK_DELETED, Effect.NOTIFY_LINE_OWNERS),
        State.DELETE_SYNCING: (Effect.DELETE_WITH_APP,),
        State.LINE_FINALIZATION: (Effect.FINALIZE_LINES, Effect.CALCULATE),
        State.ISSUING_SYNCING: (Effect.UPSERT_WITH_APP, Effect.FINALIZE_WITH_APP),
        State.CHARGE_BOOKING: (Effect.BOOK_CHARGES,),
        State.PAYMENT_PENDING: (Effect.REMEMBER_PAYMENT_START,),
        State.BOOKING_AUTHORIZED: (Effect.BOOK_AUTHORIZED,),
        State.BOOKING_SETTLED: (Effect.BOOK_SETTLED,),
        State.BOOKING_BOTH: (Effect.BOOK_AUTHORIZED, Effect.BOOK_SETTLED),
    }
)
