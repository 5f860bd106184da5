"""The worked examples of the rules (grants, burn-down, recurrence, resets, rollover) through HTTP with the official Python SDK.

Every value is read from the worker that owns it, and at the end computed again from the events. Numbers in names are those of
the rules' list of examples.
"""

from datetime import UTC, datetime, timedelta

import pytest
from openmeter import Client

from tests.drift import add_usage
from tests.entitled import Entitled, World
from tests.reconciling import assert_no_drift, reconcile
from tests.stack import start_stack, stop_stack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


@pytest.fixture(scope="module")
def world(services_dir, kafka_address, postgres_dsn, clickhouse_url):
    stack = start_stack(
        "scenarios",
        services_dir / "scenarios",
        kafka_address,
        postgres_dsn,
        clickhouse_url,
        METERSTREAM_TESTING__CLOCK="true",
    )
    try:
        with Client(endpoint=stack.api.url, token="om_ignored") as sdk:
            yield World(stack, sdk)
    finally:
        stop_stack(stack)


# -- with times of their own: first, because the clock only goes forward


def test_c_what_is_lost_at_a_reset_and_what_expires(world):
    begin = datetime(2024, 6, 28, 14, 35, 21, tzinfo=UTC)
    anchor = datetime(2024, 6, 28, 14, 48, tzinfo=UTC)
    customer = Entitled(world, begin=begin, every="DAY", anchor=anchor)
    customer.grant(10, maxRolloverAmount=0)
    customer.grant(20, expires=("DAY", 1), maxRolloverAmount=20)

    customer.go(timedelta(seconds=84))
    customer.has(balance=30, overage=0)
    customer.go(2 * DAY + timedelta(minutes=55, seconds=20))
    customer.has(balance=0, overage=0)


def test_a_a_voided_grant_and_who_pays_first(world):
    begin = datetime(2024, 7, 9, 11, 20, 28, tzinfo=UTC)
    customer = Entitled(
        world, begin=begin, every="MONTH", issueAfterReset=500, issueAfterResetPriority=1
    )
    clock = begin.replace(hour=0, minute=0, second=0)
    since = {name: clock + timedelta(**at) - begin for name, at in TIMES_OF_A.items()}
    customer.go(since["granted"])
    second = customer.grant(10_000, since["granted"], priority=1, expires=("WEEK", 1))
    customer.use((since["used"], 10), (since["used again"], 12))

    customer.go(since["voided"])
    customer.has(balance=10_490)
    customer.void(second, since["voided"])
    customer.go(since["read"])
    customer.has(balance=488, overage=0)


TIMES_OF_A = {
    "granted": {"hours": 12, "minutes": 9},
    "used": {"hours": 13, "minutes": 9},
    "voided": {"hours": 14, "minutes": 54, "seconds": 4},
    "used again": {"hours": 15, "minutes": 9},
    "read": {"hours": 16, "minutes": 38},
}


def test_b_a_grant_pays_the_overage_before_it(world):
    customer = Entitled(world, begin=datetime(2024, 7, 12, 11, 25, tzinfo=UTC), every="MONTH")
    customer.grant(500, priority=1, recurs="MONTH")
    customer.use((5 * MINUTE, 400), (40 * MINUTE - timedelta(seconds=1), 600))
    customer.go(HOUR)
    customer.has(balance=0, overage=500, usage=1000)

    customer.go(HOUR + 6 * MINUTE)
    customer.grant(8000, HOUR + 6 * MINUTE)
    customer.use((timedelta(minutes=70, seconds=18), 1000))

    customer.go(timedelta(hours=2, minutes=5, seconds=18))
    customer.has(balance=6500, overage=0, usage=2000)


def test_d_a_recurrence_at_the_end_of_its_grant_does_not_happen(world):
    customer = Entitled(world, begin=datetime(2024, 7, 14, 9, 41, tzinfo=UTC), every="DAY")
    customer.grant(20, 2 * MINUTE, expires=("WEEK", 1), recurs="DAY", maxRolloverAmount=20)
    customer.go(7 * DAY - HOUR)
    customer.has(balance=20)

    customer.reset(7 * DAY, retainAnchor=True)

    customer.go(7 * DAY + 9 * HOUR)
    customer.has(balance=0, overage=0)


# -- from the beginning of a day


def test_1_usage_without_grants_is_overage(world):
    customer = Entitled(world)
    customer.use((MINUTE, 50))

    customer.go(HOUR)
    customer.has(balance=0, overage=50, usage=50, total=0, grants={})


def test_2_usage_burns_a_grant(world):
    customer = Entitled(world)
    grant = customer.grant(100)
    customer.use((MINUTE, 50))

    customer.go(HOUR)
    customer.has(balance=50, overage=0, usage=50, total=100, grants={grant: 50})


def test_3_what_is_left_of_a_voided_grant_is_gone(world):
    customer = Entitled(world)
    grant = customer.grant(100)
    customer.use((30 * MINUTE, 50), (90 * MINUTE, 50))
    customer.go(2 * HOUR)
    customer.has(balance=0, overage=0)

    customer.void(grant, HOUR)

    customer.has(balance=0, overage=50, usage=100, grants={})
    assert len(customer.history(2 * HOUR).burndown_history) == 2


def test_4_a_later_grant_pays_what_was_used_before_it(world):
    customer = Entitled(world)
    grant = customer.grant(100, HOUR)
    customer.use((30 * MINUTE, 25), (90 * MINUTE, 25))

    customer.go(2 * HOUR)
    customer.has(balance=50, overage=0, grants={grant: 50})
    before, after = customer.history(2 * HOUR).burndown_history
    assert (before.balance_at_start, before.overage) == (0, 25)
    assert (after.balance_at_start, after.balance_at_end, after.usage) == (100, 50, 25)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param({"priority": 1}, {"priority": 2}, id="5_by_priority"),
        pytest.param(
            {"priority": 1, "expires": ("DAY", 30)},
            {"priority": 1, "expires": ("YEAR", 100)},
            id="5b_by_expiry",
        ),
    ],
)
def test_grants_burn_in_order(world, first, second):
    customer = Entitled(world)
    later = customer.grant(100, **second)
    sooner = customer.grant(100, **first)
    customer.use((MINUTE, 120))

    customer.go(HOUR)
    customer.has(balance=80, grants={sooner: 0, later: 80})


def test_6_a_recurrence_refills_and_pays_the_overage(world):
    customer = Entitled(world)
    customer.grant(100, recurs="DAY")
    customer.use((HOUR, 120))
    customer.go(2 * HOUR)
    customer.has(balance=0, overage=20)

    customer.go(25 * HOUR)
    customer.has(balance=80, overage=0, usage=120)


def test_7_a_refill_at_the_moment_of_reading_is_there(world):
    customer = Entitled(world)
    first = customer.grant(80, priority=3)
    second = customer.grant(100, DAY, priority=1, recurs="WEEK", anchor=3 * DAY)
    customer.use((HOUR, 20), (DAY - timedelta(seconds=1), 20), (DAY, 20))

    customer.go(10 * DAY)
    customer.has(grants={first: 40, second: 100})


def test_7b_what_was_used_after_a_refill_is_gone_until_the_next(world):
    customer = Entitled(world)
    first = customer.grant(80, priority=3)
    second = customer.grant(100, DAY, priority=1, recurs="WEEK", anchor=3 * DAY)
    customer.use((HOUR, 20), (DAY - timedelta(seconds=1), 20), (DAY, 20), (3 * DAY, 20))

    customer.go(10 * DAY - HOUR)
    customer.has(grants={first: 40, second: 80})


def test_8_a_grant_of_higher_priority_pays_also_when_the_other_begins(world):
    customer = Entitled(world)
    first = customer.grant(100, priority=1, recurs="DAY")
    second = customer.grant(100, 25 * HOUR, priority=2)
    customer.use((24.5 * HOUR, 30), (25.5 * HOUR, 20))

    customer.go(26 * HOUR)
    customer.has(grants={first: 50, second: 100})
    segments = customer.history(26 * HOUR).burndown_history
    assert [segment.grant_balances_at_start[first] for segment in segments] == [100, 100, 70]


def test_9_a_reset_leaves_at_most_the_rollover(world):
    customer = Entitled(world)
    customer.grant(100, maxRolloverAmount=50)
    customer.use((HOUR, 10))
    customer.go(4 * HOUR)
    customer.has(balance=90)

    customer.reset(5 * HOUR)

    customer.has(balance=50, usage=0, overage=0)
    segments = customer.history(5 * HOUR).burndown_history
    assert [(one.balance_at_start, one.usage) for one in segments] == [(100, 10), (50, 0), (50, 0)]


def test_10_what_rolls_over_pays_the_overage_that_is_kept(world):
    customer = Entitled(world, preserveOverageAtReset=True)
    customer.grant(100, minRolloverAmount=50, maxRolloverAmount=50)
    customer.use((HOUR, 110))
    customer.go(2 * HOUR)
    customer.has(balance=0, overage=10)

    customer.reset(3 * HOUR)

    customer.has(balance=40, overage=0, usage=0, total=50)


def test_11_a_daily_refill_over_three_days(world):
    customer = Entitled(world)
    customer.grant(100, recurs="DAY")
    customer.use((HOUR, 100), (DAY + HOUR, 90), (2 * DAY + HOUR, 80))

    for passed, balance in (
        (3 * DAY - HOUR, 20),
        (3 * DAY, 100),
        (3 * DAY + HOUR, 100),
        (4 * DAY, 100),
    ):
        customer.go(passed)
        customer.has(balance=balance, usage=270, total=270 + balance)


def test_12_kept_overage_is_paid_by_the_next_grant(world):
    customer = Entitled(world, preserveOverageAtReset=True)
    customer.use((HOUR, 100))
    customer.reset(2 * HOUR)
    customer.has(balance=0, overage=100, usage=0)

    customer.go(3 * HOUR)
    customer.grant(100, 3 * HOUR)
    customer.go(3 * HOUR + MINUTE)

    customer.has(balance=0, overage=0, usage=0, total=100)


def test_13_a_level_is_held_against_all_grants_anew(world):
    customer = Entitled(world, "LATEST")
    customer.grant(50, expires=("HOUR", 1))
    customer.grant(100)
    customer.grant(75, HOUR)
    customer.grant(200, 4 * HOUR)
    customer.use((timedelta(), 15), (HOUR, 30), (2 * HOUR, 10), (3 * HOUR, 20))

    customer.go(3 * HOUR)
    customer.has(balance=165, usage=25, total=190)


def test_14_resets_cut_each_grant_to_its_own_rollover(world):
    customer = Entitled(world)
    first = customer.grant(1000, priority=1, maxRolloverAmount=1000)
    second = customer.grant(1000, priority=3, maxRolloverAmount=100)
    customer.use((HOUR, 600))
    customer.reset(DAY)
    customer.has(balance=500, grants={first: 400, second: 100})

    third = customer.grant(1000, DAY + HOUR, priority=1, maxRolloverAmount=1000)
    customer.use((DAY + 10 * MINUTE, 300))
    customer.reset(2 * DAY)

    customer.has(balance=1200, grants={first: 100, second: 100, third: 1000})


@pytest.mark.parametrize(
    ("used", "left", "overage"),
    [pytest.param(2100, 400, 0, id="15"), pytest.param(2600, 0, 100, id="15b")],
)
def test_a_least_rollover_pays_kept_overage(world, used, left, overage):
    customer = Entitled(world, preserveOverageAtReset=True)
    first = customer.grant(1000, priority=1, maxRolloverAmount=1000)
    second = customer.grant(1000, priority=3, minRolloverAmount=500, maxRolloverAmount=500)
    customer.use((HOUR, used))
    customer.go(2 * HOUR)
    customer.has(balance=0, overage=used - 2000)

    customer.reset(DAY)

    customer.has(balance=left, overage=overage, grants={first: 0, second: left})


def test_16_a_grant_that_begins_at_the_reset_is_whole(world):
    customer = Entitled(world)
    customer.grant(1000, DAY)
    customer.reset(DAY)

    customer.has(balance=1000)
    customer.go(DAY + HOUR)
    customer.has(balance=1000)


def test_16b_a_grant_that_ends_at_the_reset_is_gone(world):
    customer = Entitled(world)
    customer.grant(1000, expires=("DAY", 1))
    customer.go(DAY - HOUR)
    customer.has(balance=1000)

    customer.reset(DAY)

    customer.has(balance=0, overage=0, grants={})


def test_17_what_comes_later_goes_on_from_what_was_said(world):
    customer = Entitled(world)
    customer.grant(1000)
    customer.use((HOUR, 200))
    customer.go(2 * HOUR)
    customer.has(balance=800, usage=200)

    customer.use((90 * MINUTE, 60), (3 * HOUR, 40))
    customer.go(4 * HOUR)

    customer.has(balance=700, usage=300, total=1000)


def test_the_history_by_hour_says_with_what_each_hour_began(world):
    customer = Entitled(world)
    for after in (timedelta(), 3 * HOUR, 5.5 * HOUR):
        customer.grant(10_000, after)
    used = {0: 100, 2: 100, 3: 100, 5: 100, 8: 1100}
    customer.use(*((hour * HOUR + MINUTE, amount) for hour, amount in used.items()))
    customer.use((12 * HOUR - timedelta(seconds=1), 100))

    customer.go(12 * HOUR)
    customer.has(balance=28_400, usage=1600)
    whole = customer.history(12 * HOUR)
    later = customer.history(12 * HOUR, since=HOUR)

    assert [window.usage for window in whole.windowed_history] == [
        100, 0, 100, 100, 0, 100, 0, 0, 1100, 0, 0, 100,
    ]  # fmt: skip
    assert [window.balance_at_start for window in whole.windowed_history] == [
        10_000, 9900, 9900, 19_800, 19_700, 19_700, 29_600, 29_600, 29_600, 28_500, 28_500, 28_500,
    ]  # fmt: skip
    assert len(whole.burndown_history) == 3
    assert len(later.windowed_history) == 11
    assert later.windowed_history[0].balance_at_start == 9900


# -- last: everything once more


def test_what_workers_said_is_what_the_events_come_to(world):
    world.set(world.next_day())

    for customer, at, said in world.seen:
        assert world.value(customer, at) == ("recomputed", said), (customer, at)


def test_reconcile_finds_no_drift_and_then_the_one_that_is_made(world):
    customer = Entitled(world)
    customer.grant(100)
    customer.use((MINUTE, 40))
    customer.go(HOUR)
    customer.has(balance=60, usage=40)
    told = assert_no_drift(world.stack)
    assert told["entitlements"] == world.entitlements

    world.stack.worker.stop()
    add_usage(world.stack.worker.data_dir / "worker-1" / "balances", customer.id, 7)
    world.stack.worker.start().wait_ready()
    customer.has(balance=53, usage=47)
    code, told = reconcile(world.stack)

    assert (code, told["drifting"], told["largestDifference"]) == (5, 1, "7")
    assert {(one["entitlementId"], one["field"], one["apart"]) for one in told["differences"]} >= {
        (customer.id, "balance", "7"),
        (customer.id, "usage", "7"),
    }
    assert reconcile(world.stack, "--feature", "c1")[0] == 0
