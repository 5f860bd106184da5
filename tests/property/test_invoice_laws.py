"""Laws of the invoice: its life has no dead end that is not a final state, and its periods divide without a gap."""

from datetime import UTC, datetime, timedelta
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.invoicing.actions import Action, act, available_actions, status_details
from domain.invoicing.guards import Facts
from domain.invoicing.lifecycle import TransitionNotAllowed, can_fire, fire, foreseen, next_step
from domain.invoicing.progressive import part_of, split
from domain.invoicing.states import FAILED_STATES, FINAL_STATES, Effect, State, Trigger
from domain.invoicing.transitions import ON_ENTRY, TRANSITIONS
from domain.time.interval import Interval

NOON = datetime(2024, 6, 1, 12, tzinfo=UTC)
STATES = list(State)
EVERY_FACTS = [
    Facts(
        now=NOON,
        auto_advance=auto,
        collection_at=collection,
        draft_until=draft,
        has_critical_issue=issue,
        has_live_lines=lines,
        draft_sync_done=drafted,
        issuing_sync_done=issued,
    )
    for auto, collection, draft, issue, lines, drafted, issued in product(
        (True, False), (None, NOON, NOON + timedelta(days=1)), (None, NOON + timedelta(days=1)),
        (True, False), (True, False), (True, False), (True, False),
    )
]  # fmt: skip
HOPEFUL = Facts(now=NOON)
facts = st.sampled_from(EVERY_FACTS)


def exits(state: State) -> set[State]:
    """Where the table leads from a state, whatever the facts."""
    return {way.to for (start, _), ways in TRANSITIONS.items() for way in ways if start is state}


def reachable(state: State) -> set[State]:
    found, waiting = set(), [state]
    while waiting:
        for to in exits(waiting.pop()) - found:
            found.add(to)
            waiting.append(to)
    return found


def test_the_table_has_no_dead_end_but_the_final_states():
    assert {state for state in State if not exits(state)} == FINAL_STATES - {State.UNCOLLECTIBLE}
    assert exits(State.UNCOLLECTIBLE) == {State.BOOKING_BOTH, State.BOOKING_AUTHORIZED, State.VOIDED}  # fmt: skip


@pytest.mark.parametrize("state", STATES)
def test_every_state_is_reached_and_leads_to_a_final_one(state):
    assert state is State.DRAFT_CREATED or state in reachable(State.DRAFT_CREATED)
    assert state in FINAL_STATES or reachable(state) & FINAL_STATES


@pytest.mark.parametrize("state", STATES)
def test_a_state_that_waits_can_always_be_moved_on(state):
    """Whatever the facts, either time and apps will move it, or somebody outside can: no exit depends on luck alone."""
    outside = [t for t in Trigger if t not in (Trigger.NEXT, Trigger.FAILED)]

    stuck = [
        facts
        for facts in EVERY_FACTS
        if not any(can_fire(state, t, facts) for t in outside) and next_step(state, HOPEFUL) is None
    ]

    assert not stuck or state in FINAL_STATES


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize(
    "facts", [HOPEFUL, Facts(now=NOON, auto_advance=False, has_live_lines=False)]
)
def test_automatic_steps_come_to_an_end(state, facts):
    seen = [state]
    while (step := next_step(seen[-1], facts)) is not None:
        assert step.to not in seen
        seen.append(step.to)

    assert len(seen) <= len(STATES)


@pytest.mark.parametrize("state", STATES)
def test_every_state_that_does_something_says_where_its_failure_leads(state):
    asks_outside = set(ON_ENTRY.get(state, ())) - {Effect.REMEMBER_PAYMENT_START}

    if asks_outside:
        (way,) = TRANSITIONS[state, Trigger.FAILED]
        assert way.to in FAILED_STATES | {State.INVALID}


@pytest.mark.parametrize("state", sorted(FAILED_STATES))
def test_what_failed_can_be_tried_again(state):
    again = Trigger.DELETE if state is State.DELETE_FAILED else Trigger.RETRY

    assert can_fire(state, again, HOPEFUL)


@given(state=st.sampled_from(STATES), trigger=st.sampled_from(list(Trigger)), facts=facts)
def test_a_trigger_is_taken_exactly_where_the_table_and_its_guard_say_so(state, trigger, facts):
    if can_fire(state, trigger, facts):
        move = fire(state, trigger, facts)
        assert move.to in exits(state)
        assert (move.start, move.trigger, move.effects) == (state, trigger, ON_ENTRY.get(move.to, ()))  # fmt: skip
    else:
        with pytest.raises(TransitionNotAllowed) as refused:
            fire(state, trigger, facts)
        assert (refused.value.state, refused.value.trigger) == (state, trigger)


@given(state=st.sampled_from(STATES), facts=facts)
def test_every_available_action_can_be_taken_and_ends_where_it_says(state, facts):
    for action, promised in available_actions(state, facts).items():
        move = act(state, action, facts)
        after = move.to
        hopeful = Facts(**{name: getattr(facts, name) for name in facts.__slots__} | {"has_critical_issue": False})  # fmt: skip
        while (step := next_step(after, hopeful)) is not None:
            after = step.to
        assert after == promised
        assert action is not Action.DELETE or promised is State.DELETED
        assert foreseen(state, move.trigger, facts) == after


@given(state=st.sampled_from(STATES), facts=facts)
def test_only_what_can_be_edited_is_not_immutable(state, facts):
    details = status_details(state, facts)

    assert details.immutable != can_fire(state, Trigger.UPDATED, facts)
    assert details.status == state.split(".")[0]


seconds = st.integers(0, 1000).map(lambda s: NOON + timedelta(seconds=s))


@given(cuts=st.sets(seconds, min_size=2, max_size=7).map(sorted))
def test_parts_divide_a_period_without_gap_or_overlap(cuts):
    full = rest = Interval(start=cuts[0], end=cuts[-1])
    parts = []
    for at in cuts[1:-1]:
        part, rest = split(rest, at)
        parts.append(part)
    parts.append(rest)

    assert [part.start for part in parts] == cuts[:-1]
    assert [part.end for part in parts] == cuts[1:]
    kinds = [part_of(part, full).value for part in parts]
    expected = ["first", *["mid"] * (len(parts) - 2), "last"] if len(parts) > 1 else ["single"]
    assert kinds == expected
