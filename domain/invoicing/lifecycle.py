"""Moving an invoice through its states.

The shell fires a trigger, performs the effects of the state entered under the key of each, fires `failed` when one goes
wrong, and goes on with `next_step` until there is none.
"""

from dataclasses import dataclass, replace

from domain.errors import DomainError
from domain.invoicing.guards import Facts
from domain.invoicing.states import Effect, State, Trigger
from domain.invoicing.transitions import ON_ENTRY, TRANSITIONS


class TransitionNotAllowed(DomainError):
    """The invoice's state does not take this trigger, or not yet."""

    code = "transition_not_allowed"

    def __init__(self, state: State, trigger: Trigger) -> None:
        super().__init__(f"the invoice is {state}: it does not take {trigger}")
        self.state, self.trigger = state, trigger


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """One move, and what entering the new state asks for."""

    start: State
    trigger: Trigger
    to: State
    effects: tuple[Effect, ...]


def fire(state: State, trigger: Trigger, facts: Facts) -> Transition:
    """The move that `trigger` makes. Raises TransitionNotAllowed."""
    for way in TRANSITIONS.get((state, trigger), ()):
        if way.when(facts):
            return Transition(
                start=state, trigger=trigger, to=way.to, effects=ON_ENTRY.get(way.to, ())
            )
    raise TransitionNotAllowed(state, trigger)


def can_fire(state: State, trigger: Trigger, facts: Facts) -> bool:
    """Whether the trigger is taken now."""
    return any(way.when(facts) for way in TRANSITIONS.get((state, trigger), ()))


def next_step(state: State, facts: Facts) -> Transition | None:
    """The move that happens by itself; None when the invoice has to wait for time, an app or a person."""
    return fire(state, Trigger.NEXT, facts) if can_fire(state, Trigger.NEXT, facts) else None


def foreseen(state: State, trigger: Trigger, facts: Facts) -> State:
    """The state after the trigger and every automatic step that can follow it now, if nothing goes wrong.

    Looks away from issues that stand now, and performs nothing. Raises TransitionNotAllowed.
    """
    hopeful = replace(facts, has_critical_issue=False)
    reached = fire(state, trigger, hopeful).to
    while (step := next_step(reached, hopeful)) is not None:  # ends: no cycle of next steps
        reached = step.to
    return reached


def effect_key(invoice_id: str, entry: int, effect: Effect) -> str:
    """The idempotency key of an effect: one for each time that a state is entered (`entry` counts an invoice's moves)."""
    return f"{invoice_id}/{entry}/{effect}"
