"""Values in cases, read exactly or refused by the name of their field, and written back."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum

import pytest

from domain.errors import Refused
from domain.time.interval import Interval
from runtime.simulate import document
from runtime.simulate.document import read_document, written
from runtime.simulate.reading import (
    MAX_DIGITS,
    Fields,
    UnknownField,
    WrongInput,
    choice,
    duration,
    flag,
    inside,
    list_of,
    map_of,
    number,
    text,
    time,
    whole,
)
from runtime.simulate.writing import decimal_text, interval_texts, json_number, time_text

NINES = "9" * MAX_DIGITS


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (1, "1"),
        ("1", "1"),
        ("-0.10", "-0.10"),
        (Decimal("1e3"), "1E+3"),
        ("+1E-2", "0.01"),
        (NINES, NINES),
        (f"-{NINES}.{NINES}", f"-{NINES}.{NINES}"),
    ],
)
def test_a_number_keeps_its_digits(value, read):
    assert number(value, "$.n").compare_total(Decimal(read)) == 0


@pytest.mark.parametrize(
    "value",
    [
        True, "", " 1", "1 ", "1\n", "one", "NaN", "Infinity", Decimal("NaN"), Decimal("-Infinity"), "1_000", "0x1", "\u0661",
        "1,5", ".5", "5.", [], {}, "1" + "0" * MAX_DIGITS, "1e38", "1e-39", "0." + "0" * MAX_DIGITS + "1", "1e999", "9" * 81,
    ],
)  # fmt: skip
def test_what_is_no_number_or_too_long_a_one_is_named(value):
    with pytest.raises(WrongInput) as wrong:
        number(value, "$.n")

    assert wrong.value.field == "$.n"
    assert str(wrong.value).startswith("$.n: ")


@pytest.mark.parametrize(("value", "read"), [(3, 3), ("3.0", 3), (Decimal("-3"), -3)])
def test_a_whole_number(value, read):
    assert whole(value, "$.n") == read


@pytest.mark.parametrize(
    ("written_", "read"),
    [
        ("2024-01-31T02:00:00+02:00", datetime(2024, 1, 31, tzinfo=UTC)),
        ("2024-01-31T00:00:00.123456789Z", datetime(2024, 1, 31, 0, 0, 0, 123_456, tzinfo=UTC)),
        ("2024-01-30T14:00:00-10:00", datetime(2024, 1, 31, tzinfo=UTC)),
    ],
)
def test_a_time_is_read_in_utc(written_, read):
    at = time(written_, "$.at")

    assert at == read
    assert at.utcoffset() == timedelta(0)
    assert type(at) is datetime


@pytest.mark.parametrize(
    ("reader", "value"),
    [
        (whole, "3.5"),
        (flag, 1),
        (flag, "true"),
        (text, ""),
        (text, 5),
        (text, "x" * 1_025),
        (time, "2024-01-31T24:00:00Z"),
        (time, 0),
        (duration, "P"),
        (choice(Colour), "green"),
        (choice(Colour), ["red"]),
        (list_of(text), {}),
        (map_of(text), []),
    ],
)
def test_a_value_of_another_kind_is_named(reader, value):
    with pytest.raises(WrongInput) as wrong:
        reader(value, "$.here")

    assert wrong.value.field == "$.here"


def test_an_element_is_named_by_its_place_and_a_member_by_its_name():
    with pytest.raises(WrongInput) as of_list:
        list_of(flag)([True, 1], "$.flags")
    with pytest.raises(WrongInput) as of_map:
        map_of(number)({"g1": 1, "a b": None}, "$.balances")

    assert of_list.value.field == "$.flags[1]"
    assert of_map.value.field == "$.balances['a b']"


def test_null_and_absent_are_not_given():
    fields = Fields({"a": None, "b": False}, "$[2]")

    assert fields.optional("a", flag) is None
    assert fields.optional("c", flag) is None
    assert fields.optional("b", flag) is False
    with pytest.raises(WrongInput) as wrong:
        fields.get("a", flag)
    assert wrong.value.field == "$[2].a"


def test_every_field_that_nothing_reads_is_warned_of():
    fields = Fields({"id": 1, "a": 1, "b": 2, "c": None})
    fields.get("a", number)

    with pytest.warns(UnknownField, match=r"^\$\.b: ") as warned:
        fields.done()

    assert len(warned) == 1


def test_a_refusal_names_its_field_from_the_root():
    with pytest.raises(Refused) as named, inside("$.grants[0].recurrence"):
        raise Refused("code", "message", "$.interval")
    with pytest.raises(Refused) as whole_, inside("$.grants[0]"):
        raise Refused("code", "message")

    assert (named.value.field, named.value.code) == ("$.grants[0].recurrence.interval", "code")
    assert whole_.value.field == "$.grants[0]"


def test_json_keeps_the_digits_of_its_numbers():
    long = "0.12345678901234567890123456789012345678"

    read = read_document(f'{{"a": {long}, "b": 1e2, "c": NaN}}'.encode())

    assert isinstance(read, dict)
    assert str(read["a"]) == long
    assert read["b"] == 100
    assert isinstance(read["c"], Decimal)
    assert written({"a": read["a"]}) == f'{{\n  "a": {long}\n}}'


def test_a_byte_order_mark_is_no_fault():
    assert read_document('\ufeff{"a": 1}'.encode()) == {"a": 1}


def test_a_name_that_occurs_twice_is_named():
    with pytest.raises(WrongInput) as wrong:
        read_document(b'{"grants": [{"amount": 1, "amount": 2}]}')

    assert wrong.value.field == "amount"


def test_too_long_an_input_is_not_read(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(document, "MAX_INPUT_BYTES", 9)

    assert read_document(b'{"a": 12}') == {"a": 12}
    with pytest.raises(WrongInput):
        read_document(b'{"a": 123}')


@pytest.mark.parametrize(
    ("value", "shown"),
    [("1.50", "1.5"), ("100", "100"), ("1E+3", "1000"), ("-0.00", "0"), ("-0", "0"), ("-0.5", "-0.5"), ("1E-8", "0.00000001")],
)  # fmt: skip
def test_money_has_no_exponent_and_no_trailing_zeros(value, shown):
    assert decimal_text(Decimal(value)) == shown


def test_a_whole_number_is_written_without_a_point():
    assert written({"a": json_number(Decimal("80.00"))}) == '{\n  "a": 80\n}'
    assert json_number(Decimal("0.5")) == Decimal("0.5")


def test_times_are_written_in_utc_with_the_digits_they_need():
    at = datetime(2024, 1, 31, 0, 0, 0, 500_000, tzinfo=UTC)

    assert time_text(at) == "2024-01-31T00:00:00.5Z"
    assert interval_texts(Interval(start=at.replace(microsecond=0), end=None)) == [
        "2024-01-31T00:00:00Z",
        None,
    ]
