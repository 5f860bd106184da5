"""Meters over HTTP: what is refused, what is shown."""

import pytest

from tests.api_app import AnApp, problem_of

BODY = {"slug": "tokens", "aggregation": "SUM", "eventType": "request", "valueProperty": "$.n"}


@pytest.mark.parametrize(
    "change",
    [
        {"slug": ...},
        {"slug": None},
        {"slug": ""},
        {"slug": "Capital"},
        {"slug": "two__lines"},
        {"slug": "_x"},
        {"slug": "x\n"},
        {"slug": "x'; DROP TABLE meters; --"},
        {"slug": "a" * 65},
        {"slug": 5},
        {"aggregation": ...},
        {"aggregation": "sum"},
        {"aggregation": "MEDIAN"},
        {"aggregation": None},
        {"eventType": ...},
        {"eventType": ""},
        {"eventType": "a\0b"},
        {"valueProperty": ...},
        {"valueProperty": None},
        {"valueProperty": ""},
        {"valueProperty": "n"},
        {"valueProperty": "$.["},
        {"valueProperty": "$..n"},
        {"valueProperty": "$." + "n" * 5000},
        {"aggregation": "COUNT"},
        {"name": ""},
        {"name": None},
        {"name": "n" * 257},
        {"name": "a\0b"},
        {"description": None},
        {"description": "d" * 1025},
        {"metadata": {"a": 1}},
        {"metadata": {"a": None}},
        {"metadata": []},
        {"groupBy": None},
        {"groupBy": []},
        {"groupBy": {"x": 5}},
        {"groupBy": {"x": None}},
        {"groupBy": {"x": ""}},
        {"groupBy": {"x": "x"}},
        {"groupBy": {"x": "$.n"}},
        {"groupBy": {"two words": "$.x"}},
        {"groupBy": {"9lives": "$.x"}},
        {"eventFrom": "last week"},
        {"eventFrom": "2024-01-01"},
        {"eventFrom": 1709251200},
        {"eventFrom": None},
    ],
)
async def test_a_meter_that_breaks_a_rule_is_refused(change):
    app = AnApp()
    body = {name: value for name, value in {**BODY, **change}.items() if value is not ...}

    answer = await app.post("/api/v1/meters", body)

    assert problem_of(answer)[0] == 400, answer.text
    assert (await app.get("/api/v1/meters")).json() == []


@pytest.mark.parametrize(
    ("content", "content_type", "code"),
    [
        (b"", "application/json", "body_missing"),
        (b"null", "application/json", "invalid_body"),
        (b"[]", "application/json", "invalid_body"),
        (b'{"slug": ', "application/json", "invalid_json"),
        (b'{"slug": "\xff"}', "application/json", "invalid_json"),
        (b'{"slug": "\\ud800"}', "application/json", "invalid_json"),
        (b"[" * 5000, "application/json", "invalid_body"),
        (b"{}", "text/plain", "invalid_content_type"),
        (b"{}", "", "invalid_content_type"),
    ],
)
async def test_a_body_that_is_none_is_refused(content, content_type, code):
    answer = await AnApp().client.post(
        "/api/v1/meters", content=content, headers={"content-type": content_type}
    )

    assert problem_of(answer)[:2] == (400, code)


async def test_a_new_meter_is_shown_with_what_was_filled_in():
    app = AnApp()

    answer = await app.post(
        "/api/v1/meters", {**BODY, "id": "mine", "createdAt": 1, "unheardOf": {"x": None}}
    )

    assert answer.status_code == 200
    shown = answer.json()
    assert {key: shown[key] for key in BODY} == BODY
    assert shown["name"] == "tokens"
    assert (shown["annotations"], shown["metadata"]) == (None, None)
    assert shown["createdAt"] == "2026-03-05T12:00:00Z"
    assert not shown.keys() & {"groupBy", "description", "deletedAt", "eventFrom"}


async def test_times_are_shown_in_utc():
    answer = await AnApp().post(
        "/api/v1/meters", {**BODY, "eventFrom": "2024-05-01T02:00:00.5+02:00"}
    )

    assert answer.json()["eventFrom"] == "2024-05-01T00:00:00.500000Z"


async def test_a_charset_parameter_does_not_matter():
    answer = await AnApp().post(
        "/api/v1/meters", BODY, headers={"content-type": "Application/JSON; charset=UTF-8"}
    )

    assert answer.status_code == 200


async def test_reserved_event_types_are_refused():
    answer = await AnApp(reserved=("_system*",)).post(
        "/api/v1/meters", {**BODY, "eventType": "_system.x"}
    )

    assert problem_of(answer) == (400, "event_type_reserved", "$.eventType")


async def test_a_slug_is_taken_until_its_meter_is_deleted():
    app = AnApp()
    first = (await app.post("/api/v1/meters", BODY)).json()

    taken = await app.post("/api/v1/meters", BODY)
    deleted = await app.request("DELETE", "/api/v1/meters/tokens")
    again = await app.request("DELETE", f"/api/v1/meters/{first['id']}")
    free = await app.post("/api/v1/meters", BODY)

    assert problem_of(taken)[:2] == (409, "conflict")
    assert (deleted.status_code, again.status_code, free.status_code) == (204, 204, 200)
    old = (await app.get(f"/api/v1/meters/{first['id'].lower()}")).json()
    assert old["deletedAt"]
    assert (await app.get("/api/v1/meters/tokens")).json()["id"] == free.json()["id"]


async def test_a_put_replaces_and_keeps_only_the_description():
    app = AnApp()
    whole = {"name": "N", "description": "D", "metadata": {"a": "1"}, "groupBy": {"g": "$.g"}}
    await app.post("/api/v1/meters", {**BODY, **whole})

    answer = await app.request("PUT", "/api/v1/meters/tokens", json={"slug": "x", "aggregation": 1})

    shown = answer.json()
    assert (shown["name"], shown["description"], shown["metadata"]) == ("tokens", "D", None)
    assert "groupBy" not in shown
    assert shown["slug"] == "tokens"


@pytest.mark.parametrize(
    "body",
    [
        {"name": ""},
        {"name": None},
        {"description": ""},
        {"description": None},
        {"groupBy": None},
        {"groupBy": {"a-b": "$.q"}},
        {"groupBy": {"a": "$.n"}},
        {"metadata": {"a": 5}},
        None,
    ],
)
async def test_a_put_that_breaks_a_rule_changes_nothing(body):
    app = AnApp()
    before = (await app.post("/api/v1/meters", BODY)).json()

    answer = await app.request("PUT", "/api/v1/meters/tokens", json=body)

    assert problem_of(answer)[0] == 400
    assert (await app.get("/api/v1/meters/tokens")).json() == before


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 200),
        ("page=2&pageSize=1", 200),
        ("page=0", 400),
        ("pageSize=0", 400),
        ("pageSize=1001", 400),
        ("page=1&page=2", 400),
        ("page=", 400),
        ("page=one", 400),
        ("page=1.5", 400),
        ("order=DESC", 200),
        ("order=", 200),
        ("order=desc", 400),
        ("orderBy=name", 200),
        ("orderBy=updatedAt", 200),
        ("orderBy=", 400),
        ("orderBy=id", 400),
        ("includeDeleted=true", 200),
        ("includeDeleted=0", 200),
        ("includeDeleted=maybe", 400),
        ("includeDeleted=", 400),
        ("unknown=1&unknown=2", 200),
    ],
)
async def test_parameters_of_the_list(query, status):
    answer = await AnApp().get(f"/api/v1/meters?{query}")

    assert answer.status_code == status


async def test_the_list_is_whole_and_ordered():
    app = AnApp()
    for slug in ("b", "a", "c"):
        await app.with_meter(slug, name={"a": "z", "b": "y", "c": "x"}[slug])
    await app.request("DELETE", "/api/v1/meters/c")

    async def slugs(query):
        return [meter["slug"] for meter in (await app.get(f"/api/v1/meters?{query}")).json()]

    assert await slugs("") == ["a", "b"]
    assert await slugs("order=DESC&pageSize=1") == ["b", "a"]
    assert await slugs("orderBy=name&includeDeleted=true") == ["c", "b", "a"]
