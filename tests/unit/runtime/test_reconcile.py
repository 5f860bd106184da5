"""Reconcile finds drift where there is some, calls nothing drift that is not, and says what it could not compare."""

from datetime import timedelta
from decimal import Decimal

import msgspec
import pytest

from domain.errors import Unavailable
from runtime.reconcile.comparing import differences
from runtime.reconcile.run import Bounds, Reconciler
from schemas.balances import Answer, Value
from tests.builders import NOON

BOUNDS = Bounds(batch=2, visible_s=0.05, counted_s=0.05, poll_s=0.001, tries_max=4, apart_s=0.0)
FAR_MS = 1 << 42


def a_value(customer="c1", balance=70, usage=30, **more):
    values = {
        "entitlement_id": f"e-{customer}",
        "feature_id": "f",
        "feature_key": "tokens",
        "type": "metered",
        "has_access": True,
        "overage": Decimal(0),
        "total_available": Decimal(100),
        "grant_balances": {"g": Decimal(balance)},
        "period_start": NOON,
        "period_end": NOON + timedelta(days=30),
    }
    return Value(
        customer_id=customer, balance=Decimal(balance), usage=Decimal(usage), **{**values, **more}
    )


class Keeping:
    """The worker: what it says in turn, the last for ever; a callable is asked."""

    def __init__(self, **answers):
        self._answers = answers
        self.asked = []

    async def ask(self, questions, catalog):
        self.asked.append(questions)
        return [(self._answer(question.customer), "owner") for question in questions]

    def _answer(self, customer):
        told = self._answers[customer]
        found = told[0] if len(told) == 1 else told.pop(0)
        if isinstance(found, Exception):
            raise found
        if isinstance(found, str):
            return Answer(why=found)
        return Answer(values=(found,), as_of_ms=FAR_MS)


class Log:
    def __init__(self, folded=5, visible=5):
        self._folded, self._visible = folded, visible

    async def folded(self):
        return {0: self._folded, 1: 0}

    async def visible(self):
        return {0: self._visible}


class Recomputing:
    def __init__(self, **values):
        self._values = values

    async def answers(self, questions, at):
        assert at == NOON + timedelta(minutes=1)
        found = [self._values[question.customer] for question in questions]
        return [Answer(why="deleted") if one is None else Answer(values=(one,)) for one in found]


class Known:
    def __init__(self, *ids):
        self._ids = ids

    async def ids(self):
        for id in self._ids:
            yield id

    async def count(self):
        return len(self._ids)


async def reconcile(worker, events, *, log=None, wall_ms=0, ids=("c1",), bounds=BOUNDS):
    return await Reconciler(
        workers=worker,
        positions=log or Log(),
        events=events,
        customers=Known(*ids),
        features=None,
        now=lambda: NOON + timedelta(seconds=1),
        wall_ms=lambda: wall_ms,
        bounds=bounds,
    ).run()


async def test_equal_balances_do_not_drift():
    worker = Keeping(c1=[a_value()], c2=[a_value("c2")], c3=[a_value("c3")])
    events = Recomputing(c1=a_value(), c2=a_value("c2"), c3=a_value("c3"))

    report = await reconcile(worker, events, ids=("c1", "c2", "c3"))

    assert (report.customers, report.customers_of, report.entitlements) == (3, 3, 3)
    assert (report.drifting, report.largest, report.unsettled_customers) == (0, 0, 0)
    assert [len(questions) for questions in worker.asked] == [2, 2, 1, 1]


async def test_a_balance_that_stays_different_drifts_by_the_largest_amount():
    report = await reconcile(
        Keeping(c1=[a_value(balance=69, usage=31)]), Recomputing(c1=a_value(usage=33))
    )

    assert (report.drifting, report.largest) == (1, 2)
    assert [(one.field, one.worker, one.recomputed) for one in report.differences] == [
        ("balance", "69", "70"),
        ("usage", "31", "33"),
        ("grant g", "69", "70"),
    ]


async def test_what_is_different_once_is_no_drift():
    worker = Keeping(c1=[a_value(balance=69), a_value(balance=69), a_value()])

    report = await reconcile(worker, Recomputing(c1=a_value()))

    assert (report.customers, report.drifting) == (1, 0)


async def test_a_customer_who_moves_is_looked_at_again_and_then_unsettled():
    moving = Keeping(c1=[a_value(balance=n) for n in range(20)], c2=[a_value("c2")])
    resting = Keeping(c1=[a_value(balance=1), a_value(balance=2), a_value()])

    moved = await reconcile(moving, Recomputing(c1=a_value(), c2=a_value("c2")), ids=("c1", "c2"))
    settled = await reconcile(resting, Recomputing(c1=a_value()))

    assert [(one.customer_id, one.why) for one in moved.unsettled] == [
        ("c1", "its balances moved each time")
    ]
    assert (moved.customers, moved.drifting) == (1, 0)
    assert (settled.customers, settled.unsettled) == (1, [])


@pytest.mark.parametrize(
    ("worker", "more", "why"),
    [
        (Keeping(c1=["loading"]), {}, "loading"),
        (Keeping(c1=[Unavailable("no worker")]), {}, "no worker"),
        (Keeping(c1=[a_value(balance=1)]), {"log": Log(9, 5)}, "ClickHouse does not have"),
        (Keeping(c1=[a_value(balance=1)]), {"wall_ms": FAR_MS + 1}, "have not counted"),
    ],
)
async def test_what_cannot_be_compared_is_no_drift_but_unsettled(worker, more, why):
    report = await reconcile(worker, Recomputing(c1=a_value()), **more)

    assert (report.customers, report.drifting, report.unsettled_customers) == (0, 0, 1)
    assert why in report.unsettled[0].why


async def test_a_customer_that_is_gone_meanwhile_is_no_difference():
    report = await reconcile(Keeping(c1=["deleted"]), Recomputing(c1=None))

    assert (report.drifting, report.unsettled_customers) == (0, 0)


def test_an_entitlement_on_one_side_only_is_a_difference():
    assert [one.field for one in differences([], [a_value()])] == ["entitlement"]
    assert [one.worker for one in differences([a_value()], [])] == ["there"]


def test_what_a_hold_has_reserved_is_no_difference():
    held = a_value(balance=60, held=Decimal(10), grant_balances={"g": Decimal(70)})

    assert differences([held], [a_value()]) == []
    assert differences([msgspec.structs.replace(held, held=Decimal(9))], [a_value()])


def test_only_the_last_digits_of_doubles_may_differ():
    assert differences([a_value(usage="1e300")], [a_value(usage="1.0000000000001e300")]) == []
    assert differences([a_value(usage="0.1")], [a_value(usage="0.10000000001")])


def test_other_types_are_not_compared():
    assert differences([a_value(type="static")], []) == []
