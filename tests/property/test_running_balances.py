"""Running balances against the rule over the whole log, in any history: events late, doubled, shuffled between partitions and of
the future; rows sent again and out of date; grants, resets, entitlements, subjects and meters changed while each worker learns
of it in its own time; the process killed at any step or its state lost.

After every step each answer that is given is compared; at the end, when all has arrived, there has to be one.
"""

import asyncio
from datetime import datetime, timedelta
from decimal import Decimal

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from domain.entitlements.entitlement import value_instant
from domain.time.interval import truncate_minute
from schemas.catalog import EntitlementRecord, GrantRecord, ResetRecord
from schemas.entitlement_plans import timeline_of
from schemas.partitioner import partition_of
from streams.steps import Step
from tests.balance_world import (
    PARTITIONS,
    World,
    a_customer,
    a_feature,
    an_entitlement,
    meters,
)
from tests.builders import ULIDS

OURS = [id for id in ULIDS if partition_of(id.encode(), PARTITIONS) == 0][:2]
OTHER = next(id for id in ULIDS if partition_of(id.encode(), PARTITIONS) == 1)
CUSTOMERS = [*OURS, OTHER]
SUBJECTS = ["s0", "s0", "s0", "s1", "s2", "s3"]
STEPS = [step for step in Step if step.value.startswith("balances_")]

AHEAD = [0, 60, 61, 1800, 26 * 3600]
"""Seconds after this minute; one of them is asked for besides the present."""

places = st.integers(0, 7)
HOUR = 3600
SHIFTS = [0, 0, 0, 1, 29, 59, 60, 600, HOUR, 26 * HOUR, -1, -60, -HOUR, -3 * HOUR]
shifts = st.sampled_from([*SHIFTS, -7 * HOUR, -7 * HOUR, -30 * HOUR])
numbers = st.one_of(
    st.integers(-5, 30),
    st.sampled_from(["0.1", "7.30", "-2.5", "1e30", "-1e30", "1e-45", "12345678901234567890"]).map(
        Decimal
    ),
    st.sampled_from([1e30, -1e30, 1e300]),
    st.just("not a number"),
)
datas = st.fixed_dictionaries(
    {"n": numbers, "model": st.sampled_from("ab"), "user": st.sampled_from(["u1", "u2", "u3"])}
)
events = st.lists(st.tuples(st.sampled_from(SUBJECTS), shifts, datas), min_size=1, max_size=8)
amounts = st.one_of(st.integers(1, 40).map(Decimal), st.just(Decimal("0.7")))
clocks = st.sampled_from([1, 29, 30, 60, 61, 3600, 5 * 3600, 25 * 3600])


class RunningBalances(RuleBasedStateMachine):
    @initialize(whole=st.booleans(), hours=st.sampled_from([0, 5, 27]), found=events)
    def make(self, whole: bool, hours: int, found):
        self.loop = asyncio.new_event_loop()
        self.world = World()
        self.made = 30
        for meter in meters():
            self.world.meters[meter.id] = meter
            self.world.change(meter)
        self.features = [
            a_feature(ULIDS[10], ULIDS[0]),
            a_feature(ULIDS[11], ULIDS[0], model={"$eq": "a"}),
            a_feature(ULIDS[12], ULIDS[1]),
            a_feature(ULIDS[13], ULIDS[2]),
            a_feature(ULIDS[14], ULIDS[3], subject={"$ne": "s1"}),
        ]
        for feature in self.features:
            self.world.change(feature)
        self.customers = {
            OURS[0]: a_customer(OURS[0], "s0", "s1"),
            OURS[1]: a_customer(OURS[1], "other", "s2"),
            OTHER: a_customer(OTHER, "s3"),
        }
        for customer in self.customers.values():
            self.world.change(customer)
        self.entitlements: dict[str, EntitlementRecord] = {}
        for index, feature in enumerate(self.features):
            interval = ["PT1H", "P1D", "PT1H", "PT1H", "PT90M"][index]
            self._entitle(OURS[0], feature, Decimal(10 + index), interval)
        if whole:
            self.run(self.world.drain())
            self.happen(found)
            self.run(self.world.drain())
            self.world.now += timedelta(hours=hours)
            self.run(self.world.drain())

    def teardown(self):
        if not hasattr(self, "world"):
            return
        try:
            self.run(self.world.drain())
            self._compare(must=True)
        finally:
            self.run(self.world.close())
            self.loop.close()

    def run(self, work):
        return self.loop.run_until_complete(work)

    # -- what management does

    def _entitle(self, customer, feature, amount, interval, **more):
        id = ULIDS[self.made]
        self.made += 1
        grant = self._grant(amount, self._minute())
        record = an_entitlement(
            id,
            customer,
            feature,
            interval=interval,
            measured_from=self._minute(),
            anchor=self._minute(),
            active_from=self.world.now,
            grants=(grant,),
            **more,
        )
        self.entitlements[id] = record
        self.world.change(record)

    def _grant(self, amount, at, **more):
        self.made += 1
        fields = {"effective_at": at, "created_at": self.world.now} | more
        return GrantRecord(id=f"g{self.made}", amount=amount, **fields)

    def _minute(self) -> datetime:
        return truncate_minute(self.world.now)

    def _pick(self, place):
        live = [e for e in self.entitlements.values() if e.deleted_at is None]
        return live[place % len(live)] if live else None

    def _store(self, record):
        self.entitlements[record.id] = record
        self.world.change(record)

    @rule(
        place=places,
        customer=st.sampled_from(CUSTOMERS),
        amount=amounts,
        interval=st.sampled_from(["P1D", "PT1H", "PT90M"]),
        back=st.sampled_from([0, 0, 3600, 26 * 3600]),
        soft=st.booleans(),
        preserve=st.booleans(),
    )
    def entitle(self, place, customer, amount, interval, back, soft, preserve):
        feature = self.features[place % len(self.features)]
        key = (customer, feature.key)
        for old in self.entitlements.values():
            if (old.customer_id, old.feature_key) == key and old.deleted_at is None:
                return
        if self.made > 90:
            return
        since = self._minute() - timedelta(seconds=back)
        self.made += 1
        record = an_entitlement(
            ULIDS[self.made],
            customer,
            feature,
            interval=interval,
            measured_from=since,
            anchor=since - timedelta(minutes=7),
            active_from=self.world.now,
            is_soft_limit=soft,
            preserve_overage=preserve,
        )
        period = timeline_of(record).period_at(self.world.now)
        grant = self._grant(
            amount, period.start, min_rollover=Decimal(amount), max_rollover=Decimal(amount)
        )
        self._store(msgspec.structs.replace(record, grants=(grant,)))

    @rule(
        place=places,
        amount=amounts,
        shift=st.sampled_from([0, 0, -60, -1800, -3600 * 3, 60, 120, 3600]),
        lasts=st.sampled_from([None, 60, 3600, 7200]),
        recurs=st.sampled_from([None, None, "PT1H", "PT30M"]),
        priority=st.integers(0, 2),
    )
    def grant(self, place, amount, shift, lasts, recurs, priority):
        record = self._pick(place)
        if record is None:
            return
        start = timeline_of(record).period_at(self.world.now).start
        at = max(self._minute() + timedelta(seconds=shift), start)
        grant = self._grant(
            amount,
            at,
            priority=priority,
            expires_at=None if lasts is None else at + timedelta(seconds=lasts),
            recurrence_interval=recurs,
            recurrence_anchor=None if recurs is None else at,
            max_rollover=Decimal(5),
        )
        self._store(msgspec.structs.replace(record, grants=(*record.grants, grant)))

    @rule(place=places, which=places, back=st.sampled_from([0, 60, 1800]))
    def void(self, place, which, back):
        record = self._pick(place)
        if record is None or not record.grants:
            return
        grant = record.grants[which % len(record.grants)]
        if grant.voided_at is not None:
            return
        start = timeline_of(record).period_at(self.world.now).start
        at = max(self._minute() - timedelta(seconds=back), start)
        grants = tuple(
            msgspec.structs.replace(g, voided_at=at) if g is grant else g for g in record.grants
        )
        self._store(msgspec.structs.replace(record, grants=grants))

    @rule(
        place=places,
        back=st.sampled_from([0, 60, 1800]),
        keep=st.booleans(),
        preserve=st.booleans(),
    )
    def reset(self, place, back, keep, preserve):
        record = self._pick(place)
        if record is None:
            return
        timeline = timeline_of(record)
        at = self._minute() - timedelta(seconds=back)
        if at <= timeline.last_reset or at < timeline.period_at(self.world.now).start:
            return
        anchor = timeline.entries[-1].recurrence.anchor if keep else at
        reset = ResetRecord(at=at, anchor=anchor, preserve_overage=preserve)
        self._store(msgspec.structs.replace(record, resets=(*record.resets, reset)))

    @rule(place=places, soon=st.booleans())
    def end(self, place, soon):
        record = self._pick(place)
        if record is None:
            return
        if soon:
            self._store(msgspec.structs.replace(record, active_to=self.world.now))
        self._store(msgspec.structs.replace(record, deleted_at=self.world.now))

    @rule(subject=st.sampled_from(SUBJECTS), to=st.sampled_from([*CUSTOMERS, None]))
    def move_subject(self, subject, to):
        for customer in list(self.customers.values()):
            keys = set(customer.subject_keys) - {subject} | (
                {subject} if customer.id == to else set()
            )
            if customer.deleted_at is None and tuple(sorted(keys)) != customer.subject_keys:
                self._customer(msgspec.structs.replace(customer, subject_keys=tuple(sorted(keys))))

    @rule(of=st.sampled_from(CUSTOMERS), key=st.sampled_from([*SUBJECTS, "x"]))
    def name_customer(self, of, key):
        if any(c.key == key for c in self.customers.values()):
            return
        self._customer(msgspec.structs.replace(self.customers[of], key=key))

    def _customer(self, customer):
        self.customers[customer.id] = customer
        self.world.change(customer)

    @rule()
    def regroup_a_meter(self):
        meter = self.world.meters[ULIDS[0]]
        groups = {"model": "$.model"} if meter.version % 2 == 0 else {}
        meter = msgspec.structs.replace(meter, version=meter.version + 1, group_by=groups)
        self.world.meters[meter.id] = meter
        self.world.change(meter)

    @rule(filters=st.sampled_from([{}, {"model": {"$eq": "b"}}, {"model": {"$in": ["a", "b"]}}]))
    def filter_a_feature(self, filters):
        feature = msgspec.structs.replace(self.features[1], filters=filters)
        self.features[1] = feature
        self.world.change(feature)

    # -- what happens around it

    @rule(found=events)
    def usage(self, found):
        self.happen(found)

    @rule(found=events)
    def usage_that_is_counted_at_once(self, found):
        self.happen(found)
        self.world.deliver()
        self.run(self.world.work(2))

    @rule(number=st.integers(0, PARTITIONS - 1), place=places, less=st.integers(1, 2))
    def usage_then_a_row_of_before(self, number, place, less):
        self.world.deliver()
        self.run(self.world.work(2))
        self.world.send_again(self.world.sources[number], place, less)

    def happen(self, found):
        second = int(self.world.now.timestamp())
        for source in self.world.sources:
            mine = [
                (subject, second + shift, data)
                for subject, shift, data in found
                if partition_of(subject.encode(), PARTITIONS) == source.number
            ]
            if mine:
                self.world.add(source, mine)

    @rule(number=st.integers(0, PARTITIONS - 1), place=places, less=st.integers(0, 2))
    def send_a_row_again(self, number, place, less):
        self.world.send_again(self.world.sources[number], place, less)

    @rule(number=st.integers(0, PARTITIONS - 1), place=places)
    def end_a_week(self, number, place):
        source = self.world.sources[number]
        if source.visible == source.next:
            self.world.renew(source, place)

    @rule(number=st.integers(0, PARTITIONS - 1))
    def tell(self, number):
        self.world.tell(self.world.sources[number])

    @rule(number=st.integers(0, PARTITIONS - 1), most=st.integers(1, 3))
    def teach(self, number, most):
        self.world.teach(self.world.sources[number], most)

    @rule(most=st.integers(1, 3))
    def learn(self, most):
        self.world.learn(most)

    @rule(number=st.integers(0, PARTITIONS - 1))
    def show(self, number):
        source = self.world.sources[number]
        source.visible = source.next

    @rule(seconds=clocks)
    def wait(self, seconds):
        self.world.now += timedelta(seconds=seconds)

    # -- the process

    @rule(most=st.integers(1, 8))
    def deliver(self, most):
        self.world.deliver(most)

    @rule(turns=st.integers(1, 3))
    def work(self, turns):
        self.run(self.world.work(turns))

    @rule(step=st.sampled_from(STEPS))
    def die_at(self, step):
        self.world.crash_at = step

    @rule()
    def restart(self):
        self.run(self.world.restart())

    @rule()
    def lose_state(self):
        self.run(self.world.lose_state())

    @rule(down=st.booleans())
    def clickhouse(self, down):
        self.world.history.down = down

    @rule()
    def drain(self):
        self.run(self.world.drain())
        self._compare(must=True)

    def _compare(self, *, must):
        world, compared = self.world, 0
        ahead = AHEAD[len(world.records) % len(AHEAD)]
        moments = [world.now, value_instant(world.now) + timedelta(seconds=ahead)]
        for at in moments:
            for customer in CUSTOMERS:
                compared += world.check(customer, at, must=must)
        return compared

    @invariant()
    def what_is_answered_is_the_rule(self):
        if not hasattr(self, "world"):
            return
        world = self.world
        caught_up = world.partition.next_offset == len(world.topic) and not world.partition._waiting
        if caught_up and world.known == len(world.records) and self._all_teached():
            self._compare(must=False)

    def _all_teached(self):
        return all(source.known == self.world.known for source in self.world.sources)


BOUNDS = settings(deadline=None, suppress_health_check=list(HealthCheck))


@pytest.mark.timeout(120)
def test_balances_are_the_rule_in_any_history():
    run_state_machine_as_test(
        RunningBalances, settings=settings(BOUNDS, max_examples=60, stateful_step_count=40)
    )


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_balances_are_the_rule_in_many_long_histories():
    run_state_machine_as_test(
        RunningBalances, settings=settings(BOUNDS, max_examples=2_000, stateful_step_count=80)
    )
