"""Corners of the engine that the worked examples (tests/golden/credits) leave open."""

from decimal import Decimal

import pytest

from domain.credits.cuts import ListedResets, Reset, next_cut_after
from domain.credits.engine import Opening, evaluate, open_state
from domain.credits.grant import burn_order, effective_period
from domain.credits.readings import Readings
from domain.credits.segment import EndedBy
from domain.credits.usage import Added, Last
from domain.metering.meter import Aggregation
from domain.time.interval import Interval
from tests.credit_builders import T0, a_grant, a_plan, a_reading, at, every, run

D = Decimal


def test_times_of_a_grant_are_cut_to_the_minute():
    seconds = at(1).replace(second=59)
    grant = a_grant(effective_at=seconds, expires_at=at(3).replace(second=30))

    done = run(a_plan([grant]))

    assert [(s.start, s.end) for s in done.segments] == [
        (at(0), at(1)),
        (at(1), at(3)),
        (at(3), at(24)),
    ]
    assert done.segments[1].balances == {"g": D(100)}


def test_the_anchor_of_a_recurrence_is_cut_to_the_minute():
    grant = a_grant(recurrence=every("PT6H", T0.replace(second=40)))

    done = run(a_plan([grant]), until=at(7))

    assert [s.start for s in done.segments] == [at(0), at(6)]


def test_expiries_are_told_apart_by_the_second_and_not_finer():
    early, late = at(1), at(1).replace(microsecond=900_000)
    older, newer = at(-2), at(-1)
    grants = [
        a_grant("a", expires_at=early, created_at=newer),
        a_grant("b", expires_at=late, created_at=older),
    ]

    assert [grant.id for grant in sorted(grants, key=burn_order)] == ["b", "a"]


def test_the_sooner_expiry_burns_first_though_it_was_made_later():
    grants = [
        a_grant("a", created_at=at(-3)),
        a_grant("b", created_at=at(-2), expires_at=at(9)),
        a_grant("c", created_at=at(-1), expires_at=at(8)),
    ]

    assert [grant.id for grant in sorted(grants, key=burn_order)] == ["c", "b", "a"]


def test_ties_go_to_the_older_and_then_the_smaller_id():
    grants = [a_grant("b"), a_grant("c", created_at=at(-1)), a_grant("a")]

    assert [grant.id for grant in sorted(grants, key=burn_order)] == ["c", "a", "b"]


@pytest.mark.parametrize(
    ("expires", "voided", "deleted", "end"),
    [
        (None, None, None, None),
        (3, None, None, 3),
        (3, 2, None, 2),
        (3, 2, 1, 1),
        (None, 2, 3, 2),
        (None, None, -5, 0),
        (-1, None, None, 0),
    ],
)
def test_a_grant_is_effective_until_the_first_of_its_ends(
    expires: int | None, voided: int | None, deleted: int | None, end: int | None
):
    times = [None if hours is None else at(hours) for hours in (expires, voided, deleted)]

    period = effective_period(T0, *times)

    assert period == Interval(start=T0, end=None if end is None else at(end))


def test_a_grant_voided_before_it_begins_never_counts():
    grant = a_grant(effective_at=at(2), voided_at=at(1), recurrence=every("PT1H"))

    done = run(a_plan([grant]), [a_reading(3, 5)])

    assert len(done.segments) == 1
    assert done.standing.overage == 5


def test_an_opening_goes_on_from_its_numbers():
    opening = Opening(
        balances={"g": D(40)},
        overage=D(7),
        period_start=at(-5),
        period_usage=D(60),
        period_taken=D(50),
    )
    plan = a_plan([a_grant(effective_at=at(-9))])

    standing = run(plan, [a_reading(1, 3)], opening=opening).standing

    assert standing.balances == {"g": D(30)}
    assert (standing.usage, standing.taken, standing.overage) == (D(63), D(60), D(0))
    assert (standing.period_start, standing.total_available) == (at(-5), D(90))


@pytest.mark.parametrize(("given", "held"), [(0, 100), (30, 30)])
def test_a_grant_that_begins_at_the_start_is_filled_if_it_holds_nothing(given: int, held: int):
    state = open_state(a_plan([a_grant()]), T0, Opening(balances={"g": D(given)}))

    assert state.balances == {"g": D(held)}


def test_a_grant_that_recurs_at_the_start_is_filled_whatever_it_holds():
    grant = a_grant(effective_at=at(-6), recurrence=every("PT6H"))

    state = open_state(a_plan([grant]), T0, Opening(balances={"g": D(30)}))

    assert state.balances == {"g": D(100)}


def test_a_level_is_full_at_the_start_whatever_is_given():
    grant = a_grant(effective_at=at(-6))

    state = open_state(
        a_plan([grant], aggregation=Aggregation.LATEST), T0, Opening(balances={"g": D(30)})
    )

    assert state.balances == {"g": D(100)}


def test_balances_of_grants_that_are_not_active_are_not_counted():
    grant = a_grant(effective_at=at(-6), expires_at=at(-1))

    standing = run(a_plan([grant]), opening=Opening(balances={"g": D(30)})).standing

    assert standing.balances == {}


def test_a_grant_that_merely_begins_at_the_end_shows_only_with_beginners():
    plan = a_plan([a_grant(effective_at=at(5))])
    state, readings = open_state(plan, T0), Readings(Aggregation.SUM, [])

    without = evaluate(plan, state, readings, at(5))
    with_beginners = evaluate(plan, state, readings, at(5), beginners=True)

    assert (without.standing.balances, len(without.segments)) == ({"g": D(0)}, 1)
    assert (with_beginners.standing.balances, len(with_beginners.segments)) == ({"g": D(100)}, 2)


def test_what_coincides_with_a_refill_at_the_end_shows():
    plan = a_plan(
        [
            a_grant("r", effective_at=at(-1), recurrence=every("PT5H")),
            a_grant("g", effective_at=at(5)),
        ]
    )

    standing = run(plan, until=at(5)).standing

    assert standing.balances == {"g": D(100), "r": D(100)}


def test_usage_taken_back_beyond_the_phase_is_given_to_the_first_grant_that_holds_something():
    plan = a_plan([a_grant("empty", 5), a_grant("g", 10, priority=2), a_grant("h", 10, priority=3)])

    done = run(
        a_plan([*plan.roster.grants, a_grant("cut", 1, priority=9, effective_at=at(2))]),
        [a_reading(1, 5), a_reading(3, -4)],
    )

    assert done.standing.balances == {"empty": D(0), "g": D(14), "h": D(10), "cut": D(1)}
    assert done.standing.usage == 1


def test_usage_taken_back_without_a_grant_is_a_credit():
    done = run(a_plan([a_grant(effective_at=at(5))]), [a_reading(1, -4), a_reading(6, 1)])

    assert done.segments[0].overage == -4
    assert done.standing.balances == {"g": D(103)}


def test_each_reset_decides_about_overage():
    grants = [a_grant("g", 10, min_rollover=10, max_rollover=10)]
    resets = [Reset(at(6), True), Reset(at(12), False)]
    used = [a_reading(1, 14), a_reading(7, 9), a_reading(13, 1)]

    done = run(a_plan(grants, resets), used)

    assert [(s.start, s.ended_by, s.overage_at_start, s.overage) for s in done.segments] == [
        (at(0), EndedBy.RESET, D(0), D(4)),
        (at(6), EndedBy.ROLLOVER, D(4), D(0)),
        (at(6), EndedBy.RESET, D(0), D(3)),
        (at(12), EndedBy.ROLLOVER, D(0), D(0)),
        (at(12), None, D(0), D(0)),
    ]
    assert done.standing.period_start == at(12)
    assert (done.standing.usage, done.standing.taken) == (D(1), D(1))


def test_preserved_overage_that_a_beginner_was_charged_is_made_good():
    """The rollover gives it its minimum, the overage takes that, then it is filled."""
    grant = a_grant("g", 10, effective_at=at(6), min_rollover=10, max_rollover=10)

    standing = run(a_plan([grant], [Reset(at(6), True)]), [a_reading(1, 5)], at(6)).standing

    assert (standing.balance, standing.overage, standing.total_available) == (D(10), D(0), D(15))


def test_a_beginner_without_a_minimum_pays_preserved_overage_from_its_amount():
    grant = a_grant("g", 10, effective_at=at(6))

    standing = run(a_plan([grant], [Reset(at(6), True)]), [a_reading(1, 5)], at(6)).standing

    assert (standing.balance, standing.overage, standing.total_available) == (D(5), D(0), D(10))


def test_values_are_counted_once_a_period_and_again_in_the_next():
    plan = a_plan(
        [a_grant(effective_at=at(-1), max_rollover=100)], [Reset(at(12))], Aggregation.UNIQUE_COUNT
    )
    used = [
        a_reading(h, v) for h, v in [(1, "a"), (2, "b"), (3, "a"), (12, "a"), (13, "a"), (14, "c")]
    ]

    before = run(plan, used, at(11)).standing
    after = run(plan, used).standing

    assert (before.usage, before.balance) == (D(2), D(98))
    assert (after.usage, after.balance) == (D(2), D(96))


def test_a_value_of_an_earlier_phase_of_the_period_is_not_new():
    grants = [a_grant(effective_at=at(-1)), a_grant("h", effective_at=at(6))]
    plan = a_plan(grants, aggregation=Aggregation.UNIQUE_COUNT)

    done = run(plan, [a_reading(1, "a"), a_reading(7, "a"), a_reading(8, "b")])

    assert [segment.usage for segment in done.segments] == [D(1), D(1)]


def test_values_seen_before_an_opening_are_not_new():
    plan = a_plan([a_grant()], aggregation=Aggregation.UNIQUE_COUNT)

    standing = run(
        plan, [a_reading(1, "a"), a_reading(2, "b")], opening=Opening(seen=frozenset({"a"}))
    ).standing

    assert standing.usage == 1


def test_of_a_level_the_last_reading_of_the_phase_counts_and_of_equal_instants_the_last_given():
    plan = a_plan([a_grant()], aggregation=Aggregation.LATEST)

    standing = run(plan, [a_reading(2, 9), a_reading(2, 8), a_reading(1, 50)]).standing

    assert (standing.usage, standing.balance) == (D(8), D(92))


def test_a_level_without_a_reading_is_zero():
    plan = a_plan([a_grant(), a_grant("h", effective_at=at(6))], aggregation=Aggregation.LATEST)

    done = run(plan, [a_reading(2, 7)])

    assert [segment.usage for segment in done.segments] == [D(7), D(0)]
    assert done.standing.balances == {"g": D(100), "h": D(100)}


def test_two_resets_at_one_instant_are_one():
    resets = ListedResets([Reset(at(6), True), Reset(at(1)), Reset(at(6), False)])

    assert resets.between(at(0), at(6)) == [Reset(at(1)), Reset(at(6), False)]
    assert resets.between(at(1), at(6)) == [Reset(at(6), False)]
    assert resets.between(at(1), at(5)) == []
    assert (resets.next_after(at(0)), resets.next_after(at(1)), resets.next_after(at(6))) == (
        at(1),
        at(6),
        None,
    )


def test_the_next_cut_is_the_first_change_refill_or_reset():
    recurring = a_grant("r", effective_at=at(-1), expires_at=at(20), recurrence=every("PT7H"))
    plan = a_plan([recurring, a_grant("g", effective_at=at(5))], [Reset(at(9))])

    cuts = [T0]
    while (cut := next_cut_after(plan, cuts[-1])) is not None:
        cuts.append(cut)

    assert cuts[1:] == [at(5), at(7), at(9), at(14), at(20)]


def test_a_recurrence_at_the_end_of_the_calendar_has_no_next():
    grant = a_grant(recurrence=every("P3000Y"))
    plan = a_plan([grant])

    cut = next_cut_after(plan, at(0).replace(year=9_000))

    assert cut is None


def test_a_reading_at_a_cut_point_belongs_to_the_phase_after_it():
    done = run(a_plan([a_grant(effective_at=at(5))]), [a_reading(5, 3)])

    assert [segment.usage for segment in done.segments] == [D(0), D(3)]


def test_segments_say_what_was_held_at_both_ends():
    plan = a_plan([a_grant("a", 5), a_grant("b", 10, priority=2), a_grant("c", 3, priority=3)])

    segment = run(plan, [a_reading(1, 8)]).segments[0]

    assert segment.taken == (("a", D(5)), ("b", D(3)), ("c", D(0)))
    assert segment.balances_at_end == {"a": D(0), "b": D(7), "c": D(3)}
    assert (segment.balance, segment.balance_at_end) == (D(18), D(10))


def test_a_run_that_stopped_where_a_grant_begins_goes_on():
    plan = a_plan([a_grant(effective_at=at(5))])
    stopped = run(plan, until=at(5)).state

    done = evaluate(plan, stopped, Readings(Aggregation.SUM, [a_reading(5, 3)]), at(6))

    assert done.standing == run(plan, [a_reading(5, 3)], at(6)).standing


def test_readings_answer_for_half_open_spans():
    used = [a_reading(h, v) for h, v in [(3, 7), (1, 5), (2, 6)]]

    spans = [(1, 3), (1, 3.1), (1.5, 1.9), (3, 3)]
    summed = [Readings(Aggregation.SUM, used)(at(a), at(b)) for a, b in spans]
    latest = [Readings(Aggregation.LATEST, used)(at(a), at(b)) for a, b in spans]

    assert summed == [Added(D(11)), Added(D(18)), Added(D(0)), Added(D(0))]
    assert latest == [Last(D(6), at(2)), Last(D(7), at(3)), Last(), Last()]


def test_a_period_begins_at_the_start_unless_it_is_said_to_have_begun_before():
    plan = a_plan([a_grant()])

    assert run(plan).standing.period_start == T0
    assert run(plan, opening=Opening(period_start=at(-3))).standing.period_start == at(-3)
