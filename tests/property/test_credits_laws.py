"""Laws of the credit engine (domain/README.md, "Invariants of `credits/`"), over grants, resets and usage that coincide often."""

import random
from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from domain.credits.cuts import Plan, Reset
from domain.credits.engine import Evaluation, evaluate, open_state
from domain.credits.grant import Grant
from domain.credits.quantity import exactly
from domain.credits.readings import Readings
from domain.credits.running import TooOld, advance, begin, count, resume, rolled_back, value
from domain.credits.segment import EndedBy
from domain.credits.usage import Reading
from domain.metering.meter import Aggregation
from tests.credit_builders import (
    STEP,
    STEPS,
    T0,
    a_plan,
    aggregations,
    grants,
    plans,
    readings,
    resets,
    run,
    times,
)
from tests.credit_rival import Rival

ZERO = Decimal(0)
OFF_THE_GRID = timedelta(minutes=3)
"""From the grid to where nothing begins: a grant shows in a running balance as soon as it begins, in an evaluation after."""
END = T0 + STEPS * STEP + OFF_THE_GRID


def stopped(plan: Plan, used: Iterable[Reading], stops: list[datetime]) -> Evaluation:
    """Evaluated in as many runs as there are stops, each from the state where the last one ended."""
    state, used = open_state(plan, T0), list(used)
    for stop in sorted(stops):
        done = evaluate(plan, state, Readings(plan.aggregation, used), stop)
        state = done.state
        used = [reading for reading in used if reading.at >= stop]
    return done


def with_usage(negative: bool = True) -> st.SearchStrategy[tuple[Plan, list[Reading]]]:
    return plans().flatmap(
        lambda plan: st.tuples(st.just(plan), readings(plan.aggregation, negative=negative))
    )


@given(grants(), resets, aggregations, st.data())
def test_the_engine_gives_what_the_rules_give_read_word_by_word(
    given_grants: list[Grant],
    given_resets: list[Reset],
    aggregation: Aggregation,
    data: st.DataObject,
):
    used, until = data.draw(readings(aggregation)), data.draw(times)
    ids = [grant.id for grant in given_grants]

    done = run(a_plan(given_grants, given_resets, aggregation), used, until)
    with exactly():
        rival = Rival(given_grants, given_resets, aggregation, used).run(T0, until)

    assert {i: done.standing.balances.get(i, ZERO) for i in ids} == rival.balances
    assert (done.standing.overage, done.standing.usage, done.standing.taken) == (
        rival.overage,
        rival.period_usage,
        rival.taken,
    )
    assert [
        (
            s.start,
            s.end,
            {i: s.balances.get(i, ZERO) for i in ids},
            s.overage_at_start,
            s.usage,
            s.overage,
        )
        for s in done.segments
    ] == rival.segments


@given(with_usage(), st.lists(times, min_size=1, max_size=5), st.integers(0, 3_600))
def test_stopping_anywhere_and_resuming_changes_nothing(
    case: tuple[Plan, list[Reading]], stops: list[datetime], shift: int
):
    plan, used = case
    stops = [stop.replace(minute=shift // 60 % 60, second=shift % 60) for stop in stops]
    until = max(stops)

    in_parts = stopped(plan, used, stops)

    through = run(plan, used, until)
    assert in_parts.state == through.state
    assert in_parts.standing == through.standing


@given(with_usage(), times)
def test_what_is_burned_and_what_is_over_is_what_was_used(
    case: tuple[Plan, list[Reading]], until: datetime
):
    done = run(*case, until)

    for segment in done.segments:
        with exactly():
            burned = sum((share for _, share in segment.taken), ZERO)
            assert burned + segment.overage == segment.usage + segment.overage_at_start
            assert segment.balance - burned == segment.balance_at_end
            assert sum(segment.balances_at_end.values(), ZERO) == segment.balance_at_end


@given(with_usage(), times)
def test_segments_follow_each_other_without_gap(case: tuple[Plan, list[Reading]], until: datetime):
    done = run(*case, until)

    assert done.segments[0].start == T0
    assert done.segments[-1].end == until
    for one, other in zip(done.segments, done.segments[1:], strict=False):
        assert one.end == other.start
        assert (one.ended_by is EndedBy.RESET) == (other.ended_by is EndedBy.ROLLOVER)


@given(grants(), resets, st.data(), times, st.randoms())
def test_the_order_in_which_grants_resets_and_readings_are_given_does_not_matter(
    given_grants: list[Grant],
    given_resets: list[Reset],
    data: st.DataObject,
    until: datetime,
    chance: random.Random,
):
    used = data.draw(readings(Aggregation.SUM))

    shuffled = run(
        a_plan(
            chance.sample(given_grants, len(given_grants)),
            chance.sample(given_resets, len(given_resets)),
        ),
        chance.sample(used, len(used)),
        until,
    )

    assert shuffled == run(a_plan(given_grants, given_resets), used, until)


@given(with_usage(negative=False), times)
def test_nothing_is_held_below_zero_or_above_amount_and_rollover(
    case: tuple[Plan, list[Reading]], until: datetime
):
    plan, used = case
    most = {g.id: max(g.amount, min(g.min_rollover, g.max_rollover)) for g in plan.roster.grants}

    done = run(plan, used, until)

    assert done.standing.overage >= 0
    for id_, held in done.standing.balances.items():
        assert 0 <= held <= most[id_]
    if done.standing.overage:
        assert done.standing.balance == 0


@given(with_usage(), times, st.randoms())
def test_a_running_balance_is_the_evaluation_in_whatever_order_readings_arrive(
    case: tuple[Plan, list[Reading]], until: datetime, chance: random.Random
):
    plan, used = case
    until += OFF_THE_GRID
    known = [reading for reading in used if reading.at < until]
    if plan.aggregation is not Aggregation.LATEST:  # of one instant the later arrival counts
        known = chance.sample(known, len(known))

    running = begin(plan, T0)
    for reading in known:
        running = count(plan, running, reading)
    running = advance(plan, running, until)

    assert value(plan, running) == run(plan, used, until).standing


@given(with_usage(), times, times)
def test_a_running_balance_goes_on_from_any_state(
    case: tuple[Plan, list[Reading]], stop: datetime, until: datetime
):
    plan, used = case
    stop, until = min(stop, until), max(stop, until)
    until += OFF_THE_GRID
    ordered = sorted((r for r in used if stop <= r.at < until), key=lambda r: r.at)

    running = resume(plan, run(plan, used, stop).state)
    for reading in ordered:
        running = count(plan, running, reading)

    done = evaluate(plan, running.state, Readings(plan.aggregation, []), until)
    assert done.standing == run(plan, used, until).standing


@given(grants(), grants(max_size=1), resets, aggregations, st.data())
def test_a_grant_made_after_the_fact_counts_as_if_it_had_always_been_there(
    old: list[Grant],
    new: list[Grant],
    given_resets: list[Reset],
    aggregation: Aggregation,
    data: st.DataObject,
):
    used = data.draw(readings(aggregation))
    late = [Grant(**{**_fields(grant), "id": "late"}) for grant in new]  # type: ignore[arg-type]
    before = a_plan(old, given_resets, aggregation)
    after = a_plan([*old, *late], given_resets, aggregation)
    since = min((grant.effective_at for grant in late), default=END)
    running = begin(before, T0)
    for reading in sorted(used, key=lambda r: r.at):
        running = count(before, running, reading)

    try:
        state = rolled_back(running, since)
    except TooOld:
        assert since <= T0
        return
    done = evaluate(after, state, Readings(aggregation, used), END)

    assert done.standing == run(after, used, END).standing


def _fields(grant: Grant) -> dict[str, object]:
    return {name: getattr(grant, name) for name in Grant.__dataclass_fields__}
