"""The numbered steps of the protocol for a chunk, a block, an expiry, a routed list and a restore; tests stop the worker at each of them.

Source: design of the batch protocol, docs/internals.md. A hook is called when a step has just been finished.
"""

from collections.abc import Callable
from enum import StrEnum


class Step(StrEnum):
    """What has just been done."""

    CHUNK_RECEIVED = "chunk_received"
    CHUNK_FOLDED = "chunk_folded"
    CHUNK_SENT = "chunk_sent"
    CHUNK_LOGGED = "chunk_logged"
    CHUNK_APPLIED = "chunk_applied"
    CHUNK_ACKNOWLEDGED = "chunk_acknowledged"
    BLOCK_PLANNED = "block_planned"
    BLOCK_WRITTEN = "block_written"
    BLOCK_DONE = "block_done"
    EXPIRY_LOGGED = "expiry_logged"
    EXPIRY_APPLIED = "expiry_applied"
    EXPIRY_DROPPED = "expiry_dropped"
    ROUTE_RECEIVED = "route_received"
    ROUTE_SENT = "route_sent"
    ROUTE_ACKNOWLEDGED = "route_acknowledged"
    ROUTE_COMMITTED = "route_committed"
    HOLDS_JUDGED = "holds_judged"
    HOLDS_APPENDED = "holds_appended"
    HOLDS_READ_BACK = "holds_read_back"
    HOLDS_ANSWERED = "holds_answered"
    HOLD_EVENTS_SENT = "hold_events_sent"
    RESTORE_STARTED = "restore_started"
    RESTORE_LIST_APPLIED = "restore_list_applied"
    RESTORE_DONE = "restore_done"
    BALANCES_TAKEN = "balances_taken"
    BALANCES_COUNTED = "balances_counted"
    BALANCES_WRITTEN = "balances_written"
    BALANCES_MOVED = "balances_moved"
    BALANCES_CHANGED = "balances_changed"
    BALANCES_READ = "balances_read"
    BALANCES_BEGUN = "balances_begun"


StepHook = Callable[[Step], None]


def unwatched(step: Step) -> None:
    """The hook of production: nothing happens."""
