"""Features over HTTP: what is refused, what is shown."""

import pytest

from tests.api_app import AnApp, problem_of
from tests.builders import ULIDS

PATH = "/api/v1/features"
BODY = {"key": "calls", "name": "Calls", "meterSlug": "tokens"}
LLM = {"type": "llm", "provider": "openai", "modelProperty": "model", "tokenType": "input"}


async def an_app(**more):
    app = AnApp()
    app.meter = await app.with_meter(groups={"model": "$.model", "zone": "$.zone"}, **more)
    return app


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"key": ...}, "invalid_body"),
        ({"key": None}, "invalid_body"),
        ({"key": ""}, "invalid_body"),
        ({"key": "Capital"}, "invalid_body"),
        ({"key": "x\n"}, "invalid_body"),
        ({"key": "a" * 65}, "invalid_body"),
        ({"key": "01hzy3v8q1m2n3p4r5s6t7v8w9"}, "key_is_id"),
        ({"name": ...}, "invalid_body"),
        ({"name": None}, "invalid_body"),
        ({"name": "a\0b"}, "text_invalid"),
        ({"name": "n" * 100_000}, "invalid_body"),
        ({"metadata": {"a": 1}}, "invalid_body"),
        ({"metadata": None}, "invalid_body"),
        ({"meterSlug": ""}, "invalid_body"),
        ({"meterSlug": "a b"}, "invalid_body"),
        ({"meterGroupByFilters": {"model": 5}}, "invalid_body"),
        ({"meterGroupByFilters": {"colour": "x"}}, "invalid_group_by_filter"),
        ({"meterSlug": ..., "meterGroupByFilters": {"model": "x"}}, "invalid_group_by_filter"),
        ({"advancedMeterGroupByFilters": {"colour": {}}}, "invalid_group_by_filter"),
        ({"advancedMeterGroupByFilters": {"model": "x"}}, "invalid_body"),
        ({"advancedMeterGroupByFilters": {"model": {"$eq": ""}}}, "invalid_filter"),
        ({"advancedMeterGroupByFilters": {"model": {"$eq": "a", "$ne": "b"}}}, "invalid_filter"),
        ({"advancedMeterGroupByFilters": {"model": {"$and": [{"$or": [{"$eq": "a"}]}]}}}, "invalid_filter"),
        ({"advancedMeterGroupByFilters": {"model": {"$in": ["\0"]}}}, "text_invalid"),
        ({"advancedMeterGroupByFilters": {"model": {"$like": "%" * 5000}}}, "pattern_too_long"),
        ({"unitCost": {}}, "invalid_body"),
        ({"unitCost": {"type": "free"}}, "invalid_body"),
        ({"unitCost": {"type": "manual"}}, "invalid_body"),
        ({"unitCost": {"type": "manual", "amount": 1}}, "invalid_body"),
        ({"unitCost": {"type": "manual", "amount": "1e3"}}, "invalid_body"),
        ({"unitCost": {"type": "manual", "amount": "NaN"}}, "invalid_body"),
        ({"unitCost": {"type": "manual", "amount": "1" * 100_000}}, "invalid_body"),
        ({"unitCost": {"type": "manual", "amount": "1" * 29}}, "number_out_of_range"),
        ({"unitCost": {"type": "manual", "amount": "-0.5"}}, "unit_cost_negative"),
        ({"unitCost": {**LLM, "tokenType": "thinking"}}, "invalid_body"),
        ({"unitCost": {**LLM, "model": "gpt"}}, "unit_cost_invalid"),
        ({"unitCost": {**LLM, "modelProperty": "nope"}}, "unit_cost_invalid"),
        ({"unitCost": {"type": "llm", "provider": "p"}}, "unit_cost_invalid"),
        ({"unitCost": LLM, "meterSlug": ...}, "unit_cost_needs_meter"),
    ],
)  # fmt: skip
async def test_a_feature_that_breaks_a_rule_is_refused(change, code):
    app = await an_app()
    body = {name: value for name, value in {**BODY, **change}.items() if value is not ...}

    answer = await app.post(PATH, body)

    assert problem_of(answer)[:2] == (400, code), answer.text
    assert (await app.get(PATH)).json() == []


@pytest.mark.parametrize("content", [b"", b"[]", b'{"key": "\\ud800"}', b"[" * 5000])
async def test_a_body_that_is_none_is_refused(content):
    answer = await AnApp().client.post(
        PATH, content=content, headers={"content-type": "application/json"}
    )

    assert problem_of(answer)[0] == 400


async def test_a_meter_is_named_by_slug_or_id_and_lives():
    app = await an_app()

    by_id = await app.post(PATH, {**BODY, "meterSlug": app.meter.id})
    by_lower_id = await app.post(PATH, {**BODY, "key": "b", "meterSlug": app.meter.id.lower()})
    unknown = await app.post(PATH, {**BODY, "key": "c", "meterSlug": "nobody"})

    assert [made.json()["meterSlug"] for made in (by_id, by_lower_id)] == ["tokens", "tokens"]
    assert problem_of(unknown)[:2] == (404, "not_found")


async def test_a_deleted_meter_is_404():
    app = await an_app()
    await app.request("DELETE", "/api/v1/meters/tokens")

    for meter in ("tokens", app.meter.id):
        assert problem_of(await app.post(PATH, {**BODY, "meterSlug": meter}))[0] == 404


async def test_a_meter_that_no_balance_can_be_kept_of_is_refused():
    app = AnApp()
    await app.with_meter(aggregation="AVG")

    assert problem_of(await app.post(PATH, BODY))[:2] == (400, "aggregation_not_supported")


@pytest.mark.parametrize(
    ("given", "plain", "advanced"),
    [
        ({}, None, None),
        ({"meterGroupByFilters": {}}, None, None),
        ({"meterGroupByFilters": {"model": ""}}, {"model": ""}, {"model": {"$eq": ""}}),
        (
            {"meterGroupByFilters": {"model": "a", "zone": "b"}},
            {"model": "a", "zone": "b"},
            {"model": {"$eq": "a"}, "zone": {"$eq": "b"}},
        ),
        (
            {"advancedMeterGroupByFilters": {"model": {"$eq": "a", "$ne": None, "$new": 1}}},
            {"model": "a"},
            {"model": {"$eq": "a"}},
        ),
        (
            {"meterGroupByFilters": {"zone": "z"}, "advancedMeterGroupByFilters": {"model": {"$ne": "a"}}},
            None,
            {"model": {"$ne": "a"}},
        ),
        (
            {"advancedMeterGroupByFilters": {"model": {"$or": [{"$eq": "a"}, {"$in": []}]}, "zone": {"$eq": "z"}}},
            None,
            {"model": {"$or": [{"$eq": "a"}, {"$in": []}]}, "zone": {"$eq": "z"}},
        ),
    ],
)  # fmt: skip
async def test_filters_are_shown_as_given_and_plain_ones_when_all_are(given, plain, advanced):
    app = await an_app()

    shown = (await app.post(PATH, {**BODY, **given})).json()

    assert shown.get("meterGroupByFilters") == plain
    assert shown.get("advancedMeterGroupByFilters") == advanced


@pytest.mark.parametrize(
    ("cost", "shown"),
    [
        ({"type": "manual", "amount": "0.002500"}, {"type": "manual", "amount": "0.0025"}),
        ({"type": "manual", "amount": "100"}, {"type": "manual", "amount": "100"}),
        ({"type": "manual", "amount": "-0.00"}, {"type": "manual", "amount": "0"}),
        (
            {"type": "manual", "amount": "12345678901234567890123456.123456789"},
            {"type": "manual", "amount": "12345678901234567890123456.123456789"},
        ),
        ({**LLM, "pricing": {"inputPerToken": "1"}}, LLM),
    ],
)
async def test_unit_costs_are_shown_exactly(cost, shown):
    app = await an_app()

    made = await app.post(PATH, {**BODY, "unitCost": cost})

    assert made.json()["unitCost"] == shown
    assert (await app.get(f"{PATH}/calls")).json() == made.json()


async def test_an_archived_feature_is_gone_and_its_key_is_free():
    app = await an_app()
    first = (await app.post(PATH, BODY)).json()

    taken = await app.post(PATH, BODY)
    archived = await app.request("DELETE", f"{PATH}/calls")
    second = await app.post(PATH, BODY)

    assert problem_of(taken)[:2] == (409, "conflict")
    assert (archived.status_code, second.status_code) == (204, 201)
    for method in ("GET", "DELETE"):
        answer = await app.request(method, f"{PATH}/{first['id']}")
        assert problem_of(answer)[:2] == (404, "not_found")
    listed = (await app.get(f"{PATH}?includeArchived=true&orderBy=createdAt")).json()
    assert ["archivedAt" in one for one in listed] == [True, False]


@pytest.mark.parametrize("path", ["x" * 60_000, "%00", "%FF", "a%2Fb", "Capital", ULIDS[99]])
async def test_a_path_that_names_no_feature_is_404(path):
    for method in ("GET", "DELETE"):
        assert problem_of(await AnApp().request(method, f"{PATH}/{path}"))[0] == 404


@pytest.mark.parametrize(
    "query",
    [
        "orderBy=id",
        "orderBy=colour",
        "order=up",
        "page=0",
        "pageSize=1001",
        "limit=0",
        "limit=1001",
        "offset=-1",
        "meterSlug=",
        "includeArchived=2",
    ],
)
async def test_a_list_that_makes_no_sense_is_refused(query):
    assert problem_of(await AnApp().get(f"{PATH}?{query}"))[0] == 400


async def test_a_list_is_an_array_or_with_page_parameters_a_page():
    app = await an_app()
    for key, name in (("c", "1"), ("a", "3"), ("b", "2")):
        await app.post(PATH, {"key": key, "name": name})
    await app.post(PATH, {"key": "d", "name": "0", "meterSlug": "tokens"})

    async def keys(query):
        found = (await app.get(f"{PATH}?{query}")).json()
        items = found["items"] if isinstance(found, dict) else found
        return isinstance(found, dict), [one["key"] for one in items]

    assert await keys("") == (False, ["a", "b", "c", "d"])
    assert await keys("orderBy=name&order=DESC") == (False, ["a", "b", "c", "d"])
    assert await keys("limit=2&offset=1") == (False, ["b", "c"])
    assert await keys("pageSize=3&page=2&offset=1") == (True, ["d"])
    assert await keys("page=1") == (True, ["a", "b", "c", "d"])
    assert await keys("meterSlug=tokens&meterSlug=x") == (False, ["d"])
    page = (await app.get(f"{PATH}?pageSize=2")).json()
    assert {name: page[name] for name in ("totalCount", "page", "pageSize")} == {
        "totalCount": 4,
        "page": 1,
        "pageSize": 2,
    }


async def test_a_meter_in_use_is_not_deleted_and_keeps_what_is_filtered_on():
    app = await an_app()
    await app.post(PATH, {**BODY, "meterGroupByFilters": {"model": "a"}})

    deleted = await app.request("DELETE", "/api/v1/meters/tokens")
    regrouped = await app.request("PUT", "/api/v1/meters/tokens", json={"groupBy": {"zone": "$.z"}})
    app.features.entitled.add((await app.get(f"{PATH}/calls")).json()["id"])
    await app.request("DELETE", f"{PATH}/calls")
    entitled = await app.request("DELETE", "/api/v1/meters/tokens")

    for answer in (deleted, regrouped, entitled):
        assert problem_of(answer)[:2] == (409, "conflict")
