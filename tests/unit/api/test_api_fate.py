"""What became of an event, and the day's events by subject, over HTTP."""

from datetime import timedelta

import pytest

from domain.metering.verdicts import StoredVerdict
from schemas.position import position
from tests.api_app import AnApp, problem_of
from tests.builders import NOON
from tests.unit.api.test_api_rejected import a_refused_record


def a_verdict(**more) -> StoredVerdict:
    values = {
        "id": "e1",
        "source": "test",
        "type": "request",
        "subject": "s1",
        "time_s": 1_709_632_800,
        "ingested_ms": 1_709_632_801_234,
        "stored_ms": 1_709_632_802_000,
        "partition": 2,
        "position": position(7, 0),
        "accepted": True,
    }
    return StoredVerdict(**{**values, **more})


def a_place(offset, index=0, partition=2):
    return {
        "topic": "om_default_events",
        "partition": partition,
        "offset": offset,
        "index": index,
    }


async def stored(app, query="id=e1"):
    answer = await app.get(f"/api/v1/events/fate?{query}")
    assert answer.status_code == 200, answer.text
    return answer.json()["stored"]


async def test_a_duplicate_names_the_position_of_the_event_that_counted():
    app = AnApp()
    app.verdicts.verdicts = [
        a_verdict(),
        a_verdict(position=position(9, 3), ingested_ms=1_709_632_809_000, accepted=False),
    ]

    first, second = await stored(app)

    assert (first["verdict"], first["at"]) == ("accepted", a_place(7))
    assert "duplicateOf" not in first
    assert (second["verdict"], second["at"]) == ("duplicate", a_place(9, 3))
    assert second["duplicateOf"] == a_place(7)


async def test_the_same_id_of_another_source_or_subject_is_not_the_original():
    app = AnApp()
    app.verdicts.verdicts = [
        a_verdict(source="other"),
        a_verdict(position=position(8, 0), subject="s2"),
        a_verdict(position=position(9, 0), accepted=False),
    ]

    *_, last = await stored(app)

    assert last["verdict"] == "duplicate"
    assert "duplicateOf" not in last


async def test_after_the_dedupe_window_the_later_event_is_the_original():
    app = AnApp()
    app.verdicts.verdicts = [
        a_verdict(),
        a_verdict(position=position(8, 0)),
        a_verdict(position=position(9, 0), accepted=False),
    ]

    *_, last = await stored(app)

    assert last["duplicateOf"] == a_place(8)


async def test_what_was_refused_is_looked_for_by_the_id_as_it_is_and_as_json_writes_it():
    app = AnApp()
    app.rejected.records = [a_refused_record(value='{"id":"é\\"1"}'.encode())]

    answer = await app.get("/api/v1/events/fate", params={"id": 'é"1'})

    assert answer.json()["stored"] == []
    assert [one["code"] for one in answer.json()["rejected"]] == ["time_out_of_range"]
    (asked,) = app.rejected.asked
    assert set(asked.containing) == {'é"1'.encode(), b'\\u00e9\\"1', 'é\\"1'.encode()}
    assert asked.fits(app.rejected.records[0])
    assert not asked.fits(a_refused_record(value=b'{"id":"2"}'))


async def test_an_answer_that_may_lack_something_says_so():
    app = AnApp()
    app.rejected.next = (1, 2, 3)

    answer = await app.get("/api/v1/events/fate?id=e1")

    assert answer.json() == {"stored": [], "rejected": [], "complete": False}


@pytest.mark.parametrize(
    "query",
    [
        "",
        "id=",
        "id=a&id=b",
        "id=a&from=yesterday",
        "id=a&from=2026-03-05T12:00:00Z&to=2026-03-05T11:00:00Z",
        "id=a&subject=",
    ],
)
async def test_a_question_that_makes_no_sense_is_refused(query):
    app = AnApp()

    answer = await app.get(f"/api/v1/events/fate?{query}")

    assert problem_of(answer)[0] == 400, answer.text
    assert app.verdicts.asked == []


async def test_debug_metrics_count_since_midnight_utc_by_subject():
    app = AnApp()
    app.verdicts.counted = [("customer-1", 42), ('a"b\\\n', 1)]

    answer = await app.get("/api/v1/debug/metrics")

    assert app.verdicts.asked == [(NOON - timedelta(hours=12)).timestamp()]
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.text.splitlines() == [
        "# HELP openmeter_events Number of ingested events",
        "# TYPE openmeter_events counter",
        "# UNIT openmeter_events events",
        'openmeter_events_total{subject="customer-1"} 42.0',
        'openmeter_events_total{subject="a\\"b\\\\\\n"} 1.0',
        "# EOF",
    ]
