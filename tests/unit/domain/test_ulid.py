"""ULIDs: text and bytes are the same thing, and their order is the order of time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.metering.ulid import is_ulid, new_ulid, ulid_bytes, ulid_text


def test_the_text_of_a_known_ulid():
    assert new_ulid(1_469_918_176_385, bytes(10)) == "01ARYZ6S410000000000000000"
    assert ulid_text(b"\xff" * 16) == "7" + "Z" * 25


@given(st.binary(min_size=16, max_size=16))
def test_bytes_become_text_and_back(raw):
    text = ulid_text(raw)

    assert is_ulid(text)
    assert ulid_bytes(text) == raw == ulid_bytes(text.lower())


@given(st.integers(0, 2**48 - 1), st.integers(0, 2**48 - 1), st.binary(min_size=10, max_size=10))
def test_later_ulids_sort_after_earlier_ones(a, b, randomness):
    assert (new_ulid(a, randomness) < new_ulid(b, randomness)) == (a < b)


@pytest.mark.parametrize(
    "text",
    ["", "0" * 25, "0" * 27, "8" + "0" * 25, "0" * 25 + "I", "0" * 25 + "é", "0" * 26 + "\n"],
)
def test_other_text_is_no_ulid(text):
    assert not is_ulid(text)
    with pytest.raises(ValueError, match="not a ULID"):
        ulid_bytes(text)


def test_too_little_randomness_is_refused():
    with pytest.raises(ValueError, match="10 random bytes"):
        new_ulid(0, bytes(9))
