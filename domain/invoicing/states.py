"""The states of a standard invoice, what moves it, and what entering a state asks for. Source: catalog §3.8."""

from enum import StrEnum


class State(StrEnum):
    """The extended status. What stands before the point is the status."""

    DRAFT_CREATED = "draft.created"
    WAITING_FOR_COLLECTION = "draft.waiting_for_collection"
    COLLECTING = "draft.collecting"
    UPDATING = "draft.updating"
    VALIDATING = "draft.validating"
    INVALID = "draft.invalid"
    DRAFT_SYNCING = "draft.syncing"
    DRAFT_SYNC_FAILED = "draft.sync_failed"
    WAITING_AUTO_APPROVAL = "draft.waiting_auto_approval"
    MANUAL_APPROVAL_NEEDED = "draft.manual_approval_needed"
    READY_TO_ISSUE = "draft.ready_to_issue"
    DELETE_IN_PROGRESS = "delete.in_progress"
    DELETE_SYNCING = "delete.syncing"
    DELETE_FAILED = "delete.failed"
    DELETED = "deleted"
    LINE_FINALIZATION = "issuing.line_finalization"
    LINE_FINALIZATION_FAILED = "issuing.line_finalization_failed"
    ISSUING_SYNCING = "issuing.syncing"
    ISSUING_FAILED = "issuing.failed"
    CHARGE_BOOKING = "issuing.charge_booking"
    CHARGE_BOOKING_FAILED = "issuing.charge_booking_failed"
    ISSUED = "issued"
    PAYMENT_PENDING = "payment_processing.pending"
    BOOKING_AUTHORIZED = "payment_processing.booking_authorized"
    BOOKING_AUTHORIZED_FAILED = "payment_processing.booking_authorized_failed"
    AUTHORIZED = "payment_processing.authorized"
    BOOKING_SETTLED = "payment_processing.booking_settled"
    BOOKING_SETTLED_FAILED = "payment_processing.booking_settled_failed"
    BOOKING_BOTH = "payment_processing.booking_authorized_and_settled"
    BOOKING_BOTH_FAILED = "payment_processing.booking_authorized_and_settled_failed"
    PAYMENT_FAILED = "payment_processing.failed"
    ACTION_REQUIRED = "payment_processing.action_required"
    OVERDUE = "overdue"
    UNCOLLECTIBLE = "uncollectible"
    PAID = "paid"
    VOIDED = "voided"


class Trigger(StrEnum):
    """What moves an invoice. `next` is automatic; the last six come from payment."""

    NEXT = "next"
    FAILED = "failed"
    APPROVE = "approve"
    RETRY = "retry"
    UPDATED = "updated"
    FORCE_COLLECT = "force_collect"
    DELETE = "delete"
    PAID = "paid"
    AUTHORIZED = "authorized"
    ACTION_REQUIRED = "action_required"
    PAYMENT_UNCOLLECTIBLE = "payment_uncollectible"
    PAYMENT_OVERDUE = "payment_overdue"
    VOID = "void"


class Effect(StrEnum):
    """What entering a state asks the shell to do, in the order given. An error in one of them is the trigger `failed`."""

    CALCULATE = "calculate"
    SNAPSHOT_QUANTITIES = "snapshot_quantities"
    VALIDATE = "validate"
    VALIDATE_WITH_APP = "validate_with_app"
    UPSERT_WITH_APP = "upsert_with_app"
    FINALIZE_LINES = "finalize_lines"
    FINALIZE_WITH_APP = "finalize_with_app"
    BOOK_CHARGES = "book_charges"
    REMEMBER_PAYMENT_START = "remember_payment_start"
    BOOK_AUTHORIZED = "book_authorized"
    BOOK_SETTLED = "book_settled"
    MARK_DELETED = "mark_deleted"
    NOTIFY_LINE_OWNERS = "notify_line_owners"
    DELETE_WITH_APP = "delete_with_app"


FAILED_STATES = frozenset(
    {
        State.DRAFT_SYNC_FAILED,
        State.LINE_FINALIZATION_FAILED,
        State.ISSUING_FAILED,
        State.CHARGE_BOOKING_FAILED,
        State.DELETE_FAILED,
        State.PAYMENT_FAILED,
        State.BOOKING_AUTHORIZED_FAILED,
        State.BOOKING_SETTLED_FAILED,
        State.BOOKING_BOTH_FAILED,
    }
)
"""States whose `failed` flag is set. `draft.invalid` is not one of them, although it waits for a retry."""

FINAL_STATES = frozenset({State.DELETED, State.PAID, State.UNCOLLECTIBLE, State.VOIDED})
"""Where an invoice comes to rest. An uncollectible one may still be paid or voided."""
