"""Laws of numbers: what is read is exact where it can be, and a double of the same size elsewhere."""

from decimal import Decimal
from fractions import Fraction
from math import isfinite

from hypothesis import given
from hypothesis import strategies as st

from domain.metering.numbers import EXACT_LIMIT, json_number, json_text, read_number

decimals = st.decimals(allow_nan=False, allow_infinity=False)
numbers = (
    st.integers(-(10**40), 10**40)
    | decimals
    | st.builds(Decimal, st.floats(allow_nan=False, allow_infinity=False))
)


@given(numbers)
def test_a_number_is_exact_inside_the_lane_and_a_double_outside(value):
    number = read_number(value)

    if abs(Fraction(value)) < EXACT_LIMIT and (Fraction(value) * 10**38).denominator == 1:
        assert not isinstance(number, float)
        assert number == value
    elif isfinite(float(value)):
        assert float(number) == float(value)
        assert isinstance(number, float) or number == 0
    else:
        assert number is None


@given(numbers)
def test_a_number_and_its_text_count_alike(value):
    assert read_number(str(value)) == read_number(value)


@given(
    st.text()
    | st.none()
    | st.booleans()
    | st.lists(st.integers())
    | st.dictionaries(st.text(), st.integers())
)
def test_what_is_no_number_is_none_and_never_raises(value):
    number = read_number(value)

    assert number is None or (isinstance(value, str) and isfinite(float(number)))


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_the_text_of_a_double_reads_back_as_the_same_double(double):
    assert float(json_text(Decimal(repr(double)))) == double


@given(numbers)
def test_a_number_for_json_is_the_nearest_double(value):
    number = read_number(value)

    if number is not None:
        assert float(json_number(number)) == float(number)
