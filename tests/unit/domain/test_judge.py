"""What is said of an event when events are listed."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from domain.metering.jsonpath import MISSING
from domain.metering.judge import SECOND_MAX, SECOND_MIN, problems
from domain.metering.meter import Aggregation, new_meter

AT = datetime(2026, 3, 5, tzinfo=UTC)


def a_meter(aggregation="SUM", event_type="request"):
    return new_meter(
        id="01ARZ3NDEKTSV4RRFFQ69G5FAV",
        namespace="default",
        slug="m",
        aggregation=Aggregation(aggregation),
        event_type=event_type,
        value_property=None if aggregation == "COUNT" else "$.n",
        group_by={"g": "$.g"},
        at=AT,
    )


@pytest.mark.parametrize("value", [4, Decimal("1.5"), "4.5e2", 10**30, "0"])
def test_a_number_fits(value):
    assert problems("request", {"n": value}, [a_meter()]) == []


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (MISSING, "invalid event: null and missing value property"),
        (None, "invalid event: null and missing value property"),
        ({}, 'invalid event: missing value property: "$.n"'),
        ({"m": 4}, 'invalid event: missing value property: "$.n"'),
        ({"n": None}, "invalid event: value cannot be null"),
        ({"n": "four"}, "invalid event: value cannot be parsed as float64: four"),
        ({"n": ""}, "invalid event: value cannot be parsed as float64: "),
        ({"n": "0x10"}, "invalid event: value cannot be parsed as float64: 0x10"),
        ({"n": " 4"}, "invalid event: value cannot be parsed as float64:  4"),
        ({"n": "1e400"}, "invalid event: value cannot be parsed as float64: 1e400"),
        ({"n": "NaN"}, "invalid event: value cannot be NaN"),
        ({"n": "-Infinity"}, "invalid event: value cannot be infinity"),
        ({"n": Decimal("1E+400")}, "invalid event: value cannot be infinity"),
        ({"n": True}, "invalid event: unsupported value property type: bool"),
        ({"n": [1]}, "invalid event: unsupported value property type: array"),
        ({"n": {"x": 1}}, "invalid event: unsupported value property type: object"),
    ],
)
def test_what_keeps_a_value_from_counting(data, text):
    assert problems("request", data, [a_meter()]) == [text]


def test_an_event_of_a_type_that_no_live_meter_counts():
    gone = replace(a_meter(), deleted_at=AT)

    for meters in ([], [gone], [a_meter(event_type="other")]):
        assert problems("request", {"n": 1}, meters) == ["no meter found for event type: request"]


def test_counts_need_no_number():
    assert problems("request", MISSING, [a_meter("COUNT")]) == []
    assert problems("request", {"n": [1]}, [a_meter("UNIQUE_COUNT")]) == []
    assert problems("request", {"n": None}, [a_meter("UNIQUE_COUNT")]) != []


def test_every_meter_speaks():
    assert len(problems("request", {"n": "x"}, [a_meter(), a_meter("COUNT"), a_meter("MAX")])) == 2


def test_times_that_count_begin_after_1970_and_end_with_2299():
    assert datetime.fromtimestamp(SECOND_MIN, UTC).isoformat() == "1970-01-01T00:00:01+00:00"
    assert datetime.fromtimestamp(SECOND_MAX, UTC).isoformat() == "2299-12-31T23:59:59+00:00"
