"""What a balance partition does in the cases that random histories (tests/property/test_running_balances.py) meet seldom."""

from datetime import timedelta
from decimal import Decimal

import pytest

from domain.metering.ulid import ulid_bytes
from schemas.balances import Question
from schemas.catalog import GrantRecord, ResetRecord
from schemas.partitioner import partition_of
from streams.steps import Step
from tests.balance_world import (
    PARTITIONS,
    T0,
    World,
    a_customer,
    a_feature,
    an_entitlement,
    meters,
)
from tests.builders import ULIDS

CUSTOMER = next(id for id in ULIDS if partition_of(id.encode(), PARTITIONS) == 0)
SUBJECT = next(s for s in map("s{}".format, range(9)) if partition_of(s.encode(), PARTITIONS) == 0)
NOON = int(T0.timestamp())


@pytest.fixture
async def world():
    world = World()
    for meter in meters():
        world.change(meter)
    world.change(a_customer(CUSTOMER, SUBJECT))
    for place, meter in enumerate(meters()):
        feature = a_feature(ULIDS[10 + place], meter.id)
        world.change(feature)
        grant = GrantRecord(id=f"g{place}", amount=Decimal(100), effective_at=T0, created_at=T0)
        world.change(
            an_entitlement(ULIDS[20 + place], CUSTOMER, feature, interval="PT1H", grants=(grant,))
        )
    await world.drain()
    yield world
    await world.close()


def use(world, shift=0, n=5, user="u"):
    """An event, seconds after noon."""
    world.add(world.sources[0], [(SUBJECT, NOON + shift, {"n": n, "model": "a", "user": user})])


async def count(world):
    world.deliver()
    await world.work(3)


def why(world):
    return world.partition.answer(Question(customer=CUSTOMER), world.now).why


def agrees(world):
    """All four values are the rule's."""
    assert world.check(CUSTOMER, world.now, must=True) == 4


async def test_a_row_of_before_changes_nothing(world):
    use(world, 0)
    use(world, 1)
    await count(world)

    for place in range(4):
        world.send_again(world.sources[0], place, 1)
    await count(world)

    agrees(world)


async def test_a_row_of_before_that_waits_with_a_newer_one_changes_nothing(world):
    use(world, 0)
    use(world, 1)
    for place in range(4):
        world.send_again(world.sources[0], place, 1)

    await count(world)

    agrees(world)


async def test_an_event_older_than_what_is_kept_makes_the_account_begin_again(world):
    use(world, 0)
    await world.drain()
    world.now += timedelta(hours=6)
    await world.drain()

    use(world, 3600, user="late")
    await count(world)

    assert why(world) == "loading"
    await world.drain()
    agrees(world)


async def test_a_row_older_than_what_is_kept_that_history_had_changes_nothing(world):
    use(world, 0)
    await world.drain()
    world.now += timedelta(hours=6)
    await world.drain()
    await world.lose_state()  # the history that accounts begin with now has everything
    await world.drain()

    for place in range(4):
        world.send_again(world.sources[0], place, 0)
    await count(world)

    counted = tuple(ULIDS[20 + place] for place in range(3))  # a distinct value has no position
    question = Question(customer=CUSTOMER, features=counted)
    assert world.partition.answer(question, world.now).why is None


async def test_progress_from_before_the_account_began_to_load_does_not_count(world):
    use(world, 0)
    await world.drain()
    world.now += timedelta(hours=6)
    await world.drain()
    world.sources[0].visible = world.sources[0].next

    use(world, 3600)
    await count(world)
    await count(world)

    assert why(world) == "loading"


async def test_a_history_is_read_only_when_clickhouse_has_what_was_sent_before(world):
    use(world, 0)
    await world.lose_state()
    world.sources[0].visible = 0
    await count(world)

    for source in world.sources:
        world.tell(source)
    await count(world)
    await count(world)

    assert why(world) == "loading"
    await world.drain()
    agrees(world)


async def test_while_clickhouse_is_down_other_accounts_go_on(world):
    world.history.down = True
    world.change(a_customer(ULIDS[50], "other"))
    feature = world.catalog.feature(ULIDS[10])
    world.change(an_entitlement(ULIDS[51], ULIDS[50], feature))
    world.learn()

    use(world, 0)
    await count(world)

    agrees(world)


async def test_a_value_of_a_minute_that_comes_is_counted_when_it_comes(world):
    use(world, 0)
    use(world, 120, user="v")
    await count(world)
    agrees(world)

    world.now += timedelta(seconds=121)

    agrees(world)


async def test_a_reset_happens_without_traffic_and_is_told(world):
    use(world, 0)
    await count(world)
    world.changed.clear()

    world.now += timedelta(hours=1, seconds=1)
    await world.work(3)

    assert world.changed == {ULIDS[20 + place] for place in range(4)}
    agrees(world)


async def test_an_account_is_let_go_a_day_after_its_end(world):
    record = world.catalog.entitlement(ULIDS[20])
    world.change(type(record)(**{**fields(record), "deleted_at": T0}))
    await world.drain()

    world.now += timedelta(days=1, minutes=2)
    await world.work(5)

    kept = {key[:1] for key, _ in world.store.items(b"a", b"z") if ulid_bytes(ULIDS[20]) in key}
    assert kept == set()


def fields(record):
    return {name: getattr(record, name) for name in record.__struct_fields__}


async def test_a_history_is_read_only_when_the_source_sends_the_subject_here(world):
    other = next(
        s for s in map("t{}".format, range(9)) if partition_of(s.encode(), PARTITIONS) == 1
    )
    world.change(a_customer(CUSTOMER, SUBJECT, other))
    world.learn()
    source = world.sources[1]
    await count(world)
    for one in world.sources:
        world.tell(one)  # of a catalog in which nobody has the subject
    await count(world)
    await count(world)

    world.add(source, [(other, NOON, {"n": 5, "model": "a", "user": "w"})])
    await world.drain()

    agrees(world)


async def test_a_late_event_changes_what_later_periods_began_with(world):
    record = world.catalog.entitlement(ULIDS[20])
    grant = GrantRecord(
        id="r", amount=Decimal(50), effective_at=T0, created_at=T0, max_rollover=Decimal(50)
    )
    world.change(type(record)(**{**fields(record), "grants": (grant,)}))
    world.now += timedelta(hours=1, minutes=5)
    await world.drain()
    use(world, 3601)
    await count(world)
    agrees(world)

    use(world, 60, n=20)
    await count(world)

    agrees(world)


async def test_a_value_that_turns_out_to_have_been_seen_earlier_moves(world):
    record = world.catalog.entitlement(ULIDS[23])
    later = GrantRecord(
        id="h",
        amount=Decimal(3),
        effective_at=T0 + timedelta(minutes=10),
        created_at=T0,
        priority=0,
    )
    early = GrantRecord(id="e", amount=Decimal(3), effective_at=T0, created_at=T0, priority=1)
    world.change(type(record)(**{**fields(record), "grants": (early, later)}))
    world.now += timedelta(minutes=20)
    await world.drain()
    use(world, 900, user="late")
    await count(world)

    use(world, 60, user="late")
    await count(world)

    agrees(world)


async def test_an_event_of_before_measuring_began_does_not_count(world):
    use(world, -60)
    await count(world)

    agrees(world)


async def test_a_row_that_came_while_history_was_read_replaces_the_one_of_history(world):
    use(world, 0)
    await world.lose_state()
    await count(world)
    for source in world.sources:
        source.visible = source.next
        world.tell(source)
    use(world, 1, n=9)

    await count(world)
    await count(world)

    assert why(world) is None
    agrees(world)


async def test_history_that_is_ahead_of_the_rows_that_came_goes_first(world):
    use(world, 0)
    await world.lose_state()
    await count(world)
    world.send_again(world.sources[0], 0, 0)
    for source in world.sources:
        world.tell(source)
    await count(world)
    use(world, 1, n=9)
    for source in world.sources:
        source.visible = source.next

    await world.work(3)

    assert why(world) is None
    agrees(world)


@pytest.mark.parametrize(
    "key",
    [b"poison", b"", b"p\x00\x00\x00\x00", b"u" * 32, b"r" * 28, b"r" * 60],
    ids=["text", "empty", "progress", "value", "short", "long"],
)
@pytest.mark.parametrize("value", [b"", b"{", b"m", b"[1]", b"\x00\xff\x00", b"r" * 60])
async def test_a_record_that_no_worker_wrote_changes_nothing(world, key, value):
    use(world, 0)
    await count(world)

    world.topic.extend([(key, value), (key, value)])
    use(world, 1)
    await count(world)

    agrees(world)


@pytest.mark.parametrize("value", [b"", b"{", b"m", b"\x91\x01"])
async def test_a_value_that_is_no_row_under_the_key_of_one_changes_nothing(world, value):
    use(world, 0)
    await count(world)
    keys = {key for key, _ in world.topic if len(key) > 32}

    world.topic.extend((key, value) for key in keys)
    use(world, 1)
    world.topic.extend((key, value) for key in keys)
    await count(world)
    world.topic.extend((key, value) for key in keys)
    await count(world)

    agrees(world)


async def test_a_reset_by_hand_counts_values_of_before_and_after_it_twice(world):
    world.now += timedelta(minutes=20)
    use(world, 60)
    use(world, 900)
    await world.drain()
    agrees(world)

    record = world.catalog.entitlement(ULIDS[23])
    at = T0 + timedelta(minutes=10)
    reset = ResetRecord(at=at, anchor=at, preserve_overage=False)
    world.change(type(record)(**{**fields(record), "resets": (reset,)}))
    await world.drain()

    agrees(world)


async def test_usage_since_a_grant_that_is_made_late_is_paid_by_it(world):
    world.now += timedelta(minutes=20)
    for shift in (60, 900):
        use(world, shift, n=70, user=f"u{shift}")
    await count(world)
    grants = {
        place: GrantRecord(
            id="late",
            amount=Decimal(30),
            priority=0,
            effective_at=T0 + timedelta(minutes=10),
            created_at=T0,
        )
        for place in range(4)
    }

    for place, grant in grants.items():
        record = world.catalog.entitlement(ULIDS[20 + place])
        both = (*record.grants, grant)
        world.change(type(record)(**{**fields(record), "grants": both}))
    world.learn()
    await world.work(3)

    assert why(world) is None
    agrees(world)


async def test_a_grant_that_begins_at_the_end_of_this_minute_is_not_there_yet(world):
    record = world.catalog.entitlement(ULIDS[20])
    coming = GrantRecord(
        id="coming", amount=Decimal(30), effective_at=T0 + timedelta(minutes=61), created_at=T0
    )
    world.change(type(record)(**{**fields(record), "grants": (*record.grants, coming)}))
    await world.drain()

    world.now = T0 + timedelta(minutes=60, seconds=30)
    await world.work(3)
    agrees(world)
    world.now = T0 + timedelta(minutes=61, seconds=30)
    await world.work(3)

    agrees(world)


@pytest.mark.parametrize("step", [step for step in Step if step.value.startswith("balances_")])
async def test_a_process_killed_at_any_step_counts_every_row_once(world, step):
    use(world, 0, user="before")
    world.crash_at = step

    for shift in range(1, 9):
        use(world, shift, user=f"u{shift}")
    world.deliver()
    await world.work(1)
    await world.drain()

    agrees(world)
