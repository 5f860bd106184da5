"""What a feature may be."""

from decimal import Decimal

import pytest

from domain.errors import Refused
from domain.features.unit_cost import LlmCost, ManualCost, TokenType
from tests.builders import a_meter
from tests.customer_builders import a_feature

METER = a_meter(groups={"model": "$.model", "provider": "$.provider"})


def code_of(call) -> str:
    with pytest.raises(Refused) as told:
        call()
    return told.value.code


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"key": "Calls"}, "key_invalid"),
        ({"key": "a__b"}, "key_invalid"),
        ({"key": "k" * 65}, "key_invalid"),
        ({"key": "01hzy3v8q1m2n3p4r5s6t7v8w9"}, "key_is_id"),
        ({"name": ""}, "length_invalid"),
        ({"name": "n" * 257}, "length_invalid"),
        ({"name": "a\0b"}, "text_invalid"),
        ({"metadata": {"a": "m" * 65_536}}, "metadata_too_large"),
        ({"filters": {"zone": {"$eq": "a"}}}, "invalid_group_by_filter"),
        ({"filters": {"model": {"$eq": "a", "$ne": "b"}}}, "invalid_filter"),
        ({"filters": {"model": {"$in": ["a", "\0"]}}}, "text_invalid"),
        ({"filters": {"model": {"$in": ["m" * 65_536]}}}, "filters_too_large"),
        ({"filters": {"model": {"$like": "m" * 4_097}}}, "pattern_too_long"),
    ],
)
def test_what_a_feature_cannot_have_is_refused(more, code):
    assert code_of(lambda: a_feature(meter=METER, **more)) == code


@pytest.mark.parametrize("aggregation", ["AVG", "MIN", "MAX"])
def test_a_meter_that_no_balance_can_be_kept_of_is_refused(aggregation):
    meter = a_meter(aggregation=aggregation)

    assert code_of(lambda: a_feature(meter=meter)) == "aggregation_not_supported"


@pytest.mark.parametrize("aggregation", ["SUM", "COUNT", "UNIQUE_COUNT", "LATEST"])
def test_a_feature_knows_its_meter(aggregation):
    made = a_feature(meter=a_meter(aggregation=aggregation, groups={"model": "$.model"}), filters={"model": {}})  # fmt: skip

    assert (made.meter_slug, made.filters) == ("tokens", {"model": {}})


def test_filters_need_a_meter():
    assert code_of(lambda: a_feature(filters={"model": {"$eq": "a"}})) == "invalid_group_by_filter"


def test_the_price_of_a_model_needs_a_meter_and_its_groups():
    read = LlmCost(provider="p", model_property="model", token_type=TokenType.INPUT)
    foreign = LlmCost(provider_property="zone", model="m", token_type=TokenType.INPUT)

    assert a_feature(meter=METER, unit_cost=read).unit_cost == read
    assert code_of(lambda: a_feature(meter=METER, unit_cost=foreign)) == "unit_cost_invalid"
    assert code_of(lambda: a_feature(unit_cost=read)) == "unit_cost_needs_meter"


@pytest.mark.parametrize(
    ("cost", "code"),
    [
        (lambda: ManualCost(amount=Decimal("-0.01")), "unit_cost_negative"),
        (lambda: ManualCost(amount=Decimal("1e28")), "number_out_of_range"),
        (lambda: LlmCost(provider="p", model="m"), "unit_cost_invalid"),
        (lambda: LlmCost(provider="p", model="m", token_type=TokenType.INPUT, model_property="x"), "unit_cost_invalid"),
        (lambda: LlmCost(provider="", model="m", token_type=TokenType.INPUT), "length_invalid"),
    ],
)  # fmt: skip
def test_a_unit_cost_that_says_nothing_is_refused(cost, code):
    assert code_of(cost) == code
