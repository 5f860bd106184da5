import asyncio
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import msgspec
import pytest

from schemas.holds import decode_hold, encode_hold, hold_key
from schemas.position import record_start
from streams.holds.judging import Rules
from streams.steps import Step
from tests.builders import NOON, a_meter_record
from tests.holds import (
    CUSTOMER,
    ENTITLEMENT,
    AWorker,
    a_catalog,
    a_customer,
    a_feature,
    an_entitlement,
    confirm,
    create,
    list_all,
    read,
    release,
)


@pytest.fixture
async def workers(tmp_path):
    started = []

    async def start(name="one", *, own=True, **more):
        worker = AWorker(tmp_path / name, **more)
        started.append(worker)
        return await worker.start(own=own)

    yield start
    for worker in started:
        await worker.stop()


async def until(condition):
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110  # a condition of a fake, which nobody announces
            await asyncio.sleep(0.005)


async def test_a_hold_lowers_the_balance_by_its_amount_and_says_what_is_left(workers):
    worker = await workers()

    told = await worker.ask(create(amount=30))

    assert told.created
    assert (told.holds[0].status, told.holds[0].balance) == ("active", 70)
    assert worker.balance() == 70
    assert worker.changed == [ENTITLEMENT]


async def test_holds_together_never_reserve_more_than_the_balance(workers):
    worker = await workers()

    told = await asyncio.gather(*(worker.ask(create(f"job-{n}", 30)) for n in range(10)))

    assert [one.code for one in told].count("hold_exceeds_balance") == 7
    assert worker.balance() == 10


async def test_a_soft_limit_allows_a_hold_above_the_balance(workers):
    soft = a_catalog(entitlements=[an_entitlement(is_soft_limit=True)])
    worker = await workers(catalog=soft)

    hold = await worker.one(create(amount=130))

    assert (hold.status, hold.balance) == ("active", 0)


async def test_the_same_key_and_body_get_the_first_answer_and_no_second_hold(workers):
    worker = await workers()
    first = await worker.ask(create(amount=60))

    again = await worker.ask(create(amount=60))

    assert again.holds == first.holds
    assert not again.created
    assert worker.balance() == 40


async def test_the_same_key_in_one_batch_is_one_hold(workers):
    worker = await workers()

    told = await asyncio.gather(*(worker.ask(create(amount=60)) for _ in range(20)))

    assert len({one.holds[0].id for one in told}) == 1
    assert [one.created for one in told].count(True) == 1


async def test_the_same_key_with_another_body_is_a_conflict(workers):
    worker = await workers()
    await worker.one(create(amount=60))

    assert await worker.code(create(amount=61)) == "hold_key_reused"


async def test_an_expired_hold_reserves_nothing_and_cannot_be_confirmed(workers):
    worker = await workers()
    await worker.one(create(amount=60, expires_in_s=5))

    worker.now = NOON + timedelta(seconds=5)

    assert worker.balance() == 100
    assert (await worker.one(read())).status == "expired"
    assert await worker.code(confirm(used=1)) == "hold_expired"
    await until(lambda: worker.changed == [ENTITLEMENT] * 2)


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"expires_in_s": 0}, "$.expiresIn"),
        ({"expires_in_s": 3601}, "$.expiresIn"),
        ({"expires_at": NOON}, "$.expiresAt"),
        ({"expires_at": NOON + timedelta(hours=2)}, "$.expiresAt"),
    ],
)
async def test_a_time_that_is_over_or_too_long_is_refused(workers, more, field):
    worker = await workers()

    told = await worker.ask(create(**more))

    assert (told.code, told.field) == ("hold_expiry_invalid", field)


async def test_a_confirmed_hold_lowers_the_balance_until_its_event_is_counted(workers):
    worker = await workers()
    await worker.one(create(amount=60))

    hold = await worker.one(confirm(used=25))
    balance_before = worker.balance()
    await until(lambda: worker.log.events)
    worker.balances[ENTITLEMENT] = Decimal(75)
    worker.counted[0] = worker.log.events_end
    await until(lambda: decode_hold(worker.log.holds[0][-1].value).counts_until is not None)

    at_the_minute = worker.balance()
    worker.now += timedelta(milliseconds=1)

    assert (hold.status, hold.used) == ("confirmed", 25)
    assert balance_before == 75
    assert (
        at_the_minute == 50
    )  # as of the minute's very start the balance would be without the event
    assert worker.balance() == 75
    (event,) = worker.log.sent
    assert (event.subject, event.type) == ("acme", "request")
    assert msgspec.json.decode(event.data) == {"tokens": 25}


async def test_more_may_be_used_than_was_held(workers):
    worker = await workers()
    await worker.one(create(amount=10))

    await worker.one(confirm(used=45))

    assert worker.balance() == 55


async def test_nothing_used_gives_everything_back_without_an_event(workers):
    worker = await workers()
    await worker.one(create(amount=10))

    hold = await worker.one(confirm(used=0))

    assert (hold.status, hold.used) == ("confirmed", 0)
    assert worker.balance() == 100
    assert not worker.log.events


async def test_confirming_twice_is_one_confirmation_or_a_conflict(workers):
    worker = await workers()
    await worker.one(create(amount=10))
    first = await worker.one(confirm(used=7))

    assert await worker.one(confirm(used=7)) == first
    assert await worker.code(confirm(used=8)) == "hold_confirmed"
    assert await worker.code(release()) == "hold_confirmed"
    await until(lambda: worker.log.events)
    await asyncio.sleep(0.05)
    assert len(worker.log.events) == 1


async def test_a_released_hold_gives_its_amount_back(workers):
    worker = await workers()
    await worker.one(create(amount=10))

    hold = await worker.one(release())

    assert hold.status == "released"
    assert worker.balance() == 100
    assert await worker.one(release()) == hold
    assert await worker.code(confirm(used=1)) == "hold_released"


async def test_a_confirmation_survives_its_expiry_while_it_is_written(workers):
    worker = await workers()
    await worker.one(create(amount=60, expires_in_s=5))
    seen = []

    def pass_time():
        worker.now = NOON + timedelta(seconds=6)
        seen.append(worker.balance())

    worker.log.between.append(pass_time)
    await worker.one(confirm(used=60))

    assert seen == [40]
    assert worker.balance() == 40


async def test_what_is_no_metered_entitlement_of_a_live_customer_is_refused(workers):
    catalog = a_catalog(
        entitlements=[
            an_entitlement(),
            an_entitlement(id="static", feature_key="s", type="static"),
        ],
        customers=[
            a_customer(),
            a_customer("gone", key=None, deleted_at=NOON),
            a_customer("b", "b"),
        ],
    )
    worker = await workers(catalog=catalog)

    assert await worker.code(create(entitlement="static")) == "hold_not_metered"
    assert await worker.code(create(entitlement="nothing")) == "not_found"
    assert await worker.code(create(customer="nobody")) == "not_found"
    assert await worker.code(create(customer="gone")) == "precondition_failed"
    assert await worker.code(create(customer="b", entitlement=ENTITLEMENT)) == "not_found"
    assert await worker.code(confirm(used=1)) == "not_found"


async def test_nothing_is_granted_over_a_balance_that_is_not_known(workers):
    worker = await workers(why="loading")

    assert await worker.code(create()) == "unavailable"

    worker.why, worker.as_of_ms = None, worker.wall_ms() - 10_001
    assert await worker.code(create()) == "unavailable"

    worker.as_of_ms = worker.wall_ms() - 9_999
    assert await worker.code(create()) is None


async def test_holds_of_an_entitlement_are_bounded(workers):
    worker = await workers(rules=Rules(per_entitlement_max=2))

    told = [await worker.code(create(f"job-{n}", 1)) for n in range(3)]

    assert told == [None, None, "holds_too_many"]


async def test_holds_are_listed_by_key(workers):
    worker = await workers()
    for key in ("c", "a", "b"):
        await worker.one(create(key, 1))

    page = await worker.ask(list_all(limit=2))
    rest = await worker.ask(list_all(after="b"))

    assert [hold.key for hold in page.holds] == ["a", "b"]
    assert [hold.key for hold in rest.holds] == ["c"]


# -- the events


async def test_a_meter_that_counts_gets_one_event_each(workers):
    worker = await workers(catalog=a_catalog(meters=[a_meter_record(aggregation="COUNT")]))
    await worker.one(create(amount=3))

    await worker.one(confirm(used=3))
    await until(lambda: worker.log.events)

    assert len({event.id for event in worker.log.sent}) == 3


async def test_the_filters_of_the_feature_are_met_by_the_event(workers):
    meter = a_meter_record(value="$.usage.tokens", groups={"model": "$.usage.model"})
    feature = a_feature(filters={"model": {"$eq": "gpt-4"}})
    worker = await workers(catalog=a_catalog(meters=[meter], features=[feature]))
    await worker.one(create())

    await worker.one(confirm(used="0.10"))
    await until(lambda: worker.log.events)

    assert bytes(worker.log.sent[0].data) == b'{"usage":{"model":"gpt-4","tokens":0.10}}'


@pytest.mark.parametrize(
    ("meter", "filters", "used"),
    [
        ({"aggregation": "MAX"}, {}, 1),
        ({"aggregation": "UNIQUE_COUNT"}, {}, 1),
        ({"aggregation": "COUNT"}, {}, "1.5"),
        ({"aggregation": "COUNT"}, {}, 1001),
        ({"value": "$.a[0]"}, {}, 1),
        ({"groups": {"m": "$.m"}}, {"m": {"$ne": "x"}}, 1),
        ({"groups": {"m": "$.m"}}, {"m": {"$eq": "x", "$in": ["x"]}}, 1),
        ({"value": "$.m.n", "groups": {"m": "$.m"}}, {"m": {"$eq": "x"}}, 1),
        ({"groups": {"m": "$.m", "n": "$.m"}}, {"m": {"$eq": "x"}, "n": {"$eq": "y"}}, 1),
        ({}, {}, "1e30"),
    ],
)
async def test_what_no_event_can_be_made_of_needs_one(workers, meter, filters, used):
    catalog = a_catalog(meters=[a_meter_record(**meter)], features=[a_feature(filters=filters)])
    worker = await workers(catalog=catalog)
    await worker.one(create())

    assert await worker.code(confirm(used=used)) == "hold_needs_event"


async def test_a_customer_without_a_subject_needs_an_event(workers):
    worker = await workers(catalog=a_catalog(customers=[a_customer(key=None)]))
    await worker.one(create(customer=CUSTOMER))

    assert await worker.code(confirm(used=1, customer=CUSTOMER)) == "hold_needs_event"


def an_event_text(**more):
    event = {"specversion": "1.0", "id": "mine", "source": "app", "type": "request"}
    event |= {"subject": "acme", "time": "2026-03-05T11:59:30Z", "data": {"tokens": 4}}
    return msgspec.json.encode({**event, **more}).decode()


async def test_an_event_that_is_given_counts_under_its_own_id_and_the_amount_stays_held(workers):
    worker = await workers()
    await worker.one(create(amount=10))

    hold = await worker.one(confirm(event=an_event_text()))
    await until(lambda: worker.log.events)

    assert hold.used is None
    assert worker.balance() == 90
    assert [(event.id, event.source) for event in worker.log.sent] == [("mine", "app")]


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"type": "other"}, "hold_event_of_other_type"),
        ({"subject": "foreign"}, "hold_event_of_other_subject"),
    ],
)
async def test_an_event_must_be_the_customers_usage(workers, more, code):
    worker = await workers()
    await worker.one(create())

    assert await worker.code(confirm(event=an_event_text(**more))) == code


# -- crashes, rivals, restarts


async def test_another_writer_in_between_goes_first_and_the_batch_is_judged_again(workers):
    worker = await workers()
    rival = await workers("rival", log=worker.log, own=False)
    await worker.one(create("first", 50))
    await until(lambda: rival.balance() == 50)
    judged = rival.log.holds[0][0]
    hold = decode_hold(judged.value)

    def rival_writes():
        mine = replace(hold, id="rivals", key="rivals")
        key = hold_key(ENTITLEMENT, "rivals")
        worker.log.write(0, [(key, encode_hold(mine))], at=1)

    worker.log.between.append(rival_writes)
    code = await worker.code(create("second", 50))

    assert code == "hold_exceeds_balance"
    assert worker.balance() == rival.balance() == 0


async def test_a_stale_owner_that_judged_over_less_does_not_count_and_is_written_over(workers):
    worker = await workers()
    hold = await worker.one(create(amount=50))
    record = worker.log.holds[0][0]

    worker.log.write(0, [(record.key, None)], at=0)
    await until(lambda: len(worker.log.holds[0]) == 3)

    assert worker.balance() == 50
    assert worker.log.holds[0][-1] == (2, record.key, record.value, 2)
    assert await worker.one(read()) == hold


async def test_when_no_answer_came_what_was_appended_is_found_and_counts_once(workers):
    worker = await workers()
    worker.log.lost_answers = 1

    assert await worker.code(create(amount=60)) == "unavailable"
    told = await worker.ask(create(amount=60))

    assert told.why is None
    assert not told.created
    assert worker.balance() == 40


async def test_a_worker_that_starts_again_has_every_hold_and_sends_what_was_not_sent(
    workers, tmp_path
):
    worker = await workers()
    worker.log.events_down = True
    await worker.one(create("a", 10))
    await worker.one(create("b", 20))
    await worker.one(confirm("b", used=15))
    await worker.holds.stop()

    worker.log.events_down = False
    again = await workers(log=worker.log)
    await until(lambda: again.log.events)

    assert again.balance() == 75
    assert (await again.one(read("b"))).status == "confirmed"
    assert len(again.log.sent) == 1


async def test_a_standby_knows_what_is_held_and_takes_over(workers):
    owner = await workers()
    standby = await workers("standby", log=owner.log, own=False)
    await owner.one(create(amount=60))
    await until(lambda: standby.balance() == 40)
    assert await standby.code(read()) == "elsewhere"

    await owner.holds.disown(0)
    standby.own()

    assert await owner.code(read()) == "elsewhere"
    assert (await standby.one(create("next", 40))).balance == 0


async def test_ended_holds_are_forgotten_after_a_while_and_their_keys_are_free(workers):
    worker = await workers(kept=timedelta(minutes=5))
    await worker.one(create(amount=60, expires_in_s=5))
    await worker.one(create("other", 10, expires_in_s=5))
    await worker.one(release("other"))

    worker.now = NOON + timedelta(minutes=5, seconds=5)
    await until(lambda: len(worker.log.holds[0]) == 5)

    assert [record.value for record in worker.log.holds[0][-2:]] == [None, None]
    assert await worker.code(read()) == "not_found"
    assert (await worker.ask(create(amount=61))).created


async def test_events_that_were_sent_before_a_crash_are_sent_again_under_the_same_id(workers):
    worker = await workers()

    def kill(step):
        if step is Step.HOLD_EVENTS_SENT:
            raise asyncio.CancelledError

    worker.reached = kill
    await worker.one(create(amount=10))
    await worker.one(confirm(used=7))
    await until(lambda: worker.log.events)
    await worker.holds.stop()
    again = await workers(log=worker.log)
    await until(lambda: len(again.log.events) >= 2)

    assert len({event.id for event in again.log.sent}) == 1
    assert again.balance() == 93
    again.counted[0] = record_start(len(again.log.events))
    again.now += timedelta(seconds=1)
    again.balances[ENTITLEMENT] = Decimal(93)
    await until(
        lambda: again.balance() == 93 and decode_hold(again.log.holds[0][-1].value).counts_until
    )
