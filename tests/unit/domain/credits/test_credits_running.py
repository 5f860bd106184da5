"""A running balance: late readings, time that passes, changed grants (its laws: tests/property/test_credits_laws.py)."""

from decimal import Decimal

import pytest

from domain.credits.curve import Point, curve
from domain.credits.cuts import Reset
from domain.credits.engine import Opening, evaluate, open_state
from domain.credits.explanation import Cause, Why, explain
from domain.credits.readings import Readings
from domain.credits.running import (
    TooOld,
    advance,
    begin,
    count,
    forget,
    resume,
    rolled_back,
    value,
)
from domain.metering.meter import Aggregation
from tests.credit_builders import T0, a_grant, a_plan, a_reading, at, every, run

D = Decimal
DAILY = [a_grant(recurrence=every("PT6H"))]


def test_a_reading_is_burned_at_once():
    plan = a_plan([a_grant()])

    running = count(plan, begin(plan, T0), a_reading(1, 30))

    assert value(plan, running).balances == {"g": D(70)}
    assert (running.state.at, running.next_cut_at) == (at(1), None)


def test_a_balance_begins_from_an_opening():
    plan = a_plan([a_grant(effective_at=at(-1))])

    running = begin(plan, T0, Opening(balances={"g": D(20)}))

    assert value(plan, running).balance == 20


def test_time_goes_through_cut_points_without_usage():
    plan = a_plan(DAILY, [Reset(at(9))])
    running = count(plan, begin(plan, T0), a_reading(1, 30))

    held = [value(plan, advance(plan, running, at(h))).balance for h in (5, 6, 9, 11, 12)]

    assert held == [70, 100, 0, 0, 100]


def test_a_grant_counts_for_a_reading_at_its_beginning():
    plan = a_plan([a_grant(effective_at=at(5))])

    running = count(plan, begin(plan, T0), a_reading(5, 30))

    assert value(plan, running).balance == 70
    assert len(running.phases) == 2


def test_time_does_not_go_back():
    plan = a_plan(DAILY)
    running = advance(plan, begin(plan, T0), at(8))

    again = advance(plan, running, at(7))

    assert again is running


def test_the_next_cut_is_known():
    plan = a_plan(DAILY, [Reset(at(9))])

    cuts = [advance(plan, begin(plan, T0), at(h)).next_cut_at for h in (0, 5, 6, 9)]

    assert cuts == [at(6), at(6), at(9), at(12)]


def test_a_late_reading_counts_in_its_own_phase():
    plan = a_plan(DAILY)
    running = begin(plan, T0)
    for hours, amount in [(1, 90), (7, 50), (13, 10)]:
        running = count(plan, running, a_reading(hours, amount))

    running = count(plan, running, a_reading(2, 30))

    assert (
        value(plan, running)
        == run(
            plan, [a_reading(h, v) for h, v in [(1, 90), (2, 30), (7, 50), (13, 10)]], at(13.001)
        ).standing
    )
    assert running.state.at == at(13)
    assert [phase.at for phase in running.phases] == [at(6), at(12), at(13)]


def test_a_late_reading_at_a_cut_point_counts_after_it():
    plan = a_plan(DAILY)
    running = advance(plan, begin(plan, T0), at(13))

    running = count(plan, running, a_reading(6, 30))

    assert [phase.usage.amount for phase in running.phases] == [0, 30, 0]


def test_a_late_value_is_taken_from_the_phase_that_counted_it():
    plan = a_plan(DAILY, aggregation=Aggregation.UNIQUE_COUNT)
    running = begin(plan, T0)
    for hours in (13, 7, 1):
        running = count(plan, running, a_reading(hours, "a"))

    assert [phase.usage.amount for phase in running.phases] == [1, 0, 0]
    assert value(plan, running).usage == 1


def test_an_earlier_level_does_not_replace_a_later_one():
    plan = a_plan([a_grant()], aggregation=Aggregation.LATEST)
    running = begin(plan, T0)
    for hours, amount in [(3, 7), (1, 50), (3, 8)]:
        running = count(plan, running, a_reading(hours, amount))

    assert value(plan, running).usage == 8


def test_what_was_forgotten_cannot_be_counted():
    plan = a_plan(DAILY)
    running = forget(advance(plan, begin(plan, T0), at(13)), at(6))

    with pytest.raises(TooOld) as too_old:
        count(plan, running, a_reading(5.9, 1))

    assert [phase.phase_start for phase in running.phases] == [at(6), at(12)]
    assert str(too_old.value) == "nothing is known before 2024-01-30T06:00:00+00:00"
    assert too_old.value.code == "older_than_running_balance"
    assert count(plan, running, a_reading(6, 1)).phases[0].usage.amount == 1


def test_the_phase_that_the_balance_is_in_is_never_forgotten():
    plan = a_plan(DAILY)

    running = forget(advance(plan, begin(plan, T0), at(13)), at(99))

    assert [phase.phase_start for phase in running.phases] == [at(12)]


def test_rolling_back_gives_the_phase_begun_before_the_change():
    plan = a_plan(DAILY)
    running = begin(plan, T0)
    for hours, amount in [(1, 90), (7, 50), (13, 10)]:
        running = count(plan, running, a_reading(hours, amount))

    states = [rolled_back(running, at(h)) for h in (6, 6.5, 12, 99)]

    assert [state.at for state in states] == [at(0), at(6), at(6), at(12)]
    assert all(state.at == state.phase_start and not state.usage.amount for state in states)


def test_rolling_back_before_the_beginning_is_refused():
    running = begin(a_plan(DAILY), T0)

    with pytest.raises(TooOld) as too_old:
        rolled_back(running, T0)

    assert str(too_old.value) == "nothing is known before 2024-01-30T00:00:00+00:00"


def test_a_cut_that_was_pending_when_the_state_was_taken_is_gone_through():
    plan = a_plan([a_grant(effective_at=at(5))])
    stopped = run(plan, until=at(5)).state

    running = count(plan, resume(plan, stopped), a_reading(5, 30))

    assert value(plan, running).balance == 70


def test_an_explanation_says_what_began_each_segment():
    grants = [
        a_grant("a", recurrence=every("PT6H"), voided_at=at(13)),
        a_grant("b", priority=2, effective_at=at(6), expires_at=at(13)),
        a_grant("c", priority=3, effective_at=at(13), deleted_at=at(20)),
    ]
    plan = a_plan(grants, [Reset(at(9))])

    steps = explain(plan, run(plan))

    assert [(step.segment.start, step.causes) for step in steps] == [
        (at(0), (Cause(Why.START), Cause(Why.BEGAN, "a"))),
        (at(6), (Cause(Why.RECURRED, "a"), Cause(Why.BEGAN, "b"))),
        (at(9), (Cause(Why.RESET),)),
        (at(9), ()),
        (at(12), (Cause(Why.RECURRED, "a"),)),
        (at(13), (Cause(Why.VOIDED, "a"), Cause(Why.EXPIRED, "b"), Cause(Why.BEGAN, "c"))),
        (at(20), (Cause(Why.DELETED, "c"),)),
    ]


def test_an_explanation_of_a_level_says_that_all_are_full_again():
    plan = a_plan([a_grant(), a_grant("h", expires_at=at(6))], aggregation=Aggregation.LATEST)

    steps = explain(plan, run(plan))

    assert [step.causes for step in steps] == [
        (Cause(Why.START), Cause(Why.REFILLED)),
        (Cause(Why.EXPIRED, "h"), Cause(Why.REFILLED)),
    ]


def test_an_explanation_of_a_level_without_grants_does_not_say_so():
    plan = a_plan([a_grant(expires_at=at(6))], aggregation=Aggregation.LATEST)

    steps = explain(plan, run(plan))

    assert steps[1].causes == (Cause(Why.EXPIRED, "g"),)


def test_a_deletion_explains_more_than_a_void_and_a_void_more_than_an_expiry():
    both = a_grant("a", voided_at=at(6), deleted_at=at(6).replace(second=5), expires_at=at(6))
    void = a_grant("b", voided_at=at(7).replace(second=5), expires_at=at(7))
    late = a_grant("c", voided_at=at(9), deleted_at=at(9), expires_at=at(8))
    plan = a_plan([both, void, late])

    steps = explain(plan, run(plan))

    assert [step.causes for step in steps[1:]] == [
        (Cause(Why.DELETED, "a"),),
        (Cause(Why.VOIDED, "b"),),
        (Cause(Why.EXPIRED, "c"),),
    ]


def test_a_curve_has_both_sides_of_every_cut_point():
    plan = a_plan(DAILY)
    readings = Readings(Aggregation.SUM, [a_reading(1, 120), a_reading(7, 5)])

    points = list(curve(plan, open_state(plan, T0), readings, [at(0), at(3), at(8), at(8)]))

    assert points == [
        Point(at(0), D(100), D(0)),
        Point(at(3), D(0), D(20)),
        Point(at(6), D(0), D(20)),
        Point(at(6), D(80), D(0)),
        Point(at(8), D(75), D(0)),
        Point(at(8), D(75), D(0)),
    ]


def test_a_curve_shows_overage_that_what_begins_cannot_pay():
    plan = a_plan([a_grant("g", 5, effective_at=at(6))])
    readings = Readings(Aggregation.SUM, [a_reading(1, 12)])

    points = list(curve(plan, open_state(plan, T0), readings, [at(8)]))

    assert points == [
        Point(at(6), D(0), D(12)),
        Point(at(6), D(0), D(7)),
        Point(at(8), D(0), D(7)),
    ]


def test_an_evaluation_goes_on_from_a_rolled_back_state_with_another_plan():
    plan = a_plan(DAILY)
    used = [a_reading(h, v) for h, v in [(1, 90), (7, 50), (13, 10)]]
    running = begin(plan, T0)
    for reading in used:
        running = count(plan, running, reading)
    with_grant = a_plan([*DAILY, a_grant("new", 1, priority=0, effective_at=at(8))])

    done = evaluate(
        with_grant, rolled_back(running, at(8)), Readings(Aggregation.SUM, used), at(14)
    )

    assert done.standing == run(with_grant, used, at(14)).standing


def test_time_that_passes_within_a_phase_forgets_nothing():
    plan = a_plan(DAILY)
    running = count(plan, advance(plan, begin(plan, T0), at(7)), a_reading(1, 30))

    running = advance(plan, running, at(8))

    assert [phase.usage.amount for phase in running.phases] == [30, 0]
    assert running.state.at == at(8)


def test_a_value_seen_in_an_earlier_phase_is_not_counted_again():
    plan = a_plan(DAILY, aggregation=Aggregation.UNIQUE_COUNT)
    running = begin(plan, T0)
    for hours, text in [(1, "a"), (7, "a"), (8, "b"), (9, "b")]:
        running = count(plan, running, a_reading(hours, text))

    assert [phase.usage.amount for phase in running.phases] == [1, 1]
    assert value(plan, running).usage == 2


def test_a_grant_that_begins_with_a_given_balance_is_not_said_to_be_filled():
    plan = a_plan([a_grant(), a_grant("h", 5)])
    opening = Opening(balances={"g": D(30), "h": D(0)})

    steps = explain(plan, run(plan, opening=opening))

    assert steps[0].causes == (Cause(Why.START), Cause(Why.BEGAN, "h"))
