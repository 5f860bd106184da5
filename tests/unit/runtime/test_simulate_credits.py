"""`meterstream simulate credits`: the formats, what it asks for, the account and the picture."""

import json
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.credits.cuts import Plan
from domain.credits.usage import Reading
from domain.errors import Refused
from runtime.simulate.credits import explain, plot, run
from runtime.simulate.reading import WrongInput
from runtime.simulate.writing import time_text
from tests.credit_builders import T0, a_plan, aggregations, grants, readings, resets, times

Case = dict[str, object]
JAN_1, JAN_2, JAN_3 = (f"2024-01-0{day}T00:00:00Z" for day in (1, 2, 3))
G = {"id": "g", "amount": 100, "effective_at": JAN_1}


def a_case(**fields: object) -> Case:
    return {"grants": [G], "start": {"at": JAN_1}, "until": JAN_2, "usage": []} | fields


def test_the_result_has_every_field_of_the_format():
    result = run(a_case(usage=[{"at": "2024-01-01T01:00:00Z", "value": "12.50"}]))

    assert result == {
        "balances": {"g": Decimal("87.50")},
        "balance": Decimal("87.50"),
        "overage": 0,
        "usage": {"since": JAN_1, "value": Decimal("12.50")},
        "period_usage": Decimal("12.50"),
        "total_grant_usage": Decimal("12.50"),
        "segments": [
            {
                "from": JAN_1,
                "to": JAN_2,
                "balance_at_start": {"g": 100},
                "overage_at_start": 0,
                "total_usage": Decimal("12.50"),
                "grant_usages": {"g": Decimal("12.50")},
                "overage": 0,
                "ended_by": None,
            }
        ],
    }


def test_grants_that_are_not_active_are_listed_with_zero():
    later = G | {"id": "later", "effective_at": JAN_3}

    result = run(a_case(grants=[G, later]))

    assert result["balances"] == {"g": 100, "later": 0}


def test_the_order_of_grants_needs_only_what_decides_it():
    listed = [
        {"id": "b", "priority": 1, "created_at": JAN_2},
        {"id": "a", "priority": 1, "created_at": JAN_1},
        {"id": "c", "priority": 1, "created_at": JAN_3, "expires_at": JAN_2},
        {**G, "id": "d", "priority": 0, "created_at": JAN_3, "voided_at": None},
        {"id": "f", "priority": 1},
        {"id": "e", "priority": 1},
    ]

    assert run({"kind": "order", "grants": listed}) == {"order": ["d", "c", "e", "f", "a", "b"]}


@pytest.mark.parametrize(
    ("fields", "end"),
    [
        ({}, None),
        ({"expires_at": JAN_3}, JAN_3),
        ({"expires_at": JAN_3, "voided_at": JAN_2}, JAN_2),
        ({"deleted_at": "2023-12-01T00:00:00Z"}, JAN_1),
        ({"expires_at": "2023-12-01T00:00:00Z"}, JAN_1),
    ],
)
def test_the_effective_period_of_a_grant(fields: Case, end: str | None):
    assert run({"kind": "effective_period", "grant": G | fields}) == {"from": JAN_1, "to": end}


def test_a_reading_of_count_without_a_value_counts_one():
    used = [{"at": JAN_1}, {"at": JAN_1, "value": 4}]

    assert run(a_case(aggregation="COUNT", usage=used))["period_usage"] == 5


def test_distinct_values_are_told_apart_by_their_text():
    used = [{"at": JAN_1, "value": value} for value in (1, "1", Decimal("1.10"), "1.1", True, "x")]

    assert run(a_case(aggregation="UNIQUE_COUNT", usage=used))["period_usage"] == 4


def test_distinct_values_from_before_the_start_have_been_seen():
    used = [{"at": at, "value": value} for at, value in [(JAN_1, "a"), (JAN_2, "a"), (JAN_2, "b")]]
    start = {"at": JAN_2, "usage": {"since": JAN_1, "value": 1}, "period_usage": 1}

    result = run(a_case(aggregation="UNIQUE_COUNT", start=start, until=JAN_3, usage=used))

    assert result["period_usage"] == 2


def test_usage_counts_on_from_its_own_start_until_a_reset():
    start = {
        "at": JAN_1,
        "usage": {"since": "2023-12-01T00:00:00Z", "value": 40},
        "period_usage": 7,
    }
    used = [{"at": JAN_1, "value": 3}]

    before = run(a_case(start=start, usage=used))
    after = run(a_case(start=start, usage=used, resets=["2024-01-01T12:00:00Z"]))

    assert before["usage"] == {"since": "2023-12-01T00:00:00Z", "value": 43}
    assert before["period_usage"] == 10
    assert after["usage"] == {"since": "2024-01-01T12:00:00Z", "value": 0}


def test_no_balance_at_all_is_as_if_none_were_given():
    result = run(a_case(start={"at": JAN_1, "balances": {}}))

    assert result["balances"] == {"g": 100}


@pytest.mark.parametrize(
    ("at", "value"),
    [
        ("2024-01-01T00:00:00Z", 3),
        ("2024-01-01T00:00:00.000Z", 3),
        ("2024-01-01T01:00:00+01:00", 3),
        ("2024-01-01T00:00:00Z", "3"),
        ("2024-01-01T00:00:00Z", Decimal("3.00")),
        ("2024-01-01T00:00:00Z", Decimal("0.3e1")),
    ],
)
def test_a_reading_is_read_alike_however_it_is_written(at: str, value: object):
    result = run(a_case(usage=[{"at": at, "value": value}]))

    assert result["period_usage"] == 3


@pytest.mark.parametrize(
    ("reading", "field"),
    [
        ({"at": "2024-02-30T00:00:00Z", "value": 3}, "$.usage[0].at"),
        ({"at": "2024-01-01 00:00:00Z", "value": 3}, "$.usage[0].at"),
        ({"at": JAN_1, "value": True}, "$.usage[0].value"),
        ({"at": JAN_1, "value": 1e3}, "$.usage[0].value"),
        ({"at": JAN_1, "values": 3}, "$.usage[0].value"),
    ],
)
def test_a_reading_that_is_wrong_is_named(reading: Case, field: str):
    with pytest.raises(WrongInput) as wrong:
        run(a_case(usage=[reading]))

    assert wrong.value.field == field


def test_resets_outside_the_time_are_ignored():
    result = run(a_case(resets=["2023-12-01T00:00:00Z", JAN_3]))

    assert len(result["segments"]) == 1  # type: ignore[arg-type]


REFUSED: list[tuple[Case, str, str]] = [
    ({"grants": [G | {"amount": -5}]}, "grant_amount_must_be_positive", "$.grants[0].amount"),
    ({"grants": [G | {"amount": Decimal("NaN")}]}, "number_not_finite", "$.grants[0].amount"),
    ({"grants": [G | {"amount": "-Infinity"}]}, "number_not_finite", "$.grants[0].amount"),
    (
        {"grants": [G | {"expires_at": "2023-01-01T00:00:00Z"}]},
        "grant_ends_before_it_starts",
        "$.grants[0].expires_at",
    ),
    (
        {"grants": [G | {"recurrence": {"interval": "PT0S", "anchor": JAN_1}}]},
        "interval_not_positive",
        "$.grants[0].recurrence.interval",
    ),
    ({"grants": [G, G]}, "grant_id_repeated", "$.grants"),
    ({"resets": [JAN_1]}, "reset_at_start", "$.resets"),
    ({"until": "2023-01-01T00:00:00Z"}, "until_before_start", "$.until"),
    ({"aggregation": "AVG"}, "aggregation_not_supported", "$.aggregation"),
    (
        {"start": {"at": JAN_1, "balances": {"x": 1, "g": 1}}},
        "start_balance_unknown_grant",
        "$.start.balances.x",
    ),
    (
        {"grants": [G, G | {"id": "h"}], "start": {"at": JAN_1, "balances": {"g": 1}}},
        "start_balance_missing",
        "$.start.balances.h",
    ),
    ({"usage": [{"at": JAN_1, "value": "NaN"}]}, "number_not_finite", "$.usage[0].value"),
]


@pytest.mark.parametrize(("fields", "code", "field"), REFUSED)
def test_what_the_rules_refuse_names_the_field(fields: Case, code: str, field: str):
    with pytest.raises(Refused) as refused:
        run(a_case(**fields))

    assert (refused.value.code, refused.value.field) == (code, field)


WRONG: list[tuple[Case, str]] = [
    ({"until": None}, "$.until"),
    ({"until": "tomorrow"}, "$.until"),
    ({"start": {}}, "$.start.at"),
    ({"start": {"at": JAN_1, "usage": {"since": JAN_2, "value": 0}}}, "$.start.usage.since"),
    ({"grants": [{"id": "g", "effective_at": JAN_1}]}, "$.grants[0].amount"),
    ({"grants": [G | {"priority": 1.5}]}, "$.grants[0].priority"),
    ({"usage": [{"at": JAN_1}]}, "$.usage[0].value"),
    ({"usage": [{"at": JAN_1, "value": "much"}]}, "$.usage[0].value"),
    ({"aggregation": "UNIQUE_COUNT", "usage": [{"at": JAN_1, "value": []}]}, "$.usage[0].value"),
    ({"preserve_overage": 1}, "$.preserve_overage"),
    ({"kind": "balances"}, "$.kind"),
]


@pytest.mark.parametrize(("fields", "field"), WRONG)
def test_what_the_format_does_not_allow_names_the_field(fields: Case, field: str):
    with pytest.raises(WrongInput) as wrong:
        run(a_case(**fields))

    assert wrong.value.field == field


def _written(plan: Plan, used: list[Reading], preserve: bool) -> Case:
    """A plan and its usage in the command's format."""
    return {
        "aggregation": plan.aggregation,
        "grants": [
            {
                "id": g.id,
                "amount": str(g.amount),
                "priority": g.priority,
                "effective_at": time_text(g.effective_at),
                "created_at": time_text(g.created_at),
                "expires_at": g.expires_at and time_text(g.expires_at),
                "voided_at": g.voided_at and time_text(g.voided_at),
                "deleted_at": g.deleted_at and time_text(g.deleted_at),
                "recurrence": g.recurrence
                and {
                    "interval": f"P{g.recurrence.interval.months}M"
                    if g.recurrence.interval.months
                    else f"PT{g.recurrence.interval.total_microseconds // 1_000_000}S",
                    "anchor": time_text(g.recurrence.anchor),
                },
                "reset_min_rollover": str(g.min_rollover),
                "reset_max_rollover": str(g.max_rollover),
            }
            for g in plan.roster.grants
        ],
        "preserve_overage": preserve,
        "usage": [{"at": time_text(r.at), "value": str(r.value)} for r in used],
    }


@given(
    grants(), resets, aggregations, st.data(), st.lists(times, min_size=2, max_size=4, unique=True)
)
def test_handing_a_results_fields_on_goes_on_exactly(
    given_grants, given_resets, aggregation, data, stops
):
    used = data.draw(readings(aggregation))
    preserve = data.draw(st.booleans())
    case = _written(a_plan(given_grants, aggregation=aggregation), used, preserve)
    reset_times = [time_text(reset.at) for reset in given_resets]
    stops = sorted(stops)

    whole = run(
        case
        | {"start": {"at": time_text(T0)}, "until": time_text(stops[-1]), "resets": reset_times}
    )
    start: Case = {"at": time_text(T0)}
    for stop in stops:
        remaining = [at for at in reset_times if at > str(start["at"])]
        part = run(case | {"start": start, "until": time_text(stop), "resets": remaining})
        handed_on = json.loads(json.dumps(part, default=str))
        start = {"at": time_text(stop)} | {
            name: handed_on[name]
            for name in ("balances", "overage", "usage", "period_usage", "total_grant_usage")
        }

    assert _figures(part) == _figures(whole)


def _figures(result: Case) -> Case:
    """All but the segments, which begin anew, and the phase, which may begin at a stop where nothing was used yet."""
    usage = result["usage"]
    assert isinstance(usage, dict)
    counted = {name: value for name, value in usage.items() if name != "phase"}
    return {name: result[name] for name in result if name != "segments"} | {"usage": counted}


def test_a_level_that_paid_overage_hands_its_phase_on():
    later = G | {"effective_at": "2024-01-01T06:00:00Z"}
    used = [{"at": JAN_1, "value": 30}]

    stopped = run(a_case(aggregation="LATEST", grants=[later], usage=used))
    start = {"at": JAN_2, "balances": {"g": 70}, "usage": stopped["usage"]}
    resumed = run(a_case(aggregation="LATEST", grants=[later], start=start, until=JAN_3))

    assert (stopped["balances"], resumed["balances"]) == ({"g": 70}, {"g": 70})


def test_a_refill_that_paid_preserved_overage_at_the_stop_hands_its_phase_on():
    """Five values, nothing to pay them with; at the reset the grant is filled and pays. It is not filled again."""
    grant = G | {
        "amount": 9,
        "effective_at": JAN_2,
        "recurrence": {"interval": "P1D", "anchor": JAN_1},
    }
    used = [{"at": JAN_1, "value": value} for value in "abcde"]
    fields: Case = {"aggregation": "UNIQUE_COUNT", "grants": [grant], "preserve_overage": True}

    stopped = run(a_case(**fields, usage=used, resets=[JAN_2]))
    start = {"at": JAN_2, "balances": {"g": 4}, "usage": stopped["usage"]}
    resumed = run(a_case(**fields, start=start, until="2024-01-02T12:00:00Z"))

    assert (stopped["balances"], resumed["balances"]) == ({"g": 4}, {"g": 4})


def test_plain_results_have_only_the_documented_members_of_usage():
    used = [{"at": JAN_1, "value": 12}]

    assert run(a_case(usage=used))["usage"] == {"since": JAN_1, "value": 12}


def test_the_account_names_what_began_each_segment():
    grant = G | {"recurrence": {"interval": "PT12H", "anchor": JAN_1}}
    used = [{"at": JAN_1, "value": 120}]

    said = explain(a_case(grants=[grant], usage=used, until="2024-01-01T13:00:00Z"))

    assert "grants in burn order: g" in said
    rows = [line.split(" | ") for line in said.splitlines() if line.startswith("2024")]
    assert [[cell.strip() for cell in row] for row in rows] == [
        [
            JAN_1,
            "2024-01-01T12:00:00Z",
            "start, g begins, full",
            "g 100",
            "0",
            "120",
            "g 100",
            "20",
        ],
        [
            "2024-01-01T12:00:00Z",
            "2024-01-01T13:00:00Z",
            "g recurs, full",
            "g 100",
            "20",
            "0",
            "g 20",
            "0",
        ],
    ]
    assert said.splitlines()[-1] == (
        f"balance 80, overage 0; since {JAN_1} used 120, paid by grants 120, available 200"
    )


def test_the_account_of_names_with_brackets_shows_them():
    said = explain(a_case(grants=[G | {"id": "[red]g"}]))

    assert "[red]g 100" in said


def test_the_picture_shows_balance_and_overage():
    used = [{"at": JAN_1, "value": 30}, {"at": "2024-01-01T12:00:00Z", "value": 90}]

    said = plot(a_case(usage=used), None)

    assert "balance" in said
    assert "overage, below 0" in said
    assert "100┤" in said
    assert max(map(len, said.splitlines())) <= 100
    assert "\x1b" not in said


def test_a_picture_of_no_time_at_all_is_drawn():
    assert "balance" in plot(a_case(until=JAN_1), None)


def test_the_picture_is_written_as_png(tmp_path: Path):
    target = tmp_path / "balance.png"

    said = plot(a_case(usage=[{"at": JAN_1, "value": 130}]), target)

    assert said == f"drawn into {target}"
    assert target.read_bytes().startswith(b"\x89PNG")


def test_a_png_that_cannot_be_written_is_said(tmp_path: Path):
    with pytest.raises(WrongInput) as wrong:
        plot(a_case(), tmp_path / "no" / "balance.png")

    assert wrong.value.field == "--png"


@pytest.mark.parametrize("say", [explain, lambda case: plot(case, None)])
def test_an_order_has_no_account_and_no_picture(say):
    with pytest.raises(WrongInput):
        say({"kind": "order", "grants": []})
