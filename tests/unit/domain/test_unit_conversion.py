"""Metered units into the units that are sold."""

from decimal import Decimal

import pytest

from domain.rating.unit_conversion import Operation, Rounding, UnitConfig, convert, convert_part


def config(operation="divide", factor="10", rounding="none", precision=0):
    return UnitConfig(
        operation=Operation(operation),
        factor=Decimal(factor),
        rounding=Rounding(rounding),
        precision=precision,
    )


@pytest.mark.parametrize(
    ("quantity", "how", "converted"),
    [
        ("25", config(), "2.5"),
        ("25", config("multiply"), "250"),
        ("1.5", config("multiply", "0.1"), "0.15"),
        ("0", config(), "0"),
        ("10", config(factor="3"), "3.3333333333333333"),
        ("20", config(factor="3"), "6.6666666666666667"),
        ("1", config(factor="1073741824"), "0.000000000931322574615478515625"),
        ("1", config(factor=str(5**50)), f"{2**50}E-50"),
        ("1", config(factor="7.5"), "0.1333333333333333"),
        ("1", config(factor="6"), "0.1666666666666667"),
        ("25", config(rounding="ceiling"), "3"),
        ("25", config(rounding="floor"), "2"),
        ("25", config(rounding="half_up"), "3"),
        ("24.9", config(rounding="half_up"), "2"),
        ("30", config(rounding="ceiling"), "3"),
        ("30", config(rounding="floor"), "3"),
        ("1.2345", config(rounding="ceiling", precision=2), "0.13"),
        ("1.2345", config(rounding="floor", precision=2), "0.12"),
        ("1.25", config(rounding="half_up", precision=2), "0.13"),
        ("3.00000000000000000000000000000000000001", config(factor="3", rounding="ceiling"), "2"),
        ("2.99999999999999999999999999999999999999", config(factor="3", rounding="floor"), "0"),
        ("25", config(precision=2), "2.5"),
    ],
)
def test_a_quantity_is_converted_exactly_and_then_rounded(quantity, how, converted):
    assert convert(Decimal(quantity), how) == Decimal(converted)


def test_the_largest_quantity_by_the_smallest_factor_is_converted_without_loss():
    largest = Decimal("9" * 38 + "." + "9" * 38)

    found = convert(largest, config(factor="1E-38"))

    assert found == Decimal("9" * 76)


def test_a_part_gets_what_the_period_gains_in_it():
    hours = config(factor="3600", rounding="ceiling")

    assert convert_part(Decimal(1000), Decimal(0), hours) == (1, 0)
    assert convert_part(Decimal(1000), Decimal(1000), hours) == (0, 1)
    assert convert_part(Decimal(2000), Decimal(2000), hours) == (1, 1)
