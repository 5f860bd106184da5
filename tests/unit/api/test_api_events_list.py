"""Lists of events over HTTP: what is refused, what reaches the store, how events look."""

import base64
import json
from datetime import timedelta
from urllib.parse import quote

import pytest

from domain.metering.filters import AllOf, TextOp, TextTest, TimeTest
from tests.api_app import AnApp, a_stored_event, problem_of

NOON_MS = 1_772_712_000_000  # 2026-03-05T12:00:00Z, the fakes' now


def filtered(value) -> str:
    return f"/api/v2/events?filter={quote(json.dumps(value))}"


def cursor(text: str) -> str:
    return quote(base64.b64encode(text.encode()).decode())


@pytest.mark.parametrize(
    "query",
    [
        "from=2026-02-01T11:59:59Z",
        "ingestedAtFrom=2026-02-01T11:59:59Z",
        "from=2026-03-04T00:00:00Z&to=2026-03-03T00:00:00Z",
        "ingestedAtFrom=2026-03-04T00:00:00Z&ingestedAtTo=2026-03-03T00:00:00Z",
        "to=2026-01-20T00:00:00Z",
        "from=yesterday",
        "from=2026-03-01",
        "from=",
        "limit=0",
        "limit=101",
        "limit=ten",
        "limit=",
        "limit=1_0",
        "limit=1&limit=2",
        "clientId=",
        f"clientId={'x' * 37}",
        "subject=",
        "subject=a&subject=b",
        "id=",
        "customerId=",
        "customerId=x",
        "customerId=01ARZ3NDEKTSV4RRFFQ69G5FAV",
        "subject=%ff",
    ],
)
async def test_a_v1_list_that_makes_no_sense_is_refused(query):
    app = AnApp()

    answer = await app.get(f"/api/v1/events?{query}")

    assert problem_of(answer)[0] == 400, answer.text
    assert app.events.asked == []


async def test_a_v1_list_covers_32_days_by_default():
    app = AnApp()

    await app.get("/api/v1/events")

    start_ms = NOON_MS + 1000 - int(timedelta(days=32).total_seconds()) * 1000
    (asked,) = app.events.asked
    assert asked.time == AllOf((TimeTest(TextOp.GTE, start_ms),))
    assert (asked.limit, asked.ingested, asked.before, dict(asked.fields)) == (100, None, None, {})


async def test_v1_parameters_reach_the_store():
    app = AnApp()

    answer = await app.get(
        "/api/v1/events?subject=a,%27b&id=%25x&from=2026-03-04T12:00:00.7Z&to=2026-03-05T13:00:00%2B01:00"
        "&ingestedAtFrom=2026-03-05T11:00:00.25Z&ingestedAtTo=2026-03-05T12:00:00Z&limit=7&clientId=c&zzz="
    )

    assert answer.status_code == 200
    (asked,) = app.events.asked
    assert asked.fields == {
        "subject": TextTest(TextOp.EQ, "a,'b"),
        "id": TextTest(TextOp.LIKE, "%%x%"),
    }
    assert asked.time == AllOf(
        (TimeTest(TextOp.GTE, NOON_MS - 86_400_000), TimeTest(TextOp.LT, NOON_MS))
    )
    assert asked.ingested == AllOf(
        (TimeTest(TextOp.GTE, NOON_MS - 3_600_000 + 250), TimeTest(TextOp.LT, NOON_MS))
    )
    assert asked.limit == 7


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=101",
        "limit=x",
        "cursor=",
        "cursor=abc",
        "cursor=bm90IGEgY3Vyc29y",
        f"cursor={cursor('2026-03-05T12:00:00Z,1-2')}",
        f"cursor={cursor('yesterday,1-2-3')}",
        f"cursor={cursor(f'2026-03-05T12:00:00Z,1-2-{1 << 64}')}",
        "cursor=%ff",
        "cursor=a&cursor=b",
        f"clientId={'x' * 37}",
        "filter=x",
        "filter=null",
        "filter=[]",
        "filter=%7B",
    ],
)
async def test_a_v2_page_that_makes_no_sense_is_refused(query):
    answer = await AnApp().get(f"/api/v2/events?{query}")

    assert problem_of(answer)[0] == 400, answer.text


@pytest.mark.parametrize(
    "given",
    [
        {"id": None},
        {"id": "x"},
        {"id": {"$eq": 5}},
        {"id": {"$eq": ""}},
        {"id": {"$in": "x"}},
        {"id": {"$eq": "a", "$ne": "b"}},
        {"id": {"$or": [{"$and": [{"$eq": "a"}]}]}},
        {"time": {"$gt": "yesterday"}},
        {"time": {"$gt": "2026-03-05T12:00:00Z", "$lt": "2026-03-05T13:00:00Z"}},
        {"time": {"$and": [{"$or": [{"$gt": "2026-03-05T12:00:00Z"}]}]}},
        {"ingestedAt": None},
        {"customerId": {"$in": ["x"]}},
        {"customerId": {"$in": ["01ARZ3NDEKTSV4RRFFQ69G5FAV"]}},
        {"customerId": None},
    ],
)
async def test_a_v2_filter_that_makes_no_sense_is_refused(given):
    app = AnApp()

    answer = await app.get(filtered(given))

    assert problem_of(answer)[0] == 400, answer.text
    assert app.events.asked == []


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"colour": 5},
        {"id": {}},
        {"id": {"$regex": "x"}},
        {"id": {"$eq": None}},
        {"id": {"$and": []}},
        {"time": {"$eq": "2026-03-05T12:00:00Z"}},
        {"customerId": {"$eq": "x"}},
        {"customerId": {"$in": []}},
        {"customerId": {"$in": None}},
    ],
)
async def test_what_a_v2_filter_does_not_know_is_ignored(given):
    app = AnApp()

    answer = await app.get(filtered(given))

    assert answer.status_code == 200
    (asked,) = app.events.asked
    assert (dict(asked.fields), asked.time, asked.ingested) == ({}, None, None)


async def test_v2_filters_reach_the_store():
    app = AnApp()

    await app.get(
        filtered(
            {
                "id": {"$in": []},
                "source": {"$like": "a%"},
                "subject": {"$ne": "s"},
                "type": {"$gte": "t"},
                "time": {"$gte": "2026-03-05T12:00:00.9Z"},
                "ingestedAt": {"$lt": "2026-03-05T13:00:00.25+01:00"},
            }
        )
    )

    (asked,) = app.events.asked
    assert asked.fields == {
        "id": TextTest(TextOp.IN, ()),
        "source": TextTest(TextOp.LIKE, "a%"),
        "subject": TextTest(TextOp.NE, "s"),
        "type": TextTest(TextOp.GTE, "t"),
    }
    assert asked.time == TimeTest(TextOp.GTE, NOON_MS)
    assert asked.ingested == TimeTest(TextOp.LT, NOON_MS + 250)


async def test_a_full_page_names_the_next_which_begins_after_it():
    app = AnApp()
    app.events.events = [a_stored_event("e1"), a_stored_event("e2", position=5)]

    full = (await app.get("/api/v2/events?limit=2")).json()
    short = (await app.get("/api/v2/events?limit=3")).json()
    await app.get(f"/api/v2/events?limit=2&cursor={quote(full['nextCursor'])}")

    assert "nextCursor" not in short
    assert app.events.asked[-1].before == (1_709_632_800, 1_709_632_801_234, 2, 5)


async def test_an_event_is_shown_with_what_it_has():
    app = AnApp()
    await app.with_meter(aggregation="COUNT")
    app.events.events = [
        a_stored_event("object"),
        a_stored_event("null", data="null"),
        a_stored_event("none", data=""),
    ]

    shown = (await app.get("/api/v1/events")).json()

    assert shown[0] == {
        "event": {
            "specversion": "1.0",
            "id": "object",
            "source": "test",
            "type": "request",
            "subject": "s1",
            "time": "2024-03-05T10:00:00Z",
            "datacontenttype": "application/json",
            "data": {"n": 1},
        },
        "ingestedAt": "2024-03-05T10:00:01.234000Z",
        "storedAt": "2024-03-05T10:00:02Z",
        "validationError": "no customer found for event subject: s1",
    }
    assert shown[1]["event"]["data"] is None
    assert not shown[2]["event"].keys() & {"data", "datacontenttype"}


async def test_the_problems_of_an_event_are_told_a_line_each():
    app = AnApp()
    await app.with_meter("a")
    await app.with_meter("b")
    app.events.events = [
        a_stored_event(data='{"n":"four"}'),
        a_stored_event(type="other"),
        a_stored_event(data="{broken"),
    ]

    shown = [one["validationError"].split("\n") for one in (await app.get("/api/v1/events")).json()]

    nobody = "no customer found for event subject: s1"
    four = "invalid event: value cannot be parsed as float64: four"
    assert shown[0] == [four, four, nobody]
    assert shown[1] == ["no meter found for event type: other", nobody]
    assert shown[2][0].startswith("invalid event: failed to parse event data")
