"""The demo's own arithmetic: what is sent, what is expected, and that a difference is seen."""

import subprocess

import msgspec
import pandas
import pytest

from runtime.demo import show
from runtime.demo.errors import DemoProblem
from runtime.demo.flights import read_flights, sending
from runtime.demo.questions import QUESTIONS
from runtime.demo.stack import Stack


@pytest.fixture(scope="module")
def flights():
    return read_flights()


def some_flights():
    rows = [
        ("2013-01-01T10:00:00Z", 15, "UA", "EWR", "IAH", "N14228", 1400, 227.0, 2.0),
        ("2013-02-01T04:00:00Z", 59, "UA", "LGA", "IAH", None, 1416, None, None),
        ("2013-02-01T05:00:00Z", 0, "UA", "LGA", "IAH", "N24211", 1416, 227.0, 4.0),
    ]
    columns = ["time_hour", "minute", "carrier", "origin", "dest", "tailnum", "distance", "air_time", "dep_delay"]  # fmt: skip
    return pandas.DataFrame(rows, columns=columns)


def expected(slug, flights):
    (question,) = [question for question in QUESTIONS if question.slug == slug]
    return question.check(flights)


def test_a_flight_is_an_event_without_the_keys_that_are_not_known():
    sent = sending(some_flights())

    by_id = {event["id"]: event for event in (msgspec.json.decode(v) for _, v in sent.records)}
    assert by_id["flight-1"] == {
        "specversion": "1.0",
        "id": "flight-1",
        "source": "nycflights13",
        "type": "flight",
        "subject": "UA",
        "time": "2013-02-01T04:59:00Z",
        "datacontenttype": "application/json",
        "data": {"origin": "LGA", "dest": "IAH", "distance": 1416},
    }


def test_every_flight_is_sent_once_and_five_in_a_hundred_again_inside_their_day(flights):
    sent = sending(flights)

    events = [msgspec.json.decode(value) for _, value in sent.records]
    days = [event["time"][:10] for event in events]
    assert len({event["id"] for event in events}) == sent.unique == 336_776
    assert len(events) - sent.unique == sent.duplicates
    assert abs(sent.duplicates / sent.unique - 0.05) < 0.0005
    assert days == sorted(days)
    assert [event["time"] for event in events[:900]] != sorted(e["time"] for e in events[:900])


def test_a_month_is_one_of_new_york():
    assert expected("distance", some_flights()) == {
        ("UA", "EWR", "2013-01"): 1400,
        ("UA", "LGA", "2013-01"): 1416,
        ("UA", "LGA", "2013-02"): 1416,
    }


def test_an_unknown_aircraft_is_one_and_an_unknown_delay_none():
    assert expected("aircraft", some_flights()) == {("UA",): 3}
    assert expected("departure_delay", some_flights()) == {("UA",): 3.0}


def test_a_difference_of_any_kind_is_said():
    ours, table = {("UA",): 2.0, ("AA",): 1.0}, {("UA",): 2.5, ("DL",): 1.0}

    assert show.differences(table, table) == []
    assert show.differences(ours, table) == [
        "AA: 1.0 from the API, None from the table",
        "DL: None from the API, 1.0 from the table",
        "UA: 2.0 from the API, 2.5 from the table",
    ]


def test_a_directory_that_no_demo_made_is_left_alone(tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("mine")

    with pytest.raises(DemoProblem, match="was not made by a demo"):
        Stack(tmp_path, keep=False).start()

    assert precious.read_text() == "mine"


def test_why_the_stack_did_not_start_is_said_once(tmp_path):
    stack, said = Stack(tmp_path, keep=False), []
    lines = ["kafka ready", "meterstream: 5 MiB are free", "make room"]
    stack._process = subprocess.Popen(
        ["printf", "%s\\n", *lines], stdout=subprocess.PIPE, text=True
    )

    with stack._process, pytest.raises(DemoProblem) as problem:
        stack.wait_ready(said.append)

    assert str(problem.value) == "5 MiB are free\nmake room"
    assert said == ["kafka ready"]
