"""Customers and subjects over HTTP: what is refused, what is shown, and what questions by customer ask for."""

import asyncio
import json
from dataclasses import replace
from urllib.parse import quote

import pytest

from domain.customers.listing import CustomerListing
from domain.metering.query import ResultRow
from tests.api_app import AnApp, a_stored_event, problem_of
from tests.builders import ULIDS

CUSTOMERS = "/api/v1/customers"
SUBJECTS = "/api/v1/subjects"
BODY = {"key": "acme", "name": "Acme"}
QUERY = "/api/v1/meters/tokens/query"
UNKNOWN = ULIDS[99]


async def a_customer(app, key="acme", *subjects, **more):
    body = {"key": key, "name": key, "usageAttribution": {"subjectKeys": list(subjects)}, **more}
    answer = await app.post(CUSTOMERS, body)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


# -- customers


@pytest.mark.parametrize(
    "change",
    [
        {"name": ...},
        {"name": ""},
        {"name": None},
        {"name": "n" * 257},
        {"name": "a\0b"},
        {"name": "n" * 100_000},
        {"key": ""},
        {"key": None},
        {"key": 5},
        {"key": "k" * 257},
        {"key": ...},
        {"key": ..., "usageAttribution": {"subjectKeys": []}},
        {"usageAttribution": None},
        {"usageAttribution": {}},
        {"usageAttribution": {"subjectKeys": None}},
        {"usageAttribution": {"subjectKeys": "s"}},
        {"usageAttribution": {"subjectKeys": [""]}},
        {"usageAttribution": {"subjectKeys": ["a\0b"]}},
        {"usageAttribution": {"subjectKeys": [f"s{n}" for n in range(1001)]}},
        {"description": None},
        {"description": "d" * 1025},
        {"metadata": []},
        {"metadata": {"a": 1}},
        {"primaryEmail": None},
        {"currency": "XQZ"},
        {"currency": "eur"},
        {"currency": None},
        {"billingAddress": None},
        {"billingAddress": {"country": "Netherlands"}},
        {"billingAddress": {"country": "nl"}},
        {"billingAddress": {"city": None}},
        {"billingAddress": {"line1": "a\0b"}},
    ],
)
async def test_a_customer_that_breaks_a_rule_is_refused(change):
    app = AnApp()
    body = {name: value for name, value in {**BODY, **change}.items() if value is not ...}

    made = await app.post(CUSTOMERS, body)
    await app.post(CUSTOMERS, {"key": "acme", "name": "Acme"})
    replaced = await app.request("PUT", f"{CUSTOMERS}/acme", json=body)

    assert problem_of(made)[0] == 400, made.text
    assert problem_of(replaced)[0] == 400, replaced.text


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "body_missing"),
        (b"[]", "invalid_body"),
        (b'{"name": "\\ud800", "key": "k"}', "invalid_json"),
        (b'{"name": "\xff", "key": "k"}', "invalid_json"),
        (b"[" * 5000, "invalid_body"),
    ],
)
async def test_a_body_that_is_none_is_refused(content, code):
    for method, path in (("POST", CUSTOMERS), ("PUT", f"{CUSTOMERS}/acme")):
        answer = await AnApp().request(
            method, path, content=content, headers={"content-type": "application/json"}
        )

        assert problem_of(answer)[:2] == (400, code)


async def test_a_customer_is_shown_without_what_is_empty():
    app = AnApp()

    least = await app.post(
        CUSTOMERS, {**BODY, "metadata": None, "id": "mine", "billingAddress": {}}
    )
    full = {
        "key": "full",
        "name": "Full",
        "description": "<b>",
        "metadata": {"a": "b"},
        "usageAttribution": {"subjectKeys": ["s2", "s1"]},
        "primaryEmail": "a@b.example",
        "currency": "EUR",
        "billingAddress": {"country": "NL", "postalCode": "1", "phoneNumber": "2", "line2": ""},
    }
    most = await app.post(CUSTOMERS, full)

    times = {"createdAt": "2026-03-05T12:00:00Z", "updatedAt": "2026-03-05T12:00:00Z"}
    assert least.status_code == 201
    assert least.json() == {**BODY, **times, "id": least.json()["id"]}
    full["usageAttribution"] = {"subjectKeys": ["s1", "s2"]}
    assert most.json() == {**full, **times, "id": most.json()["id"]}


@pytest.mark.parametrize("key", ["a/b c", "%2F", "ключ", "?#", "..", ".", "a\u2028<b>", "k" * 256])
async def test_a_customer_is_found_by_any_key(key):
    app = AnApp()
    id = await a_customer(app, key)
    path = f"{CUSTOMERS}/{quote(key, safe='').replace('.', '%2E')}"

    assert (await app.get(path)).json()["id"] == id
    assert (await app.request("PUT", path, json={"key": key, "name": "N"})).json()["name"] == "N"
    assert (await app.request("DELETE", path)).status_code == 204
    assert problem_of(await app.get(path)) == (404, "not_found", None)


@pytest.mark.parametrize(
    ("path", "status"),
    [("k" * 257, 400), ("k" * 60_000, 400), ("%00", 404), ("%FF", 404), ("%ED%A0%80", 404), (UNKNOWN, 404)],
)  # fmt: skip
async def test_a_path_that_names_no_customer_is_refused(path, status):
    app = AnApp()
    await a_customer(app)

    for answer in (
        await app.get(f"{CUSTOMERS}/{path}"),
        await app.request("PUT", f"{CUSTOMERS}/{path}", json=BODY),
        await app.request("DELETE", f"{CUSTOMERS}/{path}"),
    ):
        assert problem_of(answer)[0] == status


async def test_conflicts_are_409_and_a_deleted_customer_is_412():
    app = AnApp()
    id = await a_customer(app, "one", "s")
    await a_customer(app, "two")

    for body in (
        {"key": "one", "name": "N"},
        {"key": "s", "name": "N"},
        {"key": id, "name": "N"},
        {"name": "N", "usageAttribution": {"subjectKeys": ["s"]}},
    ):
        assert problem_of(await app.post(CUSTOMERS, body))[:2] == (409, "conflict")
        answer = await app.request("PUT", f"{CUSTOMERS}/two", json=body)
        assert problem_of(answer)[:2] == (409, "conflict")
    twice = {"name": "N", "usageAttribution": {"subjectKeys": ["x", "x"]}}
    assert problem_of(await app.post(CUSTOMERS, twice))[0] == 409
    await app.request("DELETE", f"{CUSTOMERS}/{id}")
    for answer in (
        await app.request("DELETE", f"{CUSTOMERS}/{id}"),
        await app.request("PUT", f"{CUSTOMERS}/{id}", json=BODY),
    ):
        assert problem_of(answer)[:2] == (412, "precondition_failed")
    assert (await app.get(f"{CUSTOMERS}/{id}")).json()["deletedAt"]


async def test_a_customer_with_active_entitlements_stays():
    app = AnApp()
    id = await a_customer(app)
    app.customers.entitled.add(id)

    assert problem_of(await app.request("DELETE", f"{CUSTOMERS}/acme"))[:2] == (409, "conflict")
    assert "deletedAt" not in (await app.get(f"{CUSTOMERS}/acme")).json()


@pytest.mark.parametrize(
    "query",
    [
        "page=0",
        "page=x",
        "page=1&page=2",
        "pageSize=0",
        "pageSize=1001",
        "order=asc",
        "orderBy=key",
        "orderBy=createdat",
        "includeDeleted=maybe",
        "key=",
        "subject=",
        "expand=plans",
        "expand=",
        "name=%FF",
    ],
)
async def test_a_list_that_makes_no_sense_is_refused(query):
    assert problem_of(await AnApp().get(f"{CUSTOMERS}?{query}"))[0] == 400


async def test_what_a_list_asks_for_reaches_the_port():
    class Listing:
        async def list_customers(self, listing):
            self.asked = listing
            raise AssertionError

    app = AnApp()
    found = Listing()
    app.app.state.calls = _with_customers(app, found)

    query = "page=2&pageSize=7&order=DESC&orderBy=createdAt&includeDeleted=true&key=K&name=N&primaryEmail=E&subject=S&expand=subscriptions"
    answer = await app.get(f"{CUSTOMERS}?{query}")

    assert answer.status_code == 500
    assert found.asked == CustomerListing(
        page=2,
        page_size=7,
        order_by="createdAt",
        descending=True,
        include_deleted=True,
        key="K",
        name="N",
        primary_email="E",
        subject="S",
    )


def _with_customers(app, customers):
    calls = app.app.state.calls
    return replace(calls, ports=replace(calls.ports, customers=customers))


async def test_a_list_is_a_page_of_customers_by_name():
    app = AnApp()
    for key in ("b", "a", "c"):
        await a_customer(app, key, f"s-{key}")

    page = (await app.get(f"{CUSTOMERS}?pageSize=2")).json()
    narrowed = (await app.get(f"{CUSTOMERS}?subject=S-C")).json()
    planned = (await app.get(f"{CUSTOMERS}?planKey=pro&page=3&pageSize=5")).json()

    assert [one["key"] for one in page.pop("items")] == ["a", "b"]
    assert page == {"totalCount": 3, "page": 1, "pageSize": 2}
    assert [one["key"] for one in narrowed["items"]] == ["c"]
    assert planned == {"totalCount": 0, "page": 3, "pageSize": 5, "items": []}


# -- subjects


@pytest.mark.parametrize(
    "body",
    [
        {"key": "x"},
        [None],
        [{"displayName": "x"}],
        [{"key": ""}],
        [{"key": 5}],
        [{"key": "a\0b"}],
        [{"key": "k" * 513}],
        [{"key": "x", "displayName": 5}],
        [{"key": "x", "metadata": []}],
        [{"key": "x", "metadata": {"a": ["\0"]}}],
        [{"key": "x", "stripeCustomerId": "abc"}],
        [{"key": "x", "stripeCustomerId": ""}],
        [{"key": "x", "currentPeriodStart": "soon"}],
        [{"key": "y"}, {"key": "x", "stripeCustomerId": "abc"}],
        [{"key": f"s{n}"} for n in range(1001)],
    ],
)
async def test_subjects_that_break_a_rule_are_refused_and_none_is_made(body):
    app = AnApp()

    answer = await app.post(SUBJECTS, body)

    assert problem_of(answer)[0] == 400, answer.text
    assert (await app.get(SUBJECTS)).json() == []


async def test_only_what_is_given_of_a_known_subject_changes():
    app = AnApp()
    full = {
        "key": "s",
        "displayName": "S",
        "metadata": {"n": [1, None]},
        "stripeCustomerId": "cus_1",
        "currentPeriodStart": "2024-01-01T00:00:00Z",
    }

    (made,) = (await app.post(SUBJECTS, [full])).json()
    (kept,) = (await app.post(SUBJECTS, [{"key": "s"}])).json()
    (cleared,) = (
        await app.post(SUBJECTS, [{"key": "s", "displayName": None, "metadata": None}])
    ).json()

    assert {
        name: made[name] for name in ("key", "displayName", "metadata", "stripeCustomerId")
    } == {
        "key": "s",
        "displayName": "S",
        "metadata": {"n": [1, None]},
        "stripeCustomerId": "cus_1",
    }
    assert kept == made
    assert cleared == {k: v for k, v in made.items() if k != "displayName"} | {"metadata": {}}


async def test_no_subjects_are_answered_with_null():
    answer = await AnApp().post(SUBJECTS, [])

    assert (answer.status_code, answer.json()) == (200, None)


async def test_a_new_key_twice_is_409_and_makes_nothing():
    app = AnApp()

    answer = await app.post(SUBJECTS, [{"key": "a"}, {"key": "a"}])

    assert problem_of(answer)[:2] == (409, "conflict")
    assert (await app.get(f"{SUBJECTS}/a")).status_code == 404


async def test_a_deleted_subject_stays_by_id_and_with_its_customer():
    app = AnApp()
    await a_customer(app, "acme", "a/b")
    id = (await app.get(f"{SUBJECTS}/a%2Fb")).json()["id"]

    assert (await app.request("DELETE", f"{SUBJECTS}/a%2Fb")).status_code == 204

    assert problem_of(await app.get(f"{SUBJECTS}/a%2Fb"))[0] == 404
    assert (await app.get(f"{SUBJECTS}/{id}")).json()["deletedAt"]
    shown = (await app.get(f"{CUSTOMERS}/acme")).json()
    assert shown["usageAttribution"] == {"subjectKeys": ["a/b"]}


@pytest.mark.parametrize("path", ["x" * 60_000, "%00", "%FF", "%ED%A0%80", UNKNOWN, "x"])
async def test_a_path_that_names_no_subject_is_404(path):
    for method in ("GET", "DELETE"):
        assert problem_of(await AnApp().request(method, f"{SUBJECTS}/{path}"))[0] == 404


async def test_all_subjects_are_listed_however_many():
    app = AnApp()
    app.subjects.new_id = (f"01ARZ3NDEKTSV4RRFFQ6{n:06d}" for n in range(2001)).__next__
    for first in (0, 1000, 2000):
        await app.post(SUBJECTS, [{"key": f"<{n}>"} for n in range(first, min(first + 1000, 2001))])

    answer = await app.get(SUBJECTS)

    assert [one["key"] for one in answer.json()] == [f"<{n}>" for n in range(2001)]
    assert b"<" not in answer.content


async def test_of_many_creates_of_one_key_one_is_made():
    app = AnApp()

    answers = await asyncio.gather(*(app.post(CUSTOMERS, BODY) for _ in range(5)))

    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409, 409]


# -- questions by customer


async def an_app():
    app = AnApp()
    await app.with_meter(groups={"model": "$.model"})
    one = await a_customer(app, "one", "a", "b")
    two = await a_customer(app, "two", "one", "c")
    return app, one, two


async def test_a_question_about_customers_asks_for_their_subjects():
    app, one, two = await an_app()

    await app.get(f"{QUERY}?filterCustomerId={one}&filterCustomerId={two.lower()}")
    await app.post(QUERY, {"filterCustomerId": [one], "subject": ["a", "c", "z"]})

    both, some = app.usage.asked
    assert both.customers == {"one": one, "a": one, "b": one, "two": two, "c": two}
    assert set(both.subjects) == set(both.customers)
    assert (both.by_subject, both.group_by) == (False, ())
    assert (some.subjects, some.customers, some.by_subject) == (("a",), {"a": one}, True)


@pytest.mark.parametrize("group_by", ["", "&groupBy=customer_id", "&groupBy=subject"])
async def test_rows_say_whose_they_are(group_by):
    app, one, _ = await an_app()
    app.usage.rows = [ResultRow(window_start=0, window_end=60, value=4, customer=one)]

    answer = await app.get(f"{QUERY}?filterCustomerId={one}{group_by}")

    assert [row["customerId"] for row in answer.json()["data"]] == [one]


async def test_a_question_about_a_deleted_customer_is_404():
    app, one, two = await an_app()
    await app.request("DELETE", f"{CUSTOMERS}/{one}")

    for answer in (
        await app.get(f"{QUERY}?filterCustomerId={two}&filterCustomerId={one}"),
        await app.post(QUERY, {"filterCustomerId": ["one"]}),
    ):
        assert problem_of(answer)[:2] == (404, "not_found")
    assert app.usage.asked == []


async def test_csv_has_a_name_column_when_a_subject_is_managed_and_an_empty_customers_column():
    app, one, _ = await an_app()
    await app.post(SUBJECTS, [{"key": "a", "displayName": 'A, "one"'}])
    row = {"window_start": 0, "window_end": 60, "value": 4, "customer": one}
    csv = {"accept": "text/csv"}

    app.usage.rows = [ResultRow(**row)]
    plain = await app.get(f"{QUERY}?filterCustomerId={one}", headers=csv)
    app.usage.rows = [
        ResultRow(**row, subject=subject, groups={"model": "m"}) for subject in ("a", "b")
    ]
    query = f"{QUERY}?filterCustomerId={one}&groupBy=customer_id&groupBy=model&groupBy=subject"
    named = await app.get(query, headers=csv)
    await app.request("DELETE", f"{SUBJECTS}/a")
    await app.request("DELETE", f"{SUBJECTS}/b")
    nameless = await app.get(query, headers=csv)

    assert plain.text.splitlines()[0] == "window_start,window_end,customer_id,value"
    assert plain.text.splitlines()[1].endswith(",,4.000000")
    assert [line.split("Z,")[-1] for line in named.text.splitlines()] == [
        "window_start,window_end,subject,subject_display_name,customer_id,model,value",
        'a,"A, ""one""",,m,4.000000',
        "b,,,m,4.000000",
    ]
    assert "subject_display_name" not in nameless.text


async def test_listed_events_name_their_customer_and_are_narrowed_by_it():
    app, one, _ = await an_app()
    app.events.events = [
        a_stored_event("e1", subject="a"),
        a_stored_event("e2", subject="one"),
        a_stored_event("e3", subject="x"),
    ]

    listed = (await app.get(f"/api/v1/events?customerId={one}")).json()
    await app.get("/api/v2/events", params={"filter": json.dumps({"customerId": {"$in": [one]}})})

    assert [event.get("customerId") for event in listed] == [one, one, None]
    assert "no customer found" in listed[2]["validationError"]
    for asked in app.events.asked:
        (test,) = asked.fields["subject"].filters
        assert set(test.operand) == {"one", "a", "b"}
