"""Laws of the running balance that changes in place: after any history it is the evaluation of all readings in order."""

import random
from datetime import datetime
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from domain.credits.account import Account, just_before, second_of
from domain.credits.cuts import Plan, Reset
from domain.credits.grant import Grant
from domain.credits.running import TooOld
from domain.credits.usage import Reading
from domain.metering.meter import Aggregation
from domain.metering.rows import Latest
from tests.credit_builders import (
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

_cases = plans().flatmap(
    lambda plan: st.tuples(st.just(plan), readings(plan.aggregation)),
)


class Counting:
    """An account with the first times of its values, as the stream keeps them."""

    def __init__(self, plan: Plan, at: datetime = T0) -> None:
        self.kind = plan.aggregation
        self.account = Account.begin(plan, at)
        self.firsts: dict[tuple[int, object], int] = {}

    def take(self, place: int, reading: Reading) -> None:
        second, value = second_of(reading.at), reading.value
        if self.kind is Aggregation.LATEST:
            self.account.offer(second, Latest(second, place, value))
        elif self.kind is Aggregation.UNIQUE_COUNT:
            key = (self.account.period_of(second), value)
            self.firsts[key] = self.account.see(self.firsts.get(key), second)
        else:
            assert isinstance(value, Decimal)
            self.account.count(second, int(value) if value == int(value) else value)


@given(_cases, times, st.randoms())
def test_an_account_is_the_evaluation_in_whatever_order_readings_arrive(
    case: tuple[Plan, list[Reading]], until: datetime, chance: random.Random
):
    plan, used = case
    known = [(i, r) for i, r in enumerate(used) if r.at < until]
    counting = Counting(plan)

    for place, reading in chance.sample(known, len(known)):
        counting.take(place, reading)
        if chance.random() < 0.2:
            counting.account.standing_at(max(until, counting.account.phase_start))
    counting.account.advance(just_before(until))

    assert counting.account.standing_at(until) == run(plan, used, until).standing


@given(_cases, times, times, st.randoms())
def test_an_account_that_forgets_goes_on_as_before_and_says_what_is_too_old(
    case: tuple[Plan, list[Reading]], stop: datetime, until: datetime, chance: random.Random
):
    plan, used = case
    stop, until = min(stop, until), max(stop, until)
    counting = Counting(plan)
    known = [(i, r) for i, r in enumerate(used) if r.at < until]
    early = [one for one in known if one[1].at < stop]
    for place, reading in early:
        counting.take(place, reading)
    counting.account.advance(just_before(stop))

    counting.account.forget(stop)
    for place, reading in chance.sample(known, len(known)):
        if (place, reading) in early:
            continue
        if second_of(reading.at) < counting.account.start:
            continue
        counting.take(place, reading)
    counting.account.advance(just_before(until))

    assert counting.account.standing_at(until) == run(plan, used, until).standing


@given(grants(), grants(max_size=2), resets, aggregations, st.data(), times)
def test_a_plan_that_changes_after_the_fact_counts_as_if_it_had_always_been_so(
    old: list[Grant],
    new: list[Grant],
    given_resets: list[Reset],
    aggregation: Aggregation,
    data: st.DataObject,
    until: datetime,
):
    used = [r for r in data.draw(readings(aggregation)) if r.at < until]
    late = [Grant(**{**_fields(grant), "id": f"late{i}"}) for i, grant in enumerate(new)]
    after = a_plan([*old, *late], given_resets, aggregation)
    since = min((grant.effective_at for grant in late), default=until)
    counting = Counting(a_plan(old, given_resets, aggregation))
    for place, reading in enumerate(used):
        counting.take(place, reading)
    counting.account.advance(just_before(until))

    def between(start: int, end: int) -> Decimal:
        found = [r.value for r in used if start <= second_of(r.at) < end]
        return sum(found, Decimal(0))  # type: ignore[arg-type]

    adds = aggregation in (Aggregation.SUM, Aggregation.COUNT)
    from_then = counting.account.change(after, since, between if adds else None)
    counting.firsts = {key: first for key, first in counting.firsts.items() if first < from_then}
    for place, reading in enumerate(used):
        if second_of(reading.at) >= from_then:
            counting.take(place, reading)
    counting.account.advance(just_before(until))

    assert counting.account.standing_at(until) == run(after, used, until).standing


@given(_cases, times, times)
def test_a_copy_goes_its_own_way(case: tuple[Plan, list[Reading]], stop: datetime, until: datetime):
    plan, used = case
    stop, until = min(stop, until), max(stop, until)
    counting = Counting(plan)
    for place, reading in enumerate(used):
        if reading.at < stop:
            counting.take(place, reading)
    counting.account.advance(just_before(stop))
    before = counting.account.standing_at(stop)

    ahead = counting.account.copy()
    ahead.advance(just_before(until))
    if plan.aggregation in (Aggregation.SUM, Aggregation.COUNT):
        ahead.count(second_of(until), 7)

    assert counting.account.standing_at(stop) == before


@given(plans())
def test_what_lies_before_the_first_phase_is_too_old(plan: Plan):
    account = Account.begin(plan, T0)

    try:
        account.period_of(second_of(T0) - 1)
    except TooOld:
        return
    raise AssertionError("counted before measuring began")


def _fields(grant: Grant) -> dict[str, object]:
    return {name: getattr(grant, name) for name in Grant.__dataclass_fields__}
