"""`meterstream simulate rating`: its format, what it refuses, its account for people."""

import json
from decimal import Decimal

import pytest

from domain.errors import Refused
from runtime.simulate.rating import explain, run
from runtime.simulate.reading import UnknownField, WrongInput

TIERS = [
    {"up_to": "5", "flat": "100", "unit": "0"},
    {"up_to": "10", "flat": "50", "unit": None},
    {"up_to": None, "flat": None, "unit": "1"},
]


def a_case(**more):
    """A case with every field of the format, as people write it."""
    return {
        "id": "any",
        "currency": "USD",
        "line": "single",
        "quantity": "12",
        "quantity_before_line": "0",
        "previously_billed": "0",
        "price": {
            "type": "unit",
            "amount": "1.50",
            "minimum": None,
            "maximum": None,
        },
        "discount_percentage": None,
        "discount_usage": None,
        "unit_config": None,
    } | more


def test_a_result_has_exactly_the_fields_of_the_format():
    case = a_case(price={"type": "unit", "amount": "1.50", "maximum": "15"}, discount_percentage=10)

    assert run(case) == {
        "lines": [
            {
                "ref": "unit-price-usage",
                "per_unit": "1.5",
                "quantity": "12",
                "payment_term": "in_arrears",
                "category": "regular",
                "period": "line",
                "discounts": [
                    {"reason": "ratecard_percentage", "amount": "1.8"},
                    {"reason": "maximum_spend", "amount": "1.2"},
                ],
                "totals": {"amount": "18", "charges": "0", "discounts": "3", "total": "15"},
            }
        ],
        "total": "15",
    }
    assert json.dumps(run(case))


def test_a_minimum_covers_the_full_period():
    (_, line) = run(a_case(price={"type": "unit", "amount": "1", "minimum": "20"}))["lines"]

    assert (line["category"], line["period"]) == ("commitment", "full")
    assert line["totals"] == {"amount": "0", "charges": "8", "discounts": "0", "total": "8"}


@pytest.mark.parametrize("quantity", ["12", 12, Decimal("12.0")])
def test_numbers_may_be_texts_or_numbers(quantity):
    assert run(a_case(quantity=quantity))["total"] == "18"


def test_what_may_be_absent_has_defaults():
    flat = {"currency": "USD", "price": {"type": "flat", "amount": 3}}
    unit = {"currency": "USD", "quantity": 2, "price": {"type": "unit", "amount": 3}}
    dynamic = {"currency": "USD", "quantity": 2, "price": {"type": "dynamic"}}

    assert run(flat)["lines"][0]["payment_term"] == "in_advance"
    assert run(unit)["total"] == "6"
    assert run(dynamic)["total"] == "2"


def test_the_first_part_of_a_period_can_be_told_from_a_middle_one():
    price = {"type": "tiered", "mode": "graduated", "tiers": TIERS}

    totals = [run(a_case(price=price, line=part, quantity=1))["total"] for part in ("first", "mid")]  # fmt: skip

    assert totals == ["100", "0"]


def test_a_currency_of_ones_own_has_a_precision():
    case = a_case(currency={"code": "TOKENS", "precision": 4}, quantity="1.00005")

    assert run(case)["total"] == "1.5001"


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"price": None}, "$.price"),
        ({"price": {"type": "free"}}, "$.price.type"),
        ({"price": {"type": "unit"}}, "$.price.amount"),
        ({"price": {"type": "unit", "amount": "a lot"}}, "$.price.amount"),
        ({"price": {"type": "tiered", "mode": "graduated", "tiers": 1}}, "$.price.tiers"),
        (
            {"price": {"type": "tiered", "mode": "volume", "tiers": [{"unit": "x"}]}},
            "$.price.tiers[0].unit",
        ),
        ({"price": {"type": "tiered", "mode": "steps", "tiers": TIERS}}, "$.price.mode"),
        ({"currency": None}, "$.currency"),
        ({"currency": 5}, "$.currency"),
        ({"currency": {"code": "TOKENS"}}, "$.currency.precision"),
        ({"line": "middle"}, "$.line"),
        ({"quantity": None}, "$.quantity"),
        ({"quantity": True}, "$.quantity"),
        ({"quantity": "1,5"}, "$.quantity"),
        ({"discount_percentage": "half"}, "$.discount_percentage"),
        ({"unit_config": {"operation": "add", "factor": 1}}, "$.unit_config.operation"),
        ({"unit_config": {"operation": "divide"}}, "$.unit_config.factor"),
        (
            {"unit_config": {"operation": "divide", "factor": 1, "precision": "1.5"}},
            "$.unit_config.precision",
        ),
    ],
)
def test_wrong_input_names_its_field(more, field):
    with pytest.raises(WrongInput) as wrong:
        run(a_case(**more))

    assert wrong.value.field == field


@pytest.mark.parametrize(
    ("more", "code", "field"),
    [
        ({"currency": "usd"}, "currency_invalid", "$.currency"),
        ({"currency": "XYZ"}, "currency_not_found", "$.currency"),
        ({"currency": {"code": "USD", "precision": 2}}, "currency_invalid", "$.currency.code"),
        ({"quantity": "-1"}, "field_must_be_positive_or_zero", "$.quantity"),
        ({"quantity": "NaN"}, "number_not_finite", "$.quantity"),
        ({"quantity": Decimal("Infinity")}, "number_not_finite", "$.quantity"),
        ({"previously_billed": "-inf"}, "number_not_finite", "$.previously_billed"),
        ({"quantity_before_line": "-1"}, "field_must_be_positive_or_zero", "$.quantity_before_line"),
        ({"discount_percentage": "-1"}, "percentage_discount_invalid_value", "$.discount_percentage"),
        ({"discount_usage": "-1"}, "usage_discount_negative_quantity", "$.discount_usage"),
        ({"unit_config": {"operation": "divide", "factor": "0"}}, "field_must_be_positive", "$.unit_config.factor"),
        ({"price": {"type": "package", "amount": 1, "quantity_per_package": 0}}, "field_must_be_positive", "$.price.quantity_per_package"),
        ({"price": {"type": "tiered", "mode": "volume", "tiers": []}}, "invoice_line_no_tiers", "$.price.tiers"),
        ({"price": {"type": "tiered", "mode": "volume", "tiers": [{"up_to": None}]}}, "price_tier_is_empty", "$.price.tiers[0].unit"),
        ({"price": {"type": "tiered", "mode": "volume", "tiers": [{"up_to": "-1", "unit": 1}]}}, "field_must_be_positive_or_zero", "$.price.tiers[0].up_to"),
        ({"price": {"type": "flat", "amount": 1}, "discount_usage": 1}, "usage_discount_with_flat_price", "$.discount_usage"),
        ({"price": {"type": "dynamic"}, "unit_config": {"operation": "divide", "factor": 1}}, "unit_config_requires_usage_based_price", "$.unit_config"),
    ],
)  # fmt: skip
def test_what_the_rules_refuse_has_a_code_and_its_field(more, code, field):
    with pytest.raises(Refused) as refused:
        run(a_case(**more))

    assert (refused.value.code, refused.value.field) == (code, field)


@pytest.mark.parametrize(
    "price",
    [
        {"type": "flat", "amount": 1, "minimum": "5"},
        {"type": "unit", "amount": 1, "multiplier": 2},
        {"type": "tiered", "mode": "volume", "tiers": [{"upTo": "5", "unit": 1}]},
    ],
)
def test_a_field_that_the_price_does_not_have_is_warned_of(price):
    with pytest.warns(UnknownField, match=r"\$\.price"):
        run(a_case(price=price))


def test_the_account_says_what_was_converted_freed_and_limited():
    price = {"type": "tiered", "mode": "graduated", "tiers": TIERS, "maximum": "120", "minimum": "7"}  # fmt: skip
    case = a_case(
        price=price,
        line="last",
        quantity="20",
        quantity_before_line="4",
        previously_billed="5",
        discount_usage="3",
        discount_percentage="50",
        unit_config={"operation": "divide", "factor": "2", "rounding": "ceiling"},
    )

    said = explain(case)

    assert said.splitlines() == [
        "line: the last part of its service period, in USD",
        "used 20, 4 before it",
        "converted: divide by 2, rounding ceiling: 10, 2 before it",
        "the first 3 are free: 1 of these, 2 of those before; priced are 9 after 0",
        "at most 120 in the service period, 5 billed before",
        "at least 7 in the service period, 5 billed before",
        *said.splitlines()[6:],
    ]
    assert said.splitlines()[-1] == "total 25 USD"
    assert "flat price for tier 2, -25 by percentage" in said


def test_the_account_of_nothing_says_so():
    said = explain(a_case(line="mid", price={"type": "flat", "amount": 1}))

    assert said.splitlines() == [
        "line: a part of its service period that is not the last, in USD",
        "nothing to charge: no lines",
        "total 0 USD",
    ]


def test_the_account_of_a_minimum_says_when_it_is_looked_at():
    price = {"type": "unit", "amount": 1, "minimum": "7"}

    said = explain(a_case(line="first", price=price, name="Tokens"))

    assert "at least 7 in the service period, looked at on the last part" in said
    assert said.startswith("Tokens: the first part")
