"""What people may do with an invoice now, and how it is shown. Source: catalog §3.8, §8."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from domain.errors import Refused
from domain.invoicing.guards import Facts
from domain.invoicing.lifecycle import Transition, can_fire, fire, foreseen
from domain.invoicing.states import FAILED_STATES, State, Trigger
from domain.invoicing.transitions import TRANSITIONS


class Action(StrEnum):
    """As the interface names them. `void` has no action: invoices are voided by their payment only."""

    ADVANCE = "advance"
    APPROVE = "approve"
    RETRY = "retry"
    SNAPSHOT_QUANTITIES = "snapshot_quantities"
    DELETE = "delete"


_TRIGGERS = {
    Action.ADVANCE: Trigger.NEXT,
    Action.APPROVE: Trigger.APPROVE,
    Action.RETRY: Trigger.RETRY,
    Action.SNAPSHOT_QUANTITIES: Trigger.FORCE_COLLECT,
    Action.DELETE: Trigger.DELETE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusDetails:
    """`available`: the actions that are possible, and the state that each leads to if nothing goes wrong."""

    state: State
    failed: bool
    immutable: bool
    available: Mapping[Action, State]

    @property
    def status(self) -> str:
        """The short status: what stands before the point."""
        return self.state.partition(".")[0]


def status_details(state: State, facts: Facts) -> StatusDetails:
    """How an invoice in `state` is shown."""
    return StatusDetails(
        state=state,
        failed=state in FAILED_STATES,
        immutable=is_immutable(state),
        available=available_actions(state, facts),
    )


def is_immutable(state: State) -> bool:
    """Whether the invoice cannot be edited."""
    return (state, Trigger.UPDATED) not in TRANSITIONS


def available_actions(state: State, facts: Facts) -> dict[Action, State]:
    """The possible actions and the state that each leads to; deleting leads to `deleted` from everywhere."""
    return {
        action: foreseen(state, trigger, facts)
        for action, trigger in _TRIGGERS.items()
        if can_fire(state, trigger, facts)
    }


def act(state: State, action: Action, facts: Facts) -> Transition:
    """The first move of an action. Refused with `invoice_cannot_advance` or `invoice_action_not_available`."""
    trigger = _TRIGGERS[action]
    if can_fire(state, trigger, facts):
        return fire(state, trigger, facts)
    code = "invoice_cannot_advance" if action is Action.ADVANCE else "invoice_action_not_available"
    raise Refused(code, f"the invoice is {state}: {action} is not possible now")
