"""The transition table, cell by cell, against a second transcription of the rules."""

from domain.invoicing.states import FAILED_STATES, FINAL_STATES, State
from domain.invoicing.transitions import ON_ENTRY, TRANSITIONS

EDIT = "updated>draft.updating delete>delete.in_progress"
DUE = (
    "payment_overdue>overdue payment_uncollectible>uncollectible "
    "action_required>payment_processing.action_required"
)
CAME = (
    "authorized>payment_processing.booking_authorized "
    "paid>payment_processing.booking_authorized_and_settled"
)
AGAIN = "retry>payment_processing.pending"
FAILED = "failed>payment_processing.failed"

TABLE = f"""
draft.created: next>draft.waiting_for_collection failed>draft.invalid {EDIT}
draft.waiting_for_collection: next>draft.collecting force_collect>draft.collecting {EDIT}
draft.collecting: next>draft.validating failed>draft.invalid {EDIT}
draft.updating: next>draft.waiting_for_collection failed>draft.invalid delete>delete.in_progress
draft.validating: next>draft.syncing failed>draft.invalid {EDIT}
draft.invalid: retry>draft.validating {EDIT}
draft.syncing: next>draft.manual_approval_needed next>draft.waiting_auto_approval failed>draft.sync_failed delete>delete.in_progress
draft.sync_failed: retry>draft.validating {EDIT}
draft.waiting_auto_approval: next>draft.ready_to_issue approve>draft.ready_to_issue {EDIT}
draft.manual_approval_needed: approve>draft.ready_to_issue {EDIT}
draft.ready_to_issue: next>issuing.line_finalization next>delete.syncing {EDIT}
delete.in_progress: next>delete.syncing failed>delete.failed
delete.syncing: next>deleted failed>delete.failed
delete.failed: delete>delete.in_progress
deleted:
issuing.line_finalization: next>issuing.syncing failed>issuing.line_finalization_failed delete>delete.in_progress
issuing.line_finalization_failed: retry>issuing.line_finalization
issuing.syncing: next>issuing.charge_booking failed>issuing.failed delete>delete.in_progress
issuing.failed: retry>issuing.syncing
issuing.charge_booking: next>issued failed>issuing.charge_booking_failed delete>delete.in_progress
issuing.charge_booking_failed: retry>issuing.charge_booking
issued: next>payment_processing.pending void>voided
payment_processing.pending: {CAME} {FAILED} {DUE} void>voided
payment_processing.booking_authorized: next>payment_processing.authorized failed>payment_processing.booking_authorized_failed void>voided
payment_processing.booking_authorized_failed: retry>payment_processing.booking_authorized void>voided
payment_processing.authorized: paid>payment_processing.booking_settled {FAILED} {DUE} void>voided
payment_processing.booking_settled: next>paid failed>payment_processing.booking_settled_failed void>voided
payment_processing.booking_settled_failed: retry>payment_processing.booking_settled void>voided
payment_processing.booking_authorized_and_settled: next>paid failed>payment_processing.booking_authorized_and_settled_failed void>voided
payment_processing.booking_authorized_and_settled_failed: retry>payment_processing.booking_authorized_and_settled void>voided
payment_processing.failed: {AGAIN} {CAME} {DUE} void>voided
payment_processing.action_required: {AGAIN} {CAME} {FAILED} {DUE} void>voided
overdue: {AGAIN} {CAME} {FAILED} payment_uncollectible>uncollectible action_required>payment_processing.action_required
uncollectible: {CAME} void>voided
paid:
voided:
"""

ENTRY = """
draft.created: calculate
draft.collecting: snapshot_quantities calculate
draft.updating: calculate validate
draft.validating: calculate validate_with_app
draft.syncing: upsert_with_app
delete.in_progress: mark_deleted notify_line_owners
delete.syncing: delete_with_app
issuing.line_finalization: finalize_lines calculate
issuing.syncing: upsert_with_app finalize_with_app
issuing.charge_booking: book_charges
payment_processing.pending: remember_payment_start
payment_processing.booking_authorized: book_authorized
payment_processing.booking_settled: book_settled
payment_processing.booking_authorized_and_settled: book_authorized book_settled
"""


def rows(table: str) -> dict[str, list[str]]:
    """State to the words behind its colon."""
    split = (line.partition(":") for line in table.strip().splitlines())
    return {state: words.split() for state, _, words in split}


def test_every_cell_of_the_table_is_as_transcribed():
    cells: dict[str, list[str]] = {state.value: [] for state in State}
    for (state, trigger), ways in TRANSITIONS.items():
        cells[state] += [f"{trigger}>{way.to}" for way in ways]

    expected = rows(TABLE)

    assert {state: sorted(found) for state, found in cells.items()} == {
        state: sorted(words) for state, words in expected.items()
    }


def test_what_entering_a_state_asks_for_is_as_transcribed():
    assert {state.value: [*effects] for state, effects in ON_ENTRY.items()} == rows(ENTRY)


def test_failed_and_final_states_are_those_that_the_rules_name():
    failed = {state.value for state in FAILED_STATES}

    assert failed == {name for name in rows(TABLE) if name.endswith("failed")}
    assert {state.value for state in FINAL_STATES} == {"deleted", "paid", "uncollectible", "voided"}
