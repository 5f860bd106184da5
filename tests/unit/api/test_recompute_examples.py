"""The worked examples of credits (metering §6.10) through recomputing: records of management and events instead of a case."""

from datetime import timedelta
from decimal import Decimal

import msgspec
import pytest

from api.balances.recompute import Recompute
from domain.credits.engine import evaluate
from domain.metering.meter import Aggregation
from domain.time.duration import format_duration
from domain.time.interval import ceil_minute
from runtime.simulate.credits_case import read_case
from runtime.simulate.credits_readings import readings_of
from runtime.simulate.document import read_document
from runtime.simulate.reading import Fields
from schemas.balances import Question
from schemas.catalog import EntitlementRecord, FeatureRecord, GrantRecord, ResetRecord
from tests.builders import NOON, ULIDS, a_meter
from tests.customer_builders import a_customer
from tests.fake_balances import FixedEnds, MemoryUsage
from tests.golden.example import read_examples


def examples():
    """Those that begin with nothing: a balance that was kept elsewhere is in no record."""
    for example in read_examples():
        start = example.input.get("start")
        if example.kind != "credits" or "error" in example.expect:
            continue
        if isinstance(start, dict) and start.keys() == {"at"}:
            yield pytest.param(example, id=example.name)


class OneCustomer:
    """The port `BalanceRecords` with one entitlement."""

    def __init__(self, record, meter):
        self.record, self.meter = record, meter
        self.customer = a_customer("acme", 1)

    async def customers(self, names, *, by_subject=False):
        return dict.fromkeys(names, self.customer)

    async def subjects_of(self, customers):
        return {self.customer.id: ("acme",)}

    async def entitlements(self, customer_ids):
        return [self.record]

    async def features(self, ids):
        return {
            self.record.feature_id: FeatureRecord(
                id=self.record.feature_id,
                namespace="default",
                key="f",
                name="f",
                created_at=NOON,
                updated_at=NOON,
                meter_id=self.meter.id,
            )
        }

    async def meters_by_id(self, ids):
        return {self.meter.id: self.meter}


def grant_record(grant):
    recurrence = grant.recurrence
    return GrantRecord(
        id=grant.id,
        amount=grant.amount,
        priority=grant.priority,
        effective_at=grant.effective_at,
        created_at=grant.created_at,
        expires_at=grant.expires_at,
        voided_at=grant.voided_at,
        deleted_at=grant.deleted_at,
        recurrence_interval=recurrence and format_duration(recurrence.interval),
        recurrence_anchor=recurrence and recurrence.anchor,
        min_rollover=grant.min_rollover,
        max_rollover=grant.max_rollover,
    )


@pytest.mark.parametrize("example", list(examples()))
async def test_a_worked_example_comes_out_the_same_from_records_and_events(example):
    document = read_document(msgspec.json.encode(example.input, enc_hook=str))
    case = read_case(Fields(document))
    aggregation = case.plan.aggregation
    begun = case.state.at
    resets = case.plan.resets.between(begun, begun + timedelta(days=40_000))
    record = EntitlementRecord(
        id=ULIDS[0],
        namespace="default",
        customer_id=ULIDS[1],
        feature_id=ULIDS[2],
        feature_key="f",
        type="metered",
        active_from=begun,
        created_at=begun,
        updated_at=begun,
        measured_from=begun,
        interval="P100Y",
        anchor=begun,
        grants=tuple(map(grant_record, case.plan.roster.grants)),
        resets=tuple(ResetRecord(at=r.at, anchor=r.at, preserve_overage=r.preserve_overage) for r in resets),
    )  # fmt: skip
    meter = a_meter(aggregation=aggregation, value="$.n")
    used = MemoryUsage()
    for reading in Fields(document).get("usage", readings_of(aggregation)):
        times = int(reading.value) if aggregation is Aggregation.COUNT else 1
        for _ in range(times):
            used.add(meter, "acme", reading.at, {"n": reading.value})
    recompute = Recompute(OneCustomer(record, meter), used, FixedEnds())

    (answer,) = await recompute.answers([Question(customer="acme")], case.until)

    (value,) = answer.values
    expected = evaluate(case.plan, case.state, case.readings, ceil_minute(case.until)).standing
    assert value.balance == expected.balance
    assert value.overage == expected.overage
    assert value.usage == expected.usage
    assert value.total_available == expected.total_available
    assert value.grant_balances == expected.balances
    assert value.period_start == expected.period_start
    assert value.has_access == (expected.balance > Decimal(0))
