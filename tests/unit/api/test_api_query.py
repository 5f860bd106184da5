"""Questions to meters over HTTP: what is refused, what reaches the reader, how answers look."""

import json
from decimal import Decimal
from urllib.parse import quote

import pytest

from domain.metering.filters import AllOf, AnyOf, TextOp, TextTest
from domain.metering.query import ResultRow
from domain.metering.windows import WindowSize, utc
from tests.api_app import AnApp, problem_of

PATH = "/api/v1/meters/tokens/query"
HOUR = 1_709_632_800  # 2024-03-05T10:00:00Z
GROUPS = {"g": "$.g", "model": "$.model", "subject": "$.s"}


async def an_app(**more):
    app = AnApp()
    await app.with_meter(groups=GROUPS, **more)
    return app


def filters(value) -> str:
    return f"advancedMeterGroupByFilters={quote(json.dumps(value))}"


@pytest.mark.parametrize(
    "query",
    [
        "from=2024-03-05T10:00:00Z&to=2024-03-05T10:00:00Z",
        "from=2024-03-05T11:00:00Z&to=2024-03-05T10:00:00Z",
        "from=2024-03-05T10:00:00Z&to=2024-03-05T11:00:00%2B01:00",
        "from=2024-03-05",
        "from=",
        "to=now",
        "from=2024-03-05T10:00:00",
        "from=2024-03-05T10:00Z",
        "from=2024-03-05T10:00:00+01:00",  # an unescaped plus is a space
        "from=2024-02-30T10:00:00Z",
        "from=1709632800",
        "from=2024-03-05T10:00:00Z&from=2024-03-05T10:00:00Z",
        "windowSize=WEEK",
        "windowSize=day",
        "windowSize=",
        "windowTimeZone=Mars/Base",
        "windowTimeZone=../../etc/passwd",
        "windowTimeZone=UTC&windowTimeZone=UTC",
        "groupBy=colour",
        "groupBy=",
        "groupBy=g&groupBy=",
        "groupBy=customer_id",
        "subject=",
        "subject=a&subject=",
        "subject=%ff",
        "clientId=",
        f"clientId={'x' * 37}",
        "filterGroupBy[colour]=red",
        "filterGroupBy%5Bcolour%5D=red",
        "filterGroupBy[g]=a&filterGroupBy[g]=b",
        "filterGroupBy[g][x]=a",
        "filterGroupBy[]=a",
        "advancedMeterGroupByFilters=g",
        "advancedMeterGroupByFilters=null",
        "advancedMeterGroupByFilters=[]",
        "advancedMeterGroupByFilters={",
        filters({"colour": {"$eq": "red"}}),
        filters({"g": "a"}),
        filters({"g": None}),
        filters({"g": {"$eq": 5}}),
        filters({"g": {"$in": "a"}}),
        filters({"g": {"$in": [None]}}),
        filters({"g": {"$eq": ""}}),
        filters({"g": {"$eq": "a", "$ne": "b"}}),
        filters({"g": {"$and": [{"$or": [{"$eq": "a"}]}]}}),
        filters({"g": {"$eq": "a"}}) + "&filterGroupBy[g]=a",
    ],
)
async def test_a_question_that_makes_no_sense_is_refused(query):
    app = await an_app()

    answer = await app.get(f"{PATH}?{query}")

    assert problem_of(answer)[0] == 400, answer.text
    assert app.usage.asked == []


@pytest.mark.parametrize(
    "body",
    [
        {"from": None},
        {"from": "2024-03-05"},
        {"from": 1709632800},
        {"windowSize": None},
        {"windowSize": "WEEK"},
        {"windowTimeZone": "Mars/Base"},
        {"windowTimeZone": None},
        {"subject": "a"},
        {"subject": [None]},
        {"subject": None},
        {"subject": [f"s{i}" for i in range(101)]},
        {"filterCustomerId": "x"},
        {"groupBy": "g"},
        {"groupBy": ["colour"]},
        {"groupBy": ["customer_id"]},
        {"groupBy": ["g"] * 101},
        {"clientId": ""},
        {"filterGroupBy": {"g": "a"}},
        {"filterGroupBy": {"g": None}},
        {"filterGroupBy": {"colour": ["red"]}},
        {"filterGroupBy": {"g": ["a"]}, "advancedMeterGroupByFilters": {"g": {"$eq": "a"}}},
        {"advancedMeterGroupByFilters": {"g": None}},
        {"from": "2024-03-05T10:00:00Z", "to": "2024-03-05T09:00:00Z"},
        [],
        None,
    ],
)
async def test_a_body_that_makes_no_sense_is_refused(body):
    app = await an_app()

    answer = await app.post(PATH, body, headers={"content-type": "application/json"})

    assert problem_of(answer)[0] == 400, answer.text
    assert app.usage.asked == []


@pytest.mark.parametrize("customer", ["01ARZ3NDEKTSV4RRFFQ69G5FAV", "x"])
async def test_an_unknown_customer_is_404(customer):
    app = await an_app()

    by_parameter = await app.get(f"{PATH}?filterCustomerId={customer}")
    by_body = await app.post(PATH, {"filterCustomerId": [customer]})

    assert problem_of(by_parameter)[:2] == problem_of(by_body)[:2] == (404, "not_found")


async def test_parameters_reach_the_reader():
    app = await an_app()

    answer = await app.get(
        f"{PATH}?from=2024-03-05T10:00:00.9Z&to=2024-03-05T12:30:00%2B01:00&windowSize=HOUR"
        "&windowTimeZone=Europe/Berlin&subject=b&subject=a&subject=b&groupBy=model&groupBy=g"
        "&groupBy=model&filterGroupBy[g]=x,y&clientId=dash-1&limit=3&colour=red"
    )

    (asked,) = app.usage.asked
    assert answer.json() == {
        "from": "2024-03-05T10:00:00.900000Z",
        "to": "2024-03-05T11:30:00Z",
        "windowSize": "HOUR",
        "data": [],
    }
    assert (asked.start, asked.end) == (HOUR, HOUR + 5400)
    assert (asked.window_size, asked.zone) == (WindowSize.HOUR, "Europe/Berlin")
    assert (asked.by_subject, asked.subjects) == (True, ("b", "a"))
    assert asked.group_by == ("model", "g")
    assert asked.group_filters == (("g", TextTest(TextOp.IN, ("x,y",))),)


async def test_a_body_asks_the_same_as_parameters():
    app = await an_app()

    await app.get(f"{PATH}?from=2024-03-05T10:00:00Z&subject=a&groupBy=g&filterGroupBy[g]=x")
    await app.post(
        PATH,
        {
            "from": "2024-03-05T10:00:00Z",
            "subject": ["a"],
            "groupBy": ["g"],
            "filterGroupBy": {"g": ["x"]},
        },
    )

    assert app.usage.asked[0] == app.usage.asked[1]


async def test_an_empty_zone_is_utc():
    app = await an_app()

    await app.get(f"{PATH}?windowTimeZone=")
    await app.post(PATH, {"windowTimeZone": ""})

    assert [asked.zone for asked in app.usage.asked] == ["UTC", "UTC"]


async def test_empty_lists_in_a_body():
    app = await an_app()

    await app.post(
        PATH, {"subject": [], "filterCustomerId": [], "groupBy": [], "filterGroupBy": {"g": []}}
    )

    (asked,) = app.usage.asked
    assert (asked.by_subject, asked.subjects) == (True, None)
    assert (asked.group_by, asked.group_filters) == ((), ())


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, None),
        ({"$eq": None}, None),
        ({"$regex": "x"}, None),
        ({"$and": []}, None),
        ({"$or": [{}]}, None),
        ({"$eq": "a"}, TextTest(TextOp.EQ, "a")),
        ({"$in": []}, TextTest(TextOp.IN, ())),
        ({"$nin": ["a", ""]}, TextTest(TextOp.NIN, ("a", ""))),
        ({"$ilike": "A%"}, TextTest(TextOp.ILIKE, "A%")),
        (
            {"$and": [{"$gt": "a"}, {"$lte": "b"}]},
            AllOf((TextTest(TextOp.GT, "a"), TextTest(TextOp.LTE, "b"))),
        ),
        ({"$or": [{"$eq": "a"}]}, AnyOf((TextTest(TextOp.EQ, "a"),))),
    ],
)
async def test_filters_of_groups(given, expected):
    app = await an_app()

    await app.get(f"{PATH}?{filters({'g': given})}")
    await app.post(PATH, {"advancedMeterGroupByFilters": {"g": given}})

    for asked in app.usage.asked:
        assert asked.group_filters == (() if expected is None else (("g", expected),))


async def test_a_group_called_subject_is_filtered_and_grouped_by_the_events_subject():
    app = await an_app()

    await app.get(f"{PATH}?groupBy=subject&filterGroupBy[subject]=s1")

    (asked,) = app.usage.asked
    assert (asked.by_subject, asked.group_by) == (True, ())
    assert asked.subject_filters == (TextTest(TextOp.IN, ("s1",)),)
    assert asked.group_filters == ()


@pytest.mark.parametrize(
    ("query", "start", "end"),
    [
        ("", HOUR, None),
        ("from=2024-03-05T09:00:00Z", HOUR, None),
        ("from=2024-03-05T11:00:00Z", HOUR + 3600, None),
        ("to=2024-03-05T11:00:00Z", HOUR, HOUR + 3600),
        ("from=0001-01-01T00:00:00Z&to=9999-12-31T23:59:59Z", HOUR, None),
        ("to=0001-01-01T00:00:00Z", HOUR, 0),
    ],
)
async def test_nothing_before_event_from_is_asked_for(query, start, end):
    app = await an_app(event_from=utc(HOUR))

    await app.get(f"{PATH}?{query}")

    assert (app.usage.asked[0].start, app.usage.asked[0].end) == (start, end)


ROWS = [
    ResultRow(
        window_start=HOUR,
        window_end=HOUR + 3600,
        value=Decimal("1.5"),
        groups={"g": "", "model": "x"},
    ),
    ResultRow(
        window_start=HOUR, window_end=HOUR + 3600, value=31, groups={"g": 'a,"b"', "model": "y"}
    ),
]


async def test_rows_as_json():
    app = await an_app()
    app.usage.rows = ROWS

    answer = await app.get(f"{PATH}?windowSize=HOUR&groupBy=g&groupBy=model")

    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["data"] == [
        {
            "value": 1.5,
            "windowStart": "2024-03-05T10:00:00Z",
            "windowEnd": "2024-03-05T11:00:00Z",
            "subject": None,
            "groupBy": {"g": "", "model": "x"},
        },
        {
            "value": 31,
            "windowStart": "2024-03-05T10:00:00Z",
            "windowEnd": "2024-03-05T11:00:00Z",
            "subject": None,
            "groupBy": {"g": 'a,"b"', "model": "y"},
        },
    ]


async def test_without_windows_the_bounds_are_shown_as_they_were_given():
    app = await an_app()
    app.usage.rows = [ResultRow(window_start=HOUR, window_end=HOUR + 3600, value=Decimal("15.000"))]

    bounds = "from=2024-03-05T11:00:00.25%2B01:00&to=2024-03-05T11:00:00.001Z"
    (row,) = (await app.get(f"{PATH}?{bounds}")).json()["data"]
    (windowed,) = (await app.get(f"{PATH}?{bounds}&windowSize=HOUR")).json()["data"]

    assert row["windowStart"] == "2024-03-05T10:00:00.250000Z"
    assert row["windowEnd"] == "2024-03-05T11:00:00.001000Z"
    assert windowed["windowStart"] == "2024-03-05T10:00:00Z"
    assert repr(row["value"]) == "15"


async def test_rows_as_csv_have_the_groups_in_the_order_asked_and_six_decimals():
    app = await an_app()
    app.usage.rows = ROWS

    answer = await app.get(
        f"{PATH}?windowSize=HOUR&groupBy=model&groupBy=g", headers={"accept": "text/csv"}
    )

    assert answer.headers["content-type"].split(";")[0] == "text/csv"
    assert answer.headers["content-disposition"] == "attachment; filename=tokens.csv"
    assert answer.text == (
        "window_start,window_end,model,g,value\n"
        "2024-03-05T10:00:00Z,2024-03-05T11:00:00Z,x,,1.500000\n"
        '2024-03-05T10:00:00Z,2024-03-05T11:00:00Z,y,"a,""b""",31.000000\n'
    )


@pytest.mark.parametrize(
    ("accept", "csv"),
    [
        ("text/csv", True),
        ("text/csv; charset=utf-8", True),
        ("TEXT/CSV", True),
        ("application/json, text/csv", False),
        ("text/csv, application/json", False),
        ("text/html", False),
        ("*/*", False),
        ("", False),
        (";;;", False),
    ],
)
async def test_csv_only_when_it_alone_is_asked_for(accept, csv):
    app = await an_app()

    for answer in (
        await app.get(PATH, headers={"accept": accept}),
        await app.post(PATH, {}, headers={"accept": accept}),
    ):
        assert answer.headers["content-type"].startswith("text/csv") is csv


async def test_a_refusal_is_never_csv():
    app = await an_app()

    answer = await app.get(f"{PATH}?windowSize=WEEK", headers={"accept": "text/csv"})

    assert problem_of(answer) == (400, "invalid_parameter", "windowSize")


@pytest.mark.parametrize(
    ("path", "query", "status"),
    [
        ("subjects", "", 200),
        ("subjects", "search=x", 200),
        ("subjects", "from=soon", 400),
        ("subjects", "from=2024-03-05T10:00:00Z&to=2024-03-05T10:00:00Z", 400),
        ("group-by/g/values", "", 200),
        ("group-by/g/values", "from=never", 400),
        ("group-by/g/values", "from=2026-03-05T10:00:00Z&to=2026-03-05T10:00:00Z", 400),
        ("group-by/g/values", "from=2026-03-05T10:00:00Z&to=2026-03-05T09:00:00Z", 400),
        ("group-by/g/values", "from=2025-12-04T12:00:00Z", 400),  # 91 days
        ("group-by/g/values", "from=2025-12-05T12:00:00Z", 200),  # 90 days
        ("group-by/g/values", "from=2026-02-01T00:00:00Z&to=2026-03-03T00:00:00Z", 200),
        ("group-by/g/values", "from=2026-02-01T00:00:00Z&to=2026-03-03T00:00:01Z", 400),
        ("group-by/colour/values", "", 400),
        ("group-by/a%2Fb/values", "", 400),
    ],
)
async def test_values_of_a_meter(path, query, status):
    app = await an_app()
    app.usage.texts = ["", "a"]

    answer = await app.get(f"/api/v1/meters/tokens/{path}?{query}")

    assert answer.status_code == status
    assert status != 200 or answer.json() == ["", "a"]


async def test_values_without_bounds_are_those_of_a_day():
    app = await an_app()

    await app.get("/api/v1/meters/tokens/group-by/g/values")
    await app.get("/api/v1/meters/tokens/group-by/g/values?to=2026-03-05T12:00:00Z")

    day = int(app.now.timestamp()) - 86_400
    assert app.usage.asked == [("g", day, None), ("g", None, day + 86_400)]
