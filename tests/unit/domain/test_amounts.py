"""Money: one rounding, exact otherwise, bounded where it comes in."""

from decimal import Decimal, Inexact
from fractions import Fraction

import pytest

from domain.errors import Refused
from domain.money.amounts import (
    EXACT,
    add_up,
    exactly,
    non_negative,
    plain,
    positive,
    round_amount,
    round_half_away,
)
from domain.money.currency import custom, fiat
from domain.money.totals import Totals, sum_totals

USD, JPY = fiat("USD"), fiat("JPY")


def refusal(check, *args) -> tuple[str, str | None]:
    with pytest.raises(Refused, match=r"\w+\W+\w+") as refused:
        check(*args)
    return refused.value.code, refused.value.field


@pytest.mark.parametrize(
    ("currency", "amount", "rounded"),
    [
        (USD, "1.23456789", "1.23"),
        (USD, "1.23556789", "1.24"),
        (USD, "1.005", "1.01"),
        (USD, "-1.005", "-1.01"),
        (USD, "1.00499999999999999999999999999999999999", "1.00"),
        (USD, "0", "0.00"),
        (JPY, "1.9556789", "2"),
        (JPY, "0.5", "1"),
        (fiat("KWD"), "0.0005", "0.001"),
        (custom("TOKENS", 4), "1.23456789", "1.2346"),
        (USD, "9" * 38 + ".005", "9" * 38 + ".01"),
    ],
)
def test_amounts_are_rounded_half_away_from_zero_to_the_minor_unit(currency, amount, rounded):
    found = round_amount(Decimal(amount), currency)

    assert str(found) == rounded


@pytest.mark.parametrize(
    ("value", "digits", "rounded"), [(Fraction(1, 3), 2, "0.33"), (Fraction(2, 3), 0, "1"), (Fraction(-1, 2), 0, "-1")]
)  # fmt: skip
def test_fractions_are_rounded_the_same_way(value, digits, rounded):
    assert str(round_half_away(value, digits)) == rounded


@pytest.mark.parametrize(
    ("value", "text"),
    [("10", "10"), ("6.510", "6.51"), ("0.00", "0"), ("-0.0", "0"), ("1E+3", "1000"), ("1E-7", "0.0000001"),
     ("-1.50", "-1.5"), ("9" * 38 + "." + "1" * 38, "9" * 38 + "." + "1" * 38)],
)  # fmt: skip
def test_numbers_are_written_without_exponent_or_zeros_at_the_end(value, text):
    assert plain(Decimal(value)) == text


@pytest.mark.parametrize("value", ["NaN", "sNaN", "Infinity", "-Infinity"])
@pytest.mark.parametrize("check", [non_negative, positive])
def test_what_is_not_finite_is_refused(check, value):
    assert refusal(check, Decimal(value), "$.x") == ("number_not_finite", "$.x")


@pytest.mark.parametrize("value", ["1E+38", "-1E+38", "1E-39", "1E+999999", "0E+999999", "0E-39"])
def test_what_is_too_large_or_too_fine_is_refused(value):
    assert refusal(non_negative, Decimal(value), "$.x") == ("number_out_of_range", "$.x")


def test_the_bounds_themselves_are_let_in():
    largest = Decimal("9" * 38 + "." + "9" * 38)

    assert non_negative(largest, "$.x") == largest
    assert positive(Decimal("1E-38"), "$.x") == Decimal("1E-38")
    assert non_negative(Decimal(0), "$.x") == 0


def test_negative_and_zero_have_codes_of_their_own():
    assert refusal(non_negative, Decimal("-0.01"), "$.x") == ("field_must_be_positive_or_zero", "$.x")  # fmt: skip
    assert refusal(positive, Decimal(0), "$.x") == ("field_must_be_positive", "$.x")
    assert refusal(positive, Decimal(-1), "$.x") == ("field_must_be_positive", "$.x")


def test_arithmetic_that_would_lose_a_digit_raises():
    with exactly(), pytest.raises(Inexact):
        Decimal(1) / Decimal(3)


def test_a_sum_keeps_every_digit():
    assert add_up([Decimal("1E+37"), Decimal("1E-38")]) == EXACT.add(
        Decimal("1E+37"), Decimal("1E-38")
    )
    assert add_up([]) == 0


def test_a_total_is_what_is_owed_less_what_is_let_off():
    totals = Totals(
        currency=USD,
        amount=Decimal(100),
        charges=Decimal(20),
        taxes_exclusive=Decimal(5),
        discounts=Decimal(30),
        credits=Decimal(1),
        taxes_inclusive=Decimal(7),
        taxes=Decimal(12),
    )

    assert totals.total == 94


def test_totals_add_up_part_by_part():
    one = Totals(currency=USD, amount=Decimal("1.10"), discounts=Decimal("0.10"))
    other = Totals(currency=USD, charges=Decimal("0.20"), credits=Decimal("0.05"))

    both = sum_totals([one, other], USD)

    assert both == Totals(
        currency=USD,
        amount=Decimal("1.10"),
        charges=Decimal("0.20"),
        discounts=Decimal("0.10"),
        credits=Decimal("0.05"),
    )
    assert sum_totals([], USD) == Totals(currency=USD)


def test_currencies_are_never_added_to_each_other():
    mixed = [Totals(currency=USD), Totals(currency=JPY)]

    assert refusal(sum_totals, mixed, USD) == ("invoice_line_currency_mismatch", "$.currency")


def test_totals_are_whole_minor_units():
    with pytest.raises(ValueError, match="discounts is not in minor units of JPY"):
        Totals(currency=JPY, discounts=Decimal("0.5"))
