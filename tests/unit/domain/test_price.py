"""What may be a price."""

from decimal import Decimal

import pytest

from domain.errors import Refused
from domain.rating.discounts import PercentageDiscount, UsageDiscount
from domain.rating.price import MAX_TIERS, TierMode, in_order
from domain.rating.unit_conversion import Operation, UnitConfig
from tests.rating import (
    a_dynamic_price,
    a_flat_price,
    a_line,
    a_package_price,
    a_tier,
    a_tiered_price,
    a_unit_price,
    limits,
)

NEGATIVE, POSITIVE = "field_must_be_positive_or_zero", "field_must_be_positive"


def refusal(make) -> tuple[str, str | None]:
    """Code and field of the refusal, which has to say something."""
    with pytest.raises(Refused, match=r"\w+\W+\w+") as refused:
        make()
    return refused.value.code, refused.value.field


@pytest.mark.parametrize(
    ("make", "code", "field"),
    [
        (lambda: a_flat_price("-1"), NEGATIVE, "amount"),
        (lambda: a_unit_price("-0.01"), NEGATIVE, "amount"),
        (lambda: a_unit_price("NaN"), "number_not_finite", "amount"),
        (lambda: a_unit_price(minimum=-1), NEGATIVE, "minimum"),
        (lambda: a_unit_price(maximum=-1), NEGATIVE, "maximum"),
        (lambda: a_unit_price(minimum=2, maximum=1), "price_minimum_above_maximum", "minimum"),
        (lambda: a_package_price("-1"), NEGATIVE, "amount"),
        (lambda: a_package_price(size=0), POSITIVE, "quantity_per_package"),
        (lambda: a_dynamic_price("-1"), NEGATIVE, "multiplier"),
        (lambda: a_tier(-1, unit=1), NEGATIVE, "up_to"),
        (lambda: a_tier(1, unit=-1), NEGATIVE, "unit"),
        (lambda: a_tier(1, flat=-1), NEGATIVE, "flat"),
        (lambda: a_tier(1), "price_tier_is_empty", "unit"),
        (
            lambda: UnitConfig(operation=Operation.DIVIDE, factor=Decimal(0)),
            POSITIVE,
            "factor",
        ),
        (
            lambda: UnitConfig(operation=Operation.DIVIDE, factor=Decimal(1), precision=-1),
            "number_out_of_range",
            "precision",
        ),
        (
            lambda: UnitConfig(operation=Operation.DIVIDE, factor=Decimal(1), precision=19),
            "number_out_of_range",
            "precision",
        ),
        (
            lambda: UsageDiscount(quantity=Decimal(-1)),
            "usage_discount_negative_quantity",
            "quantity",
        ),
        (lambda: UsageDiscount(quantity=Decimal("NaN")), "number_not_finite", "quantity"),
        (lambda: a_line(quantity="-1"), NEGATIVE, "quantity"),
        (lambda: a_line(before="-1"), NEGATIVE, "quantity_before_line"),
        (lambda: a_line(billed="-1"), NEGATIVE, "previously_billed"),
        (
            lambda: a_line(a_flat_price(), discount_usage=UsageDiscount(quantity=Decimal(1))),
            "usage_discount_with_flat_price",
            "discount_usage",
        ),
    ],
)
def test_a_wrong_price_is_refused_by_its_field(make, code, field):
    assert refusal(make) == (code, f"$.{field}")


@pytest.mark.parametrize(
    ("ends", "said"),
    [([None, None], "two tiers have no end"), ([5, 5, None], "two tiers end at 5")],
)
def test_tiers_that_overlap_are_told_apart_by_where_they_end(ends, said):
    with pytest.raises(Refused, match=said):
        a_tiered_price(*(a_tier(end, unit=1) for end in ends))


@pytest.mark.parametrize("percentage", ["-1", "100.01", "NaN", "Infinity"])
def test_a_percentage_is_0_to_100(percentage):
    assert refusal(lambda: PercentageDiscount(percentage=Decimal(percentage))) == (
        "percentage_discount_invalid_value",
        "$.percentage",
    )


def test_a_percentage_has_bounds_like_every_number():
    assert refusal(lambda: PercentageDiscount(percentage=Decimal("1E-39"))) == (
        "number_out_of_range",
        "$.percentage",
    )
    assert PercentageDiscount(percentage=Decimal(0)) != PercentageDiscount(percentage=Decimal(100))


@pytest.mark.parametrize("price", [a_flat_price(), a_package_price(), a_dynamic_price()])
def test_units_are_converted_for_unit_and_tiered_prices_only(price):
    config = UnitConfig(operation=Operation.DIVIDE, factor=Decimal(2), precision=18)

    assert refusal(lambda: a_line(price, unit_config=config)) == (
        "unit_config_requires_usage_based_price",
        "$.unit_config",
    )
    assert a_line(a_unit_price(), unit_config=config)
    assert a_line(a_tiered_price(), unit_config=config)


@pytest.mark.parametrize(("minimum", "maximum"), [(1, 1), (2, 0), (0, 2), (None, 1), (1, None)])
def test_limits_that_do_not_contradict_each_other_are_let_in(minimum, maximum):
    assert limits(minimum, maximum).maximum == maximum


@pytest.mark.parametrize("mode", list(TierMode))
@pytest.mark.parametrize(
    ("ends", "code", "field"),
    [
        ([5, 5, None], "price_tiers_overlap", "tiers[1].up_to"),
        ([5, None, None], "price_tiers_overlap", "tiers[2].up_to"),
        ([10, 5, None], "price_tiers_unsorted", "tiers[1].up_to"),
        ([5, None, 10], "price_tiers_unsorted", "tiers[2].up_to"),
        ([5, 10], "invoice_line_missing_open_ended_tier", "tiers[1].up_to"),
        ([*range(1, MAX_TIERS + 1), None], "price_too_many_tiers", "tiers"),
    ],
)
def test_tiers_rise_and_end_open(mode, ends, code, field):
    tiers = [a_tier(end, unit=1) for end in ends]

    assert refusal(lambda: a_tiered_price(*tiers, mode=mode)) == (code, f"$.{field}")


def test_a_price_without_tiers_is_refused():
    def make():
        return type(a_tiered_price())(mode=TierMode.VOLUME, tiers=())

    assert refusal(make) == ("invoice_line_no_tiers", "$.tiers")


def test_as_many_tiers_as_allowed_are_let_in():
    tiers = [a_tier(end, unit=1) for end in [*range(1, MAX_TIERS), None]]

    assert len(a_tiered_price(*tiers).tiers) == MAX_TIERS


def test_a_first_tier_may_end_at_zero():
    assert a_tiered_price(a_tier(0, flat=1), a_tier(unit=1)).tiers[0].up_to == 0


def test_tiers_in_any_order_can_be_put_in_order():
    shuffled = [a_tier(10, unit=1), a_tier(unit=3), a_tier(5, unit=2)]

    assert [tier.up_to for tier in in_order(shuffled)] == [5, 10, None]
