"""What the credit rules refuse: code, field and a message that says what is wrong."""

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

import pytest

from domain.credits.engine import Opening, evaluate, open_state
from domain.credits.quantity import check_quantity
from domain.credits.readings import Readings
from domain.credits.roster import Roster
from domain.errors import Refused
from domain.metering.meter import Aggregation
from tests.credit_builders import a_grant, a_plan, at, every, run

G = a_grant()
DAY_AFTER = run(a_plan([G])).state

REFUSALS: list[tuple[Callable[[], object], str, str | None, str]] = [
    (
        lambda: a_grant(amount=0),
        "grant_amount_must_be_positive",
        "$.amount",
        "amount is 0, not above 0",
    ),
    (
        lambda: a_grant(amount=-1),
        "grant_amount_must_be_positive",
        "$.amount",
        "amount is -1, not above 0",
    ),
    (
        lambda: a_grant(amount="NaN"),
        "number_not_finite",
        "$.amount",
        "$.amount is NaN, not a finite number",
    ),
    (
        lambda: a_grant(amount="Infinity"),
        "number_not_finite",
        "$.amount",
        "$.amount is Infinity, not a finite number",
    ),
    (
        lambda: a_grant(amount="1e28"),
        "number_out_of_range",
        "$.amount",
        "$.amount is below 10^28 and has at most 38 fraction digits",
    ),
    (
        lambda: a_grant(amount="1e-39"),
        "number_out_of_range",
        "$.amount",
        "$.amount is below 10^28 and has at most 38 fraction digits",
    ),
    (lambda: a_grant(priority=-1), "priority_invalid", "$.priority", "priority is 0-255"),
    (lambda: a_grant(priority=256), "priority_invalid", "$.priority", "priority is 0-255"),
    (
        lambda: a_grant(min_rollover=-1),
        "rollover_negative",
        "$.minRolloverAmount",
        "minRolloverAmount is -1, below 0",
    ),
    (
        lambda: a_grant(max_rollover=-1),
        "rollover_negative",
        "$.maxRolloverAmount",
        "maxRolloverAmount is -1, below 0",
    ),
    (
        lambda: a_grant(min_rollover="NaN"),
        "number_not_finite",
        "$.minRolloverAmount",
        "$.minRolloverAmount is NaN, not a finite number",
    ),
    (
        lambda: a_grant(expires_at=at(-1)),
        "grant_ends_before_it_starts",
        "$.expiresAt",
        "expires at 2024-01-29T23:00:00+00:00, before it takes effect",
    ),
    (
        lambda: a_grant(recurrence=every("PT59.9S")),
        "recurrence_too_short",
        "$.recurrence.interval",
        "a grant recurs at most once a minute",
    ),
    (
        lambda: Roster([a_grant("g"), a_grant("g", 5)]),
        "grant_id_repeated",
        "$.grants",
        "two grants have the same id",
    ),
    *[
        (
            lambda aggregation=aggregation: a_plan([], aggregation=aggregation),
            "aggregation_not_supported",
            "$.aggregation",
            f"{aggregation} has no running total that credit could pay for",
        )
        for aggregation in (Aggregation.AVG, Aggregation.MIN, Aggregation.MAX)
    ],
    (
        lambda: run(a_plan(), until=at(-1)),
        "until_before_start",
        "$.until",
        "until is before 2024-01-30T00:00:00+00:00, the start",
    ),
    (
        lambda: open_state(a_plan([G]), at(0), Opening(balances={})),
        "start_balance_missing",
        "$.start.balances.g",
        "balances are given, but none for grant 'g'",
    ),
    (
        lambda: open_state(
            a_plan([G]), at(0), Opening(balances={"g": Decimal(1), "x": Decimal(1)})
        ),
        "start_balance_unknown_grant",
        "$.start.balances.x",
        "there is no grant 'x'",
    ),
    (
        lambda: open_state(a_plan([G]), at(0), Opening(balances={"g": Decimal(-1)})),
        "balance_negative",
        "$.start.balances.g",
        "the balance of 'g' is below 0",
    ),
    (
        lambda: open_state(a_plan([G]), at(0), Opening(balances={"g": Decimal("NaN")})),
        "number_not_finite",
        "$.start.balances.g",
        "$.start.balances.g is NaN, not a finite number",
    ),
    (
        lambda: open_state(a_plan(), at(0), Opening(overage=Decimal("Infinity"))),
        "number_not_finite",
        "$.start.overage",
        "$.start.overage is Infinity, not a finite number",
    ),
    (
        lambda: evaluate(
            a_plan([G, a_grant("new", effective_at=at(12))]),
            DAY_AFTER,
            Readings(Aggregation.SUM, []),
            at(48),
        ),
        "state_of_another_plan",
        "$.start",
        "something changes at 2024-01-30T12:00:00+00:00 that the state, taken later, does not know of",
    ),
]


@pytest.mark.parametrize(("act", "code", "field", "message"), REFUSALS)
def test_is_refused(act: Callable[[], object], code: str, field: str | None, message: str):
    with pytest.raises(Refused) as refused:
        act()

    assert (refused.value.code, refused.value.field, str(refused.value)) == (code, field, message)


@pytest.mark.parametrize(
    "value",
    [
        "9" * 28,
        "-" + "9" * 28,
        "0",
        "1e-38",
        "0." + "1" * 38,
        "9999999999999999999999999999." + "9" * 38,
    ],
)
def test_the_largest_and_the_finest_quantities_are_let_in(value: str):
    checked = check_quantity(Decimal(value), "$.amount")

    assert checked == Decimal(value)


def test_the_bounds_of_a_grant_are_let_in():
    grants = [
        a_grant("a", priority=0, expires_at=at(0)),
        a_grant("b", priority=255, recurrence=every("PT1M")),
        a_grant("c", "1e-38", min_rollover="1e-38"),
    ]

    roster = Roster(grants)

    assert [grant.id for grant in roster.grants] == ["a", "c", "b"]


def test_more_phases_than_allowed_are_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("domain.credits.cuts.CUTS_MAX", 10)
    hourly = a_plan([a_grant(recurrence=every("PT1H"))])

    allowed = run(hourly, until=at(10))
    with pytest.raises(Refused) as refused:
        run(hourly, until=at(11))

    assert len(allowed.segments) == 11
    assert (refused.value.code, refused.value.field) == ("too_many_phases", "$.until")
    assert str(refused.value) == "more than 10 phases between start and until"


def test_changes_count_as_phases(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("domain.credits.cuts.CUTS_MAX", 3)
    plan = a_plan([a_grant(f"g{n}", effective_at=at(n)) for n in range(1, 6)])

    allowed = run(plan, until=at(4))
    with pytest.raises(Refused) as refused:
        run(plan, until=at(5))

    assert len(allowed.segments) == 4
    assert refused.value.code == "too_many_phases"


def test_a_fine_total_is_not_rounded():
    fine = Decimal("9999999999999999999999999999." + "9" * 38)
    plan = a_plan([replace(a_grant("a"), amount=fine), replace(a_grant("b"), amount=fine)])

    standing = run(plan).standing

    assert standing.balance == Decimal("19999999999999999999999999999." + "9" * 37 + "8")
    assert standing.total_available == standing.balance
