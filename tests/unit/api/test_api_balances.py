"""Values, histories and access over HTTP: from workers and recomputed, and what each version answers."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from domain.errors import Refused, Unavailable
from schemas.balances import Answer, Value
from tests.api_app import problem_of
from tests.balance_app import BalanceApp, text
from tests.builders import NOON, ULIDS

V2 = "/api/v2/customers/acme/entitlements/tokens"
V1 = "/api/v1/subjects/s1/entitlements/tokens"
QUERY = "/api/v3/openmeter/entitlement-access/query"


@pytest.fixture
async def app():
    return await BalanceApp().begin()


def a_value(app, entitlement, **more):
    values = {
        "entitlement_id": entitlement["id"],
        "customer_id": app.customer["id"],
        "feature_id": app.feature["id"],
        "feature_key": "tokens",
        "type": "metered",
        "has_access": True,
        "balance": Decimal("7.5"),
        "usage": Decimal("2.5"),
        "overage": Decimal(0),
        "total_available": Decimal(10),
        "grant_balances": {},
    } | more
    return Value(**values)


def told(app, *values, **more):
    as_of_ms = int(NOON.timestamp() * 1000) - 40
    return Answer(values=values, customer_id=app.customer["id"], as_of_ms=as_of_ms, **more)


# -- recomputed


async def test_a_value_is_recomputed_while_no_worker_answers(app):
    entitlement = await app.entitled()
    app.use(Decimal("3.5"), -1)
    app.use(100, -7)  # before measuring began
    app.ends.at_ms = int(NOON.timestamp() * 1000) - 250

    answer = await app.get(f"{V1}/value")

    assert answer.json() == {
        "hasAccess": True,
        "balance": 6.5,
        "usage": 3.5,
        "overage": 0,
        "totalAvailableGrantAmount": 10,
    }
    assert answer.headers["meterstream-source"] == "recomputed"
    assert answer.headers["meterstream-as-of"] == "2026-03-05T11:59:59.750Z"
    assert answer.headers["meterstream-lag-ms"] == "250"
    assert (await app.get(f"/api/v1/subjects/s1/entitlements/{entitlement['id']}/value")).json() == answer.json()  # fmt: skip


async def test_without_a_known_time_only_the_source_is_told(app):
    await app.entitled()

    answer = await app.get(f"{V2}/value")

    assert answer.headers["meterstream-source"] == "recomputed"
    assert "meterstream-as-of" not in answer.headers
    assert "meterstream-lag-ms" not in answer.headers


async def test_a_time_is_rounded_up_to_the_minute(app):
    await app.entitled()
    app.use(1, 0.5)  # 12:30:00

    values = [
        (await app.value(time=time))["usage"]
        for time in (
            "2026-03-05T12:30:00Z",
            "2026-03-05T12:30:00.001Z",
            "2026-03-05T13:30:01+01:00",
        )
    ]

    assert values == [0, 1, 1]


async def test_usage_of_all_subjects_and_of_the_customers_own_key_counts(app):
    await app.entitled()
    for subject in ("s1", "acme", "other"):
        app.use(1, -1, subject)

    assert (await app.value())["usage"] == 2


async def test_a_subject_key_that_is_another_customers_key_is_the_others_usage(app):
    await app.made("/api/v1/customers", key="k1", name="Owns the key")
    attributed = {"name": "Acme", "key": "acme", "usageAttribution": {"subjectKeys": ["k1", "s1"]}}
    assert (await app.request("PUT", "/api/v1/customers/acme", json=attributed)).status_code == 200
    await app.entitled()
    app.use(5, -1, "k1")
    app.use(1, -1, "s1")

    assert (await app.value())["usage"] == 1


async def test_a_features_filters_choose_the_usage():
    app = await BalanceApp().begin(groups={"model": "$.model"})
    await app.made(
        "/api/v1/features",
        key="big",
        name="big",
        meterSlug="tokens",
        advancedMeterGroupByFilters={"model": {"$in": ["large"]}},
    )
    await app.entitled("big")
    await app.entitled()
    for model, amount in (("large", 3), ("small", 4)):
        app.used.add(app.meter, "s1", NOON - timedelta(hours=1), {"n": amount, "model": model})

    answer = await app.get("/api/v1/customers/acme/access")

    usage = {key: value["usage"] for key, value in answer.json()["entitlements"].items()}
    assert usage == {"big": 3, "tokens": 7}


@pytest.mark.parametrize(
    ("aggregation", "used", "usage", "balance"),
    [
        ("COUNT", [1, "x", None], 3, 7),
        ("UNIQUE_COUNT", ["a", "b", "a"], 2, 8),
        ("LATEST", [4, 9, 3], 3, 7),
        ("SUM", [Decimal("0.1"), Decimal("0.2"), "no number"], 0.3, 9.7),
        ("SUM", [Decimal("1e300"), -2], 9_999_999_999_999_999_999_999_999_999 - 2, 0),
    ],
)
async def test_each_aggregation_has_its_usage(aggregation, used, usage, balance):
    app = await BalanceApp().begin(aggregation)
    await app.entitled()
    for hours, amount in enumerate(used, -5):
        app.use(amount, hours)

    found = await app.value()

    assert found["usage"] == pytest.approx(usage, rel=1e-15)
    assert found["balance"] == pytest.approx(balance)


async def test_an_entitlement_that_measures_from_the_future_has_a_value(app):
    await app.entitled(measureUsageFrom=text(3))
    app.use(4, -1)

    answer = await app.get(f"{V2}/value")

    assert answer.status_code == 200
    assert answer.json()["usage"] == 0


async def test_one_question_is_asked_of_clickhouse_for_all_entitlements_that_measure_alike(app):
    for key in ("a", "b", "c"):
        await app.made("/api/v1/features", key=key, name=key, meterSlug="tokens")
        await app.entitled(key)
    app.use(1, -1)

    answer = await app.get("/api/v1/customers/acme/access")

    assert [value["usage"] for value in answer.json()["entitlements"].values()] == [1, 1, 1]
    assert app.used.asked == 1


# -- from workers


async def test_what_a_worker_has_is_answered_and_nothing_is_recomputed(app):
    entitlement = await app.entitled()
    app.workers.answers = {"s1": told(app, a_value(app, entitlement))}
    app.records.error = app.used.error = Unavailable("down")

    answer = await app.get(f"{V1}/value")

    assert answer.json() == {
        "hasAccess": True,
        "balance": 7.5,
        "usage": 2.5,
        "overage": 0,
        "totalAvailableGrantAmount": 10,
    }
    assert answer.headers["meterstream-source"] == "owner"
    assert answer.headers["meterstream-lag-ms"] == "40"
    ((question,), catalog) = app.workers.asked[0]
    assert (question.customer, question.by_subject, question.features) == ("s1", True, ("tokens",))
    assert catalog == app.entitlements.catalog_version


async def test_a_standby_says_that_it_is_one(app):
    entitlement = await app.entitled()
    app.workers.answers = {"acme": told(app, a_value(app, entitlement))}
    app.workers.role = "standby"

    answer = await app.get(f"{V2}/value")

    assert answer.headers["meterstream-source"] == "standby"


@pytest.mark.parametrize("why", ["loading", "behind", "elsewhere", "past"])
async def test_what_no_worker_can_say_is_recomputed(app, why):
    await app.entitled()
    app.workers.answers = {"acme": Answer(why=why)}

    answer = await app.get(f"{V2}/value")

    assert answer.json()["balance"] == 10
    assert answer.headers["meterstream-source"] == "recomputed"


async def test_a_customer_that_a_worker_does_not_know_yet_is_looked_for_in_what_is_stored(app):
    await app.entitled()
    app.workers.answers = {}

    answer = await app.get(f"{V2}/value")

    assert (answer.status_code, answer.json()["balance"]) == (200, 10)


async def test_without_workers_and_stores_it_is_503_and_says_when_to_ask_again(app):
    await app.entitled()
    app.used.error = Unavailable("ClickHouse is down")

    answer = await app.get(f"{V2}/value")

    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"


async def test_an_unknown_customer_is_503_while_only_the_worker_can_be_asked(app):
    app.workers.answers = {}
    app.records.error = Unavailable("Postgres is down")

    assert (await app.get(f"{V2}/value")).status_code == 503


async def test_a_deleted_customer_is_known_to_be_deleted_without_postgres(app):
    app.workers.answers = {"acme": Answer(why="deleted", customer_id=app.customer["id"])}
    app.records.error = Unavailable("Postgres is down")

    assert (await app.get("/api/v1/customers/acme/access")).status_code == 412


async def test_an_id_that_is_not_the_customers_is_looked_for_in_what_is_stored(app):
    await app.made("/api/v1/customers", key="other", name="Other")
    flag = await app.flag("flag", "other")
    app.workers.answers = {"acme": told(app), "s1": told(app)}

    v2 = await app.get(f"/api/v2/customers/acme/entitlements/{flag['id']}/value")
    v1 = await app.get(f"/api/v1/subjects/s1/entitlements/{flag['id']}/value")

    assert v2.json() == v1.json() == {"hasAccess": True}


async def test_a_time_is_never_asked_of_a_worker(app):
    entitlement = await app.entitled()
    app.workers.answers = {"acme": told(app, a_value(app, entitlement))}

    answer = await app.get(f"{V2}/value?time={text(1)}")

    assert answer.json()["balance"] == 10
    assert app.workers.asked == []


async def test_before_the_services_are_there_workers_are_asked_all_the_same(app):
    entitlement = await app.entitled()
    app.workers.answers = {"acme": told(app, a_value(app, entitlement))}
    app.app.state.calls = None
    app.app.state.balances = replace(
        app.app.state.balances,
        balances=type(app.app.state.balances.balances)(
            app.workers, catalog_version=lambda: 0, now=lambda: NOON
        ),
        _stored=None,
    )

    answers = [await app.get(f"{V2}/value"), await app.get("/api/v2/customers/no/entitlements/tokens/value")]  # fmt: skip

    assert [answer.status_code for answer in answers] == [200, 503]


# -- what each route answers


async def test_without_an_entitlement_v1_by_subject_is_404_and_by_customer_no_access(app):
    answers = [
        await app.get(path)
        for path in (
            f"{V1}/value",
            "/api/v1/customers/acme/entitlements/tokens/value",
            f"{V2}/value",
            f"/api/v2/customers/acme/entitlements/{ULIDS[0]}/value",
        )
    ]

    assert problem_of(answers[0])[:2] == (404, "not_found")
    assert [answer.json() for answer in answers[1:]] == [{"hasAccess": False}] * 3


async def test_before_the_entitlement_existed_each_route_has_its_answer(app):
    entitlement = await app.entitled()
    early = {"time": text(-1)}

    by_key = await app.get(f"{V1}/value", params=early)
    by_id = await app.get(f"/api/v1/subjects/s1/entitlements/{entitlement['id']}/value", params=early)  # fmt: skip
    v2 = await app.get(f"{V2}/value", params=early)
    ignoring = await app.get("/api/v1/customers/acme/entitlements/tokens/value", params=early)

    assert by_key.status_code == 404
    assert by_id.json() == v2.json() == {"hasAccess": False}
    assert ignoring.json()["balance"] == 10


async def test_access_has_everything_that_is_active_in_v2s_form(app):
    await app.entitled(issueAfterReset=None)
    await app.flag("flag")
    await app.flag("conf", type="static", config='{"seats": 3}')
    gone = await app.flag("gone")
    await app.request("DELETE", f"/api/v2/customers/acme/entitlements/{gone['id']}")

    answer = await app.get("/api/v1/customers/acme/access")

    assert answer.json()["entitlements"] == {
        "tokens": {
            "hasAccess": False,
            "balance": 0,
            "usage": 0,
            "overage": 0,
            "totalAvailableGrantAmount": 0,
            "grantBalances": {},
        },
        "flag": {"hasAccess": True},
        "conf": {"hasAccess": True, "config": '{"seats": 3}'},
    }


async def test_a_deleted_customer_is_412_and_an_unknown_one_404(app):
    await app.request("DELETE", "/api/v1/customers/acme")

    assert (await app.get(f"/api/v1/customers/{app.customer['id']}/access")).status_code == 412
    assert (await app.get("/api/v1/customers/acme/access")).status_code == 404
    assert (await app.get("/api/v1/customers/nobody/access")).status_code == 404
    assert (await app.get("/api/v1/subjects/nobody/entitlements/tokens/value")).status_code == 404


async def test_history_has_full_windows_and_the_segments_with_who_paid(app):
    first = (await app.entitled(issueAfterReset=5))["id"]
    second = await app.granted(4, -3, priority=2)
    for amount, hours in ((2, -5.5), (5, -2)):
        app.use(amount, hours)

    answer = await app.get(f"{V2}/history?windowSize=HOUR&from={text(-6)}&to={text(-1)}")

    history = answer.json()
    windows = [(w["usage"], w["balanceAtStart"]) for w in history["windowedHistory"]]
    assert windows == [(2, 5), (0, 3), (0, 3), (0, 7), (5, 7)]
    assert [s["usage"] for s in history["burndownHistory"]] == [2, 5]
    grant = next(iter(history["burndownHistory"][0]["grantBalancesAtStart"]))
    assert history["burndownHistory"][1]["grantUsages"] == [
        {"grantId": grant, "usage": 3},
        {"grantId": second["id"], "usage": 2},
    ]
    assert history["burndownHistory"][0]["grantBalancesAtStart"] == {grant: 5, second["id"]: 0}
    assert answer.headers["meterstream-source"] == "recomputed"
    by_id = f"/api/v1/subjects/whoever/entitlements/{first}/history?windowSize=HOUR"
    assert (await app.get(by_id)).status_code == 200


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("", "invalid_parameter"),
        ("windowSize=WEEK", "invalid_parameter"),
        ("windowSize=DAY&windowTimeZone=Mars/Olympus", "time_zone_unknown"),
        ("windowSize=DAY&windowTimeZone=../../etc/passwd", "time_zone_unknown"),
        (f"windowSize=DAY&windowTimeZone={'x' * 101}", "invalid_parameter"),
        (f"windowSize=DAY&from={text(-7)}", "history_before_measuring"),
        ("windowSize=DAY&from=yesterday", "invalid_parameter"),
        ("windowSize=DAY&from=0001-01-01T00:00:00Z", "history_before_measuring"),
        (f"windowSize=DAY&from={text(-1)}&to={text(-2)}", "history_ends_before_it_starts"),
        (f"windowSize=MINUTE&from={text(-6)}&to=2030-01-01T00:00:00Z", "too_many_windows"),
        ("windowSize=DAY&to=9999-12-31T23:59:59Z", "time_out_of_range"),
        ("windowSize=MONTH&to=9000-12-31T23:59:59Z", "too_many_phases"),
        ("windowSize=HOUR&windowSize=DAY", "parameter_repeated"),
    ],
)
async def test_a_history_that_makes_no_sense_is_refused(app, query, code):
    await app.entitled()

    answer = await app.get(f"{V2}/history?{query}")

    assert problem_of(answer)[:2] == (400, code)


async def test_history_by_v1_wants_the_id_and_a_balance(app):
    await app.entitled()
    flag = await app.flag("flag")

    by_key = await app.get(f"{V1}/history?windowSize=DAY")
    unknown = await app.get(f"/api/v1/subjects/s1/entitlements/{ULIDS[0]}/history?windowSize=DAY")
    of_flag = await app.get(f"/api/v1/subjects/s1/entitlements/{flag['id']}/history?windowSize=DAY")

    assert problem_of(by_key)[0] == problem_of(unknown)[0] == 404
    assert problem_of(of_flag)[:2] == (400, "not_metered")


@pytest.mark.parametrize(
    ("path", "code"),
    [
        (f"{V2}/value?time=soon", "invalid_parameter"),
        (f"{V2}/value?time=", "parameter_empty"),
        (f"{V2}/value?time=9999-12-31T23:59:59Z", "time_out_of_range"),
        (f"{V2}/value?time=9000-01-01T00:00:00Z", "too_many_phases"),
        ("/api/v2/customers/acme/entitlements/NO KEY/value", "invalid_parameter"),
        ("/api/v1/customers/acme/entitlements/NO-KEY/value", "invalid_parameter"),
        (f"/api/v1/customers/{'x' * 257}/access", "invalid_parameter"),
    ],
)
async def test_hostile_input_is_refused_with_a_code(app, path, code):
    await app.entitled()

    assert problem_of(await app.get(path))[:2] == (400, code)


async def test_usage_that_is_too_long_to_recompute_is_refused_with_its_bound(app):
    await app.entitled()
    app.used.error = Refused("history_too_long", "more than 3 rows (balances.history_rows_max)")

    assert problem_of(await app.get(f"{V2}/value"))[:2] == (400, "history_too_long")


# -- v3


async def test_customers_are_found_by_key_and_subject_key_each_once_and_every_feature_is_answered(app):  # fmt: skip
    await app.entitled()
    await app.flag("flag")
    two = await app.made(
        "/api/v1/customers", key="two", name="Two", usageAttribution={"subjectKeys": ["t1"]}
    )
    await app.entitled(customer="two", issueAfterReset=None)
    body = {
        "customer": {"keys": ["t1", "nobody", "acme", "two", "t1"]},
        "feature": {"keys": ["tokens", "flag", "none"]},
    }

    answer = (await app.post(QUERY, body)).json()

    first, second = answer["data"]
    assert (first["customer"]["id"], first["matched"]) == (app.customer["id"], ["acme"])
    assert (second["customer"]["id"], second["matched"]) == (two["id"], ["t1", "two"])
    codes = [
        {key: found.get("reason", {}).get("code") for key, found in one["features"].items()}
        for one in (first, second)
    ]
    assert codes == [
        {"tokens": None, "flag": None, "none": "feature_not_found"},
        {
            "tokens": "usage_limit_reached",
            "flag": "feature_unavailable",
            "none": "feature_not_found",
        },
    ]
    assert [(e["code"], e["customer"]) for e in answer["errors"]] == [("customer_not_found", "nobody")]  # fmt: skip
    assert (answer["meta"]["page"]["next"], answer["meta"]["page"]["size"]) == (None, 100)


async def test_pages_go_forth_and_back_by_cursor(app):
    for key in ("two", "three"):
        await app.made("/api/v1/customers", key=key, name=key)
    body = {"customer": {"keys": ["three", "two", "acme"]}}

    async def page(**parameters):
        query = "&".join(f"page[{name}]={value}" for name, value in parameters.items())
        answer = (await app.post(f"{QUERY}?{query}", body)).json()
        return [one["customer"]["key"] for one in answer["data"]], answer["meta"]["page"]

    first, meta = await page(size=1)
    second, middle = await page(size=1, after=meta["next"])
    third, last = await page(size=1, after=middle["next"])
    back, _ = await page(size=1, before=last["previous"])

    assert [first, second, third, back] == [["acme"], ["two"], ["three"], ["two"]]
    assert (meta["previous"], last["next"]) == (None, None)


@pytest.mark.parametrize(
    ("body", "query", "parameter"),
    [
        ({}, "", {"field": "customer", "rule": "required", "source": ""}),
        ({"customer": {"keys": []}}, "", {"field": "customer", "rule": "allOf", "source": ""}),
        ({"customer": {"keys": ["x"] * 101}}, "", {"field": "customer", "rule": "allOf"}),
        ({"customer": {"keys": [1]}}, "", {"field": "customer", "rule": "allOf"}),
        ({"customer": {"keys": ["a"]}, "feature": {"keys": []}}, "", {"field": "feature"}),
        ({"customer": {"keys": ["a"]}, "more": 1}, "", {}),
        ({"customer": {"keys": ["a"]}}, "page[size]=101", {"field": "page[size]"}),
        ({"customer": {"keys": ["a"]}}, "page[size]=0", {"field": "page[size]"}),
        ({"customer": {"keys": ["a"]}}, "page[size]=x", {"source": "query"}),
        ({"customer": {"keys": ["a"]}}, "page[after]=nonsense", {"field": "page[after]"}),
        ({"customer": {"keys": ["a"]}}, "page[before]=%F0%9F", {"field": "page[before]"}),
        ([], "", {}),
    ],
)
async def test_a_request_without_the_contracts_form_is_refused_in_v3s_words(app, body, query, parameter):  # fmt: skip
    answer = await app.post(f"{QUERY}?{query}", body)

    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["type"] == "https://kongapi.info/konnect/bad-request"
    (found,) = problem["invalid_parameters"]
    assert {name: found[name] for name in parameter} == parameter


async def test_one_call_goes_to_the_workers_for_all_customers(app):
    entitlement = await app.entitled()
    id_ = app.customer["id"]
    assert entitlement["id"]
    app.workers.answers = {id_: told(app, access={"tokens": False})}

    answer = await app.post(QUERY, {"customer": {"keys": ["acme", "s1"]}})

    (one,) = answer.json()["data"]
    assert one["features"]["tokens"]["reason"]["code"] == "usage_limit_reached"
    (((question,), _),) = app.workers.asked
    assert question.access_only
    assert answer.headers["meterstream-source"] == "owner"


async def test_access_of_one_customer_in_v3(app):
    await app.entitled()
    await app.flag("conf", type="static", config="3")
    path = "/api/v3/openmeter/customers/{}/entitlement-access"

    answer = await app.get(path.format(app.customer["id"]))
    unknown = await app.get(path.format(ULIDS[0]))
    no_id = await app.get(path.format("acme"))

    assert answer.json()["data"] == [
        {"type": "static", "feature_key": "conf", "has_access": True, "config": "3"},
        {"type": "metered", "feature_key": "tokens", "has_access": True},
    ]
    assert (unknown.status_code, unknown.json()["type"]) == (404, "about:blank")
    assert no_id.status_code == 404
    assert no_id.json()["type"] == "https://kongapi.info/konnect/not-found"
