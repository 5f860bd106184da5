"""Cases of numbers worth naming; the laws are in tests/property, the engine's view in tests/contract."""

from decimal import Decimal

import pytest

from domain.metering.numbers import json_number, json_text, read_number


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (4, 4),
        (Decimal("0.1"), Decimal("0.1")),
        ("0.2", Decimal("0.2")),
        ("4.5e2", 450),
        (9007199254740993, 9007199254740993),
        (10**28 - 1, 10**28 - 1),
        (10**28, 1e28),
        (Decimal("1E-38"), Decimal("1E-38")),
        (Decimal("1E-39"), 1e-39),
        (Decimal("0.5" + "0" * 60), Decimal("0.5")),
        (Decimal("1e300"), 1e300),
        ("-1e300", -1e300),
        (Decimal("5e-324"), 5e-324),
        (Decimal("1E-400"), 0),
        (Decimal("0E+99999"), 0),
        ("0e99999999999999999999", 0),
        (Decimal("1E+400"), None),
        (10**400, None),
        ("1e99999999999999999999", None),
        ("0x10", None),
        (" 4", None),
        ("", None),
        ("NaN", None),
        ("-Infinity", None),
        ("four", None),
        (True, None),
        (None, None),
        ([1], None),
        ({"x": 1}, None),
    ],
)
def test_what_a_value_counts_as(value, number):
    found = read_number(value)

    assert found == number
    assert isinstance(found, float) == isinstance(number, float)


@pytest.mark.parametrize(
    "value", [Decimal("0E+99999"), Decimal("-0.0"), "0e5", "-0", Decimal("1E-400")]
)
def test_every_zero_is_the_plain_one(value):
    assert type(read_number(value)) is int


def test_a_tenth_and_two_tenths_are_three():
    assert read_number(Decimal("0.1")) + read_number("0.2") == Decimal("0.3")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("x", "x"),
        (7, "7"),
        (2**70, str(2**70)),
        (Decimal("1.0"), "1"),
        (Decimal("1.10"), "1.1"),
        (Decimal("1E+5"), "1e+05"),
        (Decimal("120000.0"), "120000"),
        (Decimal("0.001"), "0.001"),
        (Decimal("0.0001"), "1e-04"),
        (Decimal("0.00012"), "0.00012"),
        (Decimal("-12.50"), "-12.5"),
        (Decimal("1E-7"), "1e-07"),
        (Decimal("-0.0"), "-0"),
        (Decimal("1E+400"), ""),
        (True, "true"),
        (False, "false"),
        (None, "null"),
        ([1], ""),
        ({}, ""),
    ],
)
def test_the_text_of_a_value(value, text):
    assert json_text(value) == text


def test_a_number_for_json_is_whole_only_where_a_double_is():
    assert isinstance(json_number(5), int)
    assert json_number(2**53 + 1) == 2.0**53
    assert json_number(Decimal("0.3")) == 0.3
    assert json_number(Decimal("123456789.123456789")) == 123456789.12345679
