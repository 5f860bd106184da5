"""The filters of a feature."""

import pytest

from domain.entitlements.features import group_filters
from domain.errors import Refused
from domain.metering.filters import AllOf, AnyOf, TextOp, TextTest, text_matches


def test_a_filter_of_each_operator_becomes_its_test():
    found = group_filters(
        {
            "zone": {"$in": ["a", "b"]},
            "model": {"$eq": "gpt-4"},
            "tier": {"$or": [{"$like": "a%"}, {"$and": [{"$gte": "x"}, {"$ne": "y"}]}]},
        }
    )

    assert found == (
        ("model", TextTest(TextOp.EQ, "gpt-4")),
        (
            "tier",
            AnyOf(
                (
                    TextTest(TextOp.LIKE, "a%"),
                    AllOf((TextTest(TextOp.GTE, "x"), TextTest(TextOp.NE, "y"))),
                )
            ),
        ),
        ("zone", TextTest(TextOp.IN, ("a", "b"))),
    )


@pytest.mark.parametrize("nothing", [{}, {"$eq": None}, {"$and": []}, {"$or": [{}]}])
def test_a_filter_that_asks_for_nothing_is_left_out(nothing):
    assert group_filters({"model": nothing}) == ()


def test_a_missing_group_value_is_the_empty_text():
    [(_, test)] = group_filters({"model": {"$ne": "gpt-4"}})

    assert text_matches(test, "")


@pytest.mark.parametrize(
    "wrong",
    [
        {"$eq": "a", "$ne": "b"},
        {"$eq": 1},
        {"$eq": ["a"]},
        {"$in": "a"},
        {"$in": [1]},
        {"$and": {"$eq": "a"}},
        {"$exists": True},
        "gpt-4",
        None,
    ],
)
def test_what_is_no_filter_is_refused_with_its_key(wrong):
    with pytest.raises(Refused) as told:
        group_filters({"model": wrong})

    assert (told.value.code, told.value.field) == ("invalid_filter", "model")


def test_endless_nesting_is_refused():
    deep = {"$eq": "a"}
    for _ in range(10_000):
        deep = {"$and": [deep]}

    with pytest.raises(Refused):
        group_filters({"model": deep})
