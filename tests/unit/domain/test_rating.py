"""Rating: corners that the worked examples of tests/golden/rating leave open."""

from dataclasses import replace
from decimal import Decimal

import pytest

from domain.errors import Refused
from domain.money.currency import fiat
from domain.rating.credits import pay_with_credits
from domain.rating.discounts import PercentageDiscount, UsageDiscount
from domain.rating.line import Category, CreditAllocation, DetailedLine, DiscountReason, LinePart
from domain.rating.price import PaymentTerm, TierMode
from domain.rating.rate import rate
from tests.rating import (
    USD,
    a_dynamic_price,
    a_flat_price,
    a_line,
    a_package_price,
    a_tier,
    a_tiered_price,
    a_unit_price,
    number,
)


def shown(rating) -> list[tuple[str, Decimal, Decimal]]:
    return [(line.ref, line.quantity, line.per_unit) for line in rating.lines]


def half_off():
    return PercentageDiscount(percentage=Decimal(50), correlation_id="01H")


def test_a_flat_line_has_the_name_and_the_term_of_its_price():
    (line,) = rate(a_line(a_flat_price("9.999", payment_term=PaymentTerm.IN_ARREARS))).lines

    assert line == DetailedLine(
        ref="flat-price",
        name="Tokens",
        per_unit=Decimal("9.999"),
        quantity=Decimal(1),
        currency=USD,
        payment_term=PaymentTerm.IN_ARREARS,
    )
    assert line.total == Decimal("10.00")


@pytest.mark.parametrize(
    ("term", "parts"),
    [
        (PaymentTerm.IN_ADVANCE, [LinePart.SINGLE, LinePart.FIRST]),
        (PaymentTerm.IN_ARREARS, [LinePart.SINGLE, LinePart.LAST]),
    ],
)
def test_a_flat_price_is_charged_by_one_part_of_its_period(term, parts):
    price = a_flat_price(payment_term=term)

    assert [part for part in LinePart if rate(a_line(price, part=part)).lines] == parts


def test_a_flat_price_looks_at_no_usage():
    rating = rate(a_line(a_flat_price(), "7", before="3", billed="50"))

    assert (rating.totals.total, rating.usage) == (100, None)
    assert rating.free_units.quantity == 0


@pytest.mark.parametrize(
    ("price", "name"),
    [
        (a_unit_price(), "Tokens: usage in period"),
        (a_package_price(), "Tokens: usage in period"),
        (a_dynamic_price(), "Tokens: usage in period"),
        (a_tiered_price(a_tier(unit=1)), "Tokens: usage price for tier 1"),
        (a_tiered_price(a_tier(flat=1)), "Tokens: flat price for tier 1"),
        (a_tiered_price(a_tier(unit=1), mode=TierMode.VOLUME), "Tokens: unit price"),
        (a_tiered_price(a_tier(flat=1), mode=TierMode.VOLUME), "Tokens: flat price"),
    ],
)
def test_usage_lines_are_regular_in_arrears_and_named_for_their_line(price, name):
    (line,) = rate(a_line(price)).lines

    assert line.name == name
    assert (line.payment_term, line.category) == (PaymentTerm.IN_ARREARS, Category.REGULAR)
    assert (line.currency, line.covers_full_period) == (USD, False)


def test_a_minimum_is_a_commitment_for_the_full_period():
    (line,) = rate(a_line(a_unit_price(minimum=5), "0")).lines

    assert line == DetailedLine(
        ref="min-spend",
        name="Tokens: minimum spend",
        per_unit=Decimal(5),
        quantity=Decimal(1),
        currency=USD,
        category=Category.COMMITMENT,
        covers_full_period=True,
    )
    assert (line.totals.amount, line.totals.charges) == (0, 5)


@pytest.mark.parametrize("part", [LinePart.FIRST, LinePart.MID])
def test_a_minimum_waits_for_the_last_part(part):
    assert rate(a_line(a_unit_price(minimum=500), "1", part=part)).totals.charges == 0


def test_a_minimum_that_is_met_adds_nothing():
    rating = rate(a_line(a_unit_price(minimum=25), "2", billed="5", part=LinePart.LAST))

    assert shown(rating) == [("unit-price-usage", 2, 10)]


def test_less_than_half_a_cent_below_the_minimum_adds_nothing():
    assert len(rate(a_line(a_unit_price(minimum="10.004"), "1")).lines) == 1
    assert rate(a_line(a_unit_price(minimum="10.005"), "1")).totals.charges == Decimal("0.01")


def test_a_maximum_that_is_just_reached_takes_nothing_off():
    (line,) = rate(a_line(a_unit_price(maximum=25), "2", billed="5")).lines

    assert line.discounts == ()


def test_less_than_half_a_cent_above_the_maximum_is_charged():
    (line,) = rate(a_line(a_unit_price(maximum="9.996"), "1")).lines

    assert line.discounts == ()


def test_a_maximum_exceeded_before_takes_off_no_more_than_the_line():
    (line,) = rate(a_line(a_unit_price(maximum=25), "2", billed="500")).lines

    assert line.total == 0
    assert [(d.ref, d.reason, d.amount) for d in line.discounts] == [
        ("line_maximum_spend", DiscountReason.MAXIMUM_SPEND, 20)
    ]


def test_a_maximum_of_zero_gives_everything_for_free():
    assert rate(a_line(a_unit_price(maximum=0), "2")).totals.total == 0


def test_a_maximum_of_zero_below_a_minimum_is_filled_up():
    totals = rate(a_line(a_unit_price(minimum=7, maximum=0), "2")).totals

    assert (totals.amount, totals.discounts, totals.charges, totals.total) == (20, 20, 7, 7)


def test_the_percentage_comes_off_before_the_maximum_and_names_its_discount():
    (line,) = rate(a_line(a_unit_price(maximum=8), "2", discount_percentage=half_off())).lines

    assert [(d.ref, d.reason, d.amount) for d in line.discounts] == [
        ("rateCardDiscount/correlationID=01H", DiscountReason.PERCENTAGE, 10),
        ("line_maximum_spend", DiscountReason.MAXIMUM_SPEND, 2),
    ]


def test_a_percentage_of_nothing_is_no_discount():
    lines = rate(a_line(a_tiered_price(), "0", discount_percentage=half_off())).lines

    assert [len(line.discounts) for line in lines] == [0, 1]


def test_all_off_leaves_a_line_of_nothing():
    everything = PercentageDiscount(percentage=Decimal(100))

    (line,) = rate(a_line(a_unit_price(), "2", discount_percentage=everything)).lines

    assert (line.totals.amount, line.total) == (20, 0)


def test_free_units_are_taken_before_the_line_and_then_from_it():
    line = a_line(a_unit_price("1"), "15", before="5", discount_usage=UsageDiscount(quantity=Decimal(10)))  # fmt: skip

    rating = rate(line)

    assert (rating.free_units.before, rating.free_units.quantity) == (5, 5)
    assert (rating.usage.before, rating.usage.quantity) == (0, 10)


def test_free_units_move_the_tiers():
    free = UsageDiscount(quantity=Decimal(5))

    rating = rate(a_line(a_tiered_price(), "5", before="5", discount_usage=free))

    assert shown(rating) == [
        ("graduated-tiered-1-price-usage", 5, 0),
        ("graduated-tiered-1-flat-price", 1, 100),
    ]


@pytest.mark.parametrize(
    ("before", "quantity", "entered"),
    [
        ("0", "5", ["1"]),
        ("0", "5.001", ["1", "2"]),
        ("5", "1", ["2"]),
        ("4", "1", []),
        ("5.5", "1", []),
        ("5", "0", []),
        ("4", "7", ["2"]),
    ],
)
def test_a_tier_is_entered_by_the_first_unit_above_its_start(before, quantity, entered):
    price = a_tiered_price(a_tier(5, flat=1), a_tier(10, flat=2), a_tier(unit=1))
    part = LinePart.FIRST if before == "0" else LinePart.MID

    lines = rate(a_line(price, quantity, before=before, part=part)).lines

    refs = [line.ref for line in lines if line.ref.endswith("flat-price")]
    assert refs == [f"graduated-tiered-{number}-flat-price" for number in entered]


def test_the_first_flat_amount_is_charged_even_where_the_first_tier_holds_nothing():
    price = a_tiered_price(a_tier(0, flat=100, unit=7), a_tier(unit=1))

    assert rate(a_line(price, "3")).totals.total == 103
    assert rate(a_line(price, "0")).totals.total == 100


def test_units_on_a_tier_bound_belong_to_the_lower_tier():
    price = a_tiered_price(a_tier(5, unit=1), a_tier(10, unit=2), a_tier(unit=3))

    assert shown(rate(a_line(price, "6", before="4", part=LinePart.LAST))) == [
        ("graduated-tiered-1-price-usage", 1, 1),
        ("graduated-tiered-2-price-usage", 5, 2),
    ]


@pytest.mark.parametrize("part", [LinePart.FIRST, LinePart.MID])
def test_a_volume_price_bills_nothing_before_the_last_part(part):
    price = a_tiered_price(mode=TierMode.VOLUME)

    assert rate(a_line(price, "7", before="3", part=part)).lines == ()


def test_a_volume_price_refuses_usage_before_its_line():
    price = a_tiered_price(mode=TierMode.VOLUME)

    with pytest.raises(Refused, match="all usage must be on its last line") as refused:
        rate(a_line(price, "7", before="3", part=LinePart.LAST))

    assert refused.value.code == "invoice_line_graduated_split_not_supported"
    assert refused.value.field == "$.quantity_before_line"


def test_a_volume_tier_may_have_both_components():
    price = a_tiered_price(a_tier(flat=10, unit=2), mode=TierMode.VOLUME)

    assert shown(rate(a_line(price, "3"))) == [
        ("volume-flat-price", 1, 10),
        ("volume-tiered-price", 3, 2),
    ]
    assert shown(rate(a_line(price, "0"))) == [("volume-flat-price", 1, 10)]


def test_packages_are_counted_over_the_period():
    assert shown(rate(a_line(a_package_price(), "3", before="17", part=LinePart.MID))) == []
    assert shown(rate(a_line(a_package_price(), "4", before="17", part=LinePart.MID))) == [
        ("usage", 1, 15)
    ]


def test_the_first_part_pays_for_every_package_begun():
    # Not a case that billing makes: a first part with usage before it. The rule is literal.
    assert shown(rate(a_line(a_package_price(), "5", before="17"))) == [("usage", 3, 15)]


def test_packages_may_be_of_any_size():
    price = a_package_price(size="0.3")

    assert shown(rate(a_line(price, "0.9"))) == [("usage", 3, 15)]
    assert shown(rate(a_line(price, "0.90001"))) == [("usage", 4, 15)]


def test_products_beyond_28_digits_are_exact():
    amount = "123456789012345678901234567890.12345"

    (line,) = rate(a_line(a_unit_price(amount), "1000000")).lines

    assert line.total == Decimal("123456789012345678901234567890123450")


def test_a_line_of_many_digits_is_rated_and_totalled_without_loss():
    largest = "9" * 38 + "." + "9" * 38
    price = a_unit_price(largest, maximum=largest)

    rating = rate(a_line(price, largest, billed=largest, discount_percentage=half_off()))

    assert rating.totals.total == 0


def credit(amount, id="c1"):
    return CreditAllocation(credit_id=id, amount=number(amount))


def test_credits_pay_the_first_line_first():
    lines = rate(a_line(a_tiered_price(), "7")).lines

    paid = pay_with_credits(lines, [credit("30"), credit("90", "c2")])

    assert [[(c.credit_id, c.amount) for c in line.credits] for line in paid] == [
        [],
        [("c1", 30), ("c2", 70)],
        [("c2", 20)],
    ]
    assert [line.total for line in paid] == [0, 0, 30]


def test_credits_come_after_the_discounts_and_pay_minimums_too():
    line = a_line(a_unit_price(minimum=8), "1", discount_percentage=half_off())

    paid = pay_with_credits(rate(line).lines, [credit("6")])

    assert [(one.totals.credits, one.total) for one in paid] == [(5, 0), (1, 2)]


def test_credits_can_be_added_to_lines_that_have_some():
    lines = pay_with_credits(rate(a_line()).lines, [credit("4")])

    (paid,) = pay_with_credits(lines, [credit("5", "c2")])

    assert [c.credit_id for c in paid.credits] == ["c1", "c2"]
    assert paid.total == 1


def refusal(lines, credits):
    with pytest.raises(Refused) as refused:
        pay_with_credits(lines, credits)
    return refused.value


def test_more_credit_than_there_is_to_pay_is_refused():
    found = refusal(rate(a_line()).lines, [credit("7"), credit("5.5")])

    assert (found.code, found.field) == ("invoice_line_credits_not_consumed_fully", "$.credits")
    assert str(found) == "2.5 of the credits found nothing to pay"


def test_a_negative_credit_is_refused():
    found = refusal(rate(a_line()).lines, [credit("1"), credit("-1")])

    assert (found.code, found.field) == ("field_must_be_positive_or_zero", "$.credits[1].amount")


def test_a_credit_in_less_than_minor_units_is_refused():
    yen = rate(a_line(currency=fiat("JPY"))).lines

    found = refusal(yen, [credit("1"), credit("0.5")])

    assert (found.code, found.field) == ("number_out_of_range", "$.credits[1].amount")
    assert str(found) == "0.5 is not in minor units of JPY"


def test_no_credits_change_nothing():
    lines = rate(a_line()).lines

    assert pay_with_credits(lines, []) == lines
    assert pay_with_credits((), []) == ()
    assert pay_with_credits(lines, [credit("0")]) == tuple(
        replace(line, credits=()) for line in lines
    )
