"""Entitlements, grants and resets over HTTP: what v1 and v2 show, where they differ, and what is refused."""

from dataclasses import replace
from datetime import timedelta

import pytest

from domain.entitlements.managed import SUBSCRIPTION_MARK, Kind
from domain.entitlements.managing import Bounds, Opening, opened
from tests.api_app import AnApp, problem_of
from tests.entitlement_builders import ACME, BOUNDS, TOKENS, a_grant_wish, a_wish, an_id

V1 = "/api/v1/subjects/s1/entitlements"
V2 = "/api/v2/customers/acme/entitlements"
PERIOD = {"interval": "DAY", "anchor": "2026-03-05T06:00:00Z"}
METERED = {
    "type": "metered",
    "featureKey": "tokens",
    "usagePeriod": PERIOD,
    "measureUsageFrom": "2026-03-05T06:00:00Z",
}
FLAG = {"type": "boolean", "featureKey": "tokens"}
STATIC = {"type": "static", "featureKey": "tokens", "config": '{"b":1,"aa":2}'}
GRANT = {"amount": 10, "effectiveAt": "2026-03-05T11:00:40Z"}
EXPIRING = {**GRANT, "expiration": {"duration": "DAY", "count": 2}}
NOBODY = an_id(9)


@pytest.fixture
async def app():
    """Customer `acme` with subjects s1 and s2, customer `other` with none; a feature with a meter, one without."""
    made = AnApp()
    await made.with_meter()
    await made.post("/api/v1/features", {"key": "tokens", "name": "T", "meterSlug": "tokens"})
    await made.post("/api/v1/features", {"key": "seats", "name": "S"})
    await made.post(
        "/api/v1/customers",
        {"key": "acme", "name": "A", "usageAttribution": {"subjectKeys": ["s2", "s1"]}},
    )
    await made.post("/api/v1/customers", {"key": "other", "name": "O"})
    return made


async def created(app, base=V1, body=METERED, **more):
    answer = await app.post(base, {**body, **more})
    assert answer.status_code == 201, answer.text
    return answer.json()


# -- what is shown


async def test_v1_shows_a_metered_entitlement_with_its_subject_and_defaults(app):
    made = await created(app)

    assert made == {
        "id": made["id"],
        "type": "metered",
        "featureId": made["featureId"],
        "featureKey": "tokens",
        "subjectKey": "s1",
        "activeFrom": "2026-03-05T12:00:00Z",
        "createdAt": "2026-03-05T12:00:00Z",
        "updatedAt": "2026-03-05T12:00:00Z",
        "usagePeriod": {**PERIOD, "intervalISO": "P1D"},
        "currentUsagePeriod": {"from": "2026-03-05T06:00:00Z", "to": "2026-03-06T06:00:00Z"},
        "measureUsageFrom": "2026-03-05T06:00:00Z",
        "lastReset": "2026-03-05T06:00:00Z",
        "isSoftLimit": False,
        "isUnlimited": False,
        "issueAfterReset": 0,
        "preserveOverageAtReset": False,
    }
    assert (await app.get(f"{V1}/{made['id']}")).json() == made
    assert (await app.get(f"/api/v1/entitlements/{made['id']}")).json() == made


async def test_v2_shows_it_with_its_customer_and_what_was_issued(app):
    made = await created(app, V2, issue={"amount": 2.5, "priority": 5}, metadata={"by": "ann"})

    assert made["customerKey"] == "acme"
    assert made["issue"] == {"amount": 2.5, "priority": 5}
    assert (made["issueAfterReset"], made["issueAfterResetPriority"]) == (2.5, 5)
    assert made["metadata"] == {"by": "ann"}
    assert "subjectKey" not in made
    assert "isUnlimited" not in made
    assert (await app.get(f"{V2}/tokens")).json() == made
    assert (await app.get(f"/api/v2/entitlements/{made['id']}")).json() == made


@pytest.mark.parametrize(
    ("interval", "shown"),
    [
        ("WEEK", ("WEEK", "P1W")),
        ("P7D", ("WEEK", "P7D")),
        ("MONTH", ("MONTH", "P1M")),
        ("P12M", ("YEAR", "P12M")),
        ("P20Y", ("P20Y", "P20Y")),
        ("PT24H", ("PT24H", "PT24H")),
    ],
)
async def test_an_interval_has_its_name_where_there_is_one(app, interval, shown):
    made = await created(app, usagePeriod={"interval": interval})

    period = made["usagePeriod"]
    assert (period["interval"], period["intervalISO"]) == shown


async def test_a_static_one_has_its_configuration_in_one_spelling(app):
    made = await created(app, body=STATIC)

    assert made["config"] == '{"b": 1, "aa": 2}'
    assert "isSoftLimit" not in made


async def test_v2_flags_lose_their_metadata_and_v1_flags_keep_it(app):
    two = await created(app, V2, FLAG, metadata={"a": "b"})
    await app.request("DELETE", f"{V2}/tokens")
    one = await created(app, V1, FLAG, metadata={"a": "b"})

    assert "metadata" not in two
    assert one["metadata"] == {"a": "b"}


async def test_the_feature_id_goes_before_the_key_and_unlimited_means_nothing(app):
    seats = (await app.get("/api/v1/features/seats")).json()["id"]

    made = await created(app, body=FLAG, featureId=seats)
    metered = await created(app, isUnlimited=True)

    assert made["featureKey"] == "seats"
    assert metered["isUnlimited"] is False


# -- what cannot be made


@pytest.mark.parametrize("base", [V1, V2])
@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({**FLAG, "type": "golden"}, "invalid_body"),
        ({"featureKey": "tokens"}, "invalid_body"),
        ({"type": "boolean"}, "feature_missing"),
        ({**FLAG, "featureKey": "Not A Key"}, "invalid_body"),
        ({**FLAG, "featureId": "short"}, "invalid_body"),
        ({**FLAG, "featureKey": None}, "invalid_body"),
        ({**METERED, "usagePeriod": None}, "invalid_body"),
        ({"type": "metered", "featureKey": "tokens"}, "invalid_body"),
        ({**METERED, "featureKey": "seats"}, "feature_has_no_meter"),
        ({**METERED, "usagePeriod": {"interval": "PT59M"}}, "usage_period_too_short"),
        ({**METERED, "usagePeriod": {"interval": "HOUR"}}, "invalid_duration"),
        ({**METERED, "usagePeriod": {"interval": "P0D"}}, "interval_not_positive"),
        ({**METERED, "usagePeriod": {"interval": "P-1D"}}, "interval_not_positive"),
        ({**METERED, "usagePeriod": {"interval": "P9999Y"}}, "time_out_of_range"),
        ({**METERED, "usagePeriod": {"interval": "DAY", "anchor": "2026-03-05"}}, "invalid_body"),
        ({**METERED, "measureUsageFrom": "YESTERDAY"}, "measure_from_invalid"),
        ({**METERED, "measureUsageFrom": 5}, "invalid_body"),
        ({**METERED, "measureUsageFrom": "0001-01-01T00:00:00Z"}, "measure_from_too_early"),
        ({**METERED, "issueAfterReset": -1}, "invalid_body"),
        ({**METERED, "issueAfterReset": 1e30}, "number_out_of_range"),
        ({**METERED, "issueAfterResetPriority": 0, "issueAfterReset": 1}, "invalid_body"),
        ({**METERED, "isSoftLimit": "yes"}, "invalid_body"),
        ({**METERED, "metadata": {"a": 1}}, "invalid_body"),
        ({**METERED, "metadata": {"a": "\0"}}, "text_invalid"),
        ({**METERED, "metadata": {"a": "x" * 70_000}}, "metadata_too_large"),
        ({"type": "static", "featureKey": "tokens"}, "invalid_body"),
        ({**STATIC, "config": {"a": 1}}, "invalid_body"),
        ({**STATIC, "config": "{broken"}, "config_not_json"),
        ({**STATIC, "config": "[" * 5_000}, "config_too_deep"),
        ({**STATIC, "config": "1e5000"}, "config_number_out_of_range"),
        ({**STATIC, "config": f'"{"x" * 70_000}"'}, "config_too_large"),
        ({**STATIC, "config": '"\\u0000"'}, "text_invalid"),
    ],
)  # fmt: skip
async def test_what_is_refused_in_both_versions(app, base, body, code):
    status, found, _ = problem_of(await app.post(base, body))

    assert (status, found) == (400, code)
    assert (await app.get("/api/v1/entitlements")).json() == []


async def test_v1_wants_an_amount_with_a_priority_and_v2_drops_the_priority(app):
    body = {**METERED, "issueAfterResetPriority": 3}

    one = problem_of(await app.post(V1, body))
    two = await created(app, V2, body)

    assert one == (400, "issue_priority_without_amount", "$.issueAfterResetPriority")
    assert "issue" not in two
    assert "issueAfterResetPriority" not in two


async def test_v2_takes_grants_or_an_issue_and_issue_goes_before_the_older_members(app):
    both = {**METERED, "issue": {"amount": 1}, "grants": [GRANT]}
    late = {**METERED, "grants": [GRANT, {**GRANT, "effectiveAt": "2026-03-05T05:59:59Z"}]}

    assert problem_of(await app.post(V2, both))[1] == "issue_and_grants"
    assert problem_of(await app.post(V2, late))[1] == "grant_before_the_period"
    await created(app, V2, METERED, issue={"amount": 3}, issueAfterReset=9)
    [grant] = (await app.get(f"{V2}/tokens/grants")).json()["items"]
    assert (grant["amount"], grant["priority"]) == (3, 1)
    assert grant["annotations"] == {"issueAfterReset": True}
    await app.request("DELETE", f"{V2}/tokens")
    await created(app, V2, METERED, grants=[GRANT, {**GRANT, "amount": 7}])
    grants = (await app.get(f"{V2}/tokens/grants?orderBy=createdAt")).json()["items"]
    assert sorted(one["amount"] for one in grants) == [7, 10]


async def test_an_amount_of_nothing_is_told_with_what_it_was(app):
    answer = await app.post(V2, {**METERED, "grants": [{**GRANT, "amount": 0}]})

    assert answer.status_code == 400
    [issue] = answer.json()["extensions"]["validationErrors"]
    assert {**issue, "message": ""} == {
        "code": "grant_amount_must_be_positive",
        "field": "$.amount",
        "amount": 0,
        "severity": "critical",
        "message": "",
    }


async def test_a_second_one_for_the_key_is_a_conflict_that_names_the_first(app):
    first = await created(app)

    answer = await app.post(V2, FLAG)

    assert problem_of(answer)[:2] == (409, "entitlement_overlaps")
    assert answer.json()["extensions"]["conflictingEntityId"] == first["id"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/api/v1/subjects/nobody/entitlements", FLAG, 404),
        ("POST", "/api/v2/customers/nobody/entitlements", FLAG, 404),
        ("POST", V1, {**FLAG, "featureKey": "nothing"}, 404),
        ("POST", V1, {"type": "boolean", "featureId": NOBODY}, 404),
        ("GET", "/api/v1/subjects/nobody/entitlements", None, 404),
        ("GET", "/api/v1/subjects/acme/entitlements", None, 404),
        ("GET", "/api/v2/customers/nobody/entitlements", None, 404),
        ("GET", f"/api/v1/entitlements/{NOBODY}", None, 404),
        ("GET", "/api/v1/entitlements/tokens", None, 400),
        ("GET", "/api/v2/entitlements/a%00b", None, 400),
        ("GET", f"{V1}/tokens", None, 404),
        ("GET", f"{V1}/a%00b", None, 404),
        ("GET", f"{V2}/Not%20A%20Key", None, 400),
        ("GET", f"{V2}/{'x' * 65}", None, 400),
        ("GET", f"/api/v2/customers/{'x' * 257}/entitlements", None, 400),
        ("GET", f"/api/v2/customers/acme/entitlements/{NOBODY}", None, 404),
        ("DELETE", f"{V1}/{NOBODY}", None, 404),
        ("DELETE", f"{V2}/nothing", None, 404),
        ("PUT", f"{V1}/nothing/override", FLAG, 404),
        ("PUT", f"{V2}/nothing/override", FLAG, 404),
        ("POST", f"{V1}/{NOBODY}/reset", {}, 404),
        ("POST", f"{V1}/tokens/reset", {}, 404),
        ("POST", f"{V2}/nothing/reset", {}, 404),
        ("GET", f"{V1}/nothing/grants", None, 404),
        ("POST", f"{V1}/nothing/grants", EXPIRING, 404),
        ("GET", f"{V2}/nothing/grants", None, 404),
        ("POST", f"{V2}/nothing/grants", GRANT, 404),
        ("DELETE", f"/api/v1/grants/{NOBODY}", None, 404),
        ("DELETE", "/api/v1/grants/a%00b", None, 404),
        ("DELETE", "/api/v1/grants/%ff", None, 404),
        ("GET", "/api/v2/grants?customer=nobody", None, 404),
        ("GET", "/api/v1/entitlements?entitlementType=gold", None, 400),
        ("GET", "/api/v1/entitlements?orderBy=feature", None, 400),
        ("GET", "/api/v1/entitlements?page=0", None, 400),
        ("GET", "/api/v1/entitlements?pageSize=1001", None, 400),
        ("GET", "/api/v1/entitlements?limit=0", None, 400),
        ("GET", "/api/v1/entitlements?offset=-1", None, 400),
        ("GET", "/api/v2/entitlements?order=UP", None, 400),
        ("GET", "/api/v1/grants?orderBy=effectiveAt", None, 400),
        ("GET", "/api/v1/grants?includeDeleted=maybe", None, 400),
    ],
)  # fmt: skip
async def test_what_is_not_there_or_cannot_be_asked(app, method, path, body, status):
    await created(app, body=FLAG, featureKey="seats")

    answer = await app.request(method, path, **({} if body is None else {"json": body}))

    assert problem_of(answer)[0] == status


async def test_a_deleted_customer_is_412(app):
    gone = (await app.get("/api/v1/customers/other")).json()["id"]
    await app.request("DELETE", "/api/v1/customers/other")
    base = f"/api/v2/customers/{gone}/entitlements"

    for answer in (
        await app.post(base, FLAG),
        await app.get(base),
        await app.get(f"{base}/tokens"),
        await app.request("DELETE", f"{base}/tokens"),
        await app.post(f"{base}/tokens/reset", {}),
        await app.post(f"{base}/tokens/grants", GRANT),
    ):
        assert problem_of(answer)[:2] == (412, "precondition_failed")


# -- by id, whoever has it


async def test_an_id_finds_an_entitlement_under_any_subject_and_customer(app):
    made = await created(app)

    for path in (
        f"/api/v1/subjects/nobody/entitlements/{made['id']}",
        f"/api/v1/subjects/s2/entitlements/{made['id'].lower()}",
    ):
        assert (await app.get(path)).json() == made
    found = (await app.get(f"/api/v2/customers/other/entitlements/{made['id']}")).json()
    assert found["customerKey"] == "acme"
    answer = await app.request("DELETE", f"/api/v2/customers/other/entitlements/{made['id']}")
    assert answer.status_code == 204
    assert (await app.get(f"/api/v1/entitlements/{made['id']}")).status_code == 404


# -- override


async def test_an_override_ends_the_old_one_and_answers_with_the_new_one(app):
    old = await created(app, issueAfterReset=10)
    app.now += timedelta(hours=1)

    answer = await app.request("PUT", f"{V1}/tokens/override", json=FLAG)

    assert answer.status_code == 201
    ended = (await app.get(f"/api/v1/entitlements/{old['id']}")).json()
    assert ended["activeTo"] == answer.json()["activeFrom"] == "2026-03-05T13:00:00Z"
    assert (await app.get(V1)).json() == [answer.json()]
    for path, body, code in (
        (f"{V2}/tokens/override", {**FLAG, "featureKey": "seats"}, "feature_differs"),
        (f"{V2}/{old['id']}/override", FLAG, "entitlement_inactive"),
    ):
        assert problem_of(await app.request("PUT", path, json=body))[:2] == (400, code)
    missing = await app.request("PUT", f"{V2}/tokens/override", json={**FLAG, "featureKey": "x"})
    assert missing.status_code == 404


async def test_a_foreign_entitlement_is_not_overridden(app):
    made = await created(app)

    answer = await app.request(
        "PUT", f"/api/v2/customers/other/entitlements/{made['id']}/override", json=FLAG
    )

    assert answer.status_code == 404


# -- reset


async def test_resets_move_the_running_period_and_the_last_reset(app):
    made = await created(app)
    kept = {"effectiveAt": "2026-03-05T09:00:40Z", "retainAnchor": True}

    assert (await app.post(f"{V1}/{made['id']}/reset", kept)).status_code == 204
    first = (await app.get(f"{V1}/{made['id']}")).json()
    anew = await app.post(f"{V2}/tokens/reset", {"effectiveAt": "2026-03-05T11:00:00Z"})
    assert anew.status_code == 204
    second = (await app.get(f"{V2}/tokens")).json()
    [listed] = (await app.get("/api/v2/entitlements")).json()["items"]

    assert first["lastReset"] == "2026-03-05T09:00:00Z"
    assert first["currentUsagePeriod"]["to"] == "2026-03-06T06:00:00Z"
    assert second["currentUsagePeriod"] == {
        "from": "2026-03-05T11:00:00Z",
        "to": "2026-03-06T11:00:00Z",
    }
    assert second["usagePeriod"]["anchor"] == PERIOD["anchor"]
    assert listed == second


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"effectiveAt": "2026-03-05T13:00:00Z"}, "reset_in_the_future"),
        ({"effectiveAt": "2026-03-05T05:00:00Z"}, "reset_too_early"),
        ({"effectiveAt": "2026-03-05T06:00:20Z"}, "reset_too_early"),
        ({"effectiveAt": "now"}, "invalid_body"),
        ({"retainAnchor": "yes"}, "invalid_body"),
        ([], "invalid_body"),
    ],
)
async def test_when_a_reset_is_refused(app, body, code):
    made = await created(app)

    assert problem_of(await app.post(f"{V1}/{made['id']}/reset", body))[:2] == (400, code)
    empty = await app.request("POST", f"{V1}/{made['id']}/reset")
    assert empty.status_code == 400


async def test_flags_have_no_resets_and_no_grants(app):
    made = await created(app, body=FLAG)

    assert problem_of(await app.post(f"{V1}/{made['id']}/reset", {}))[:2] == (400, "not_metered")
    assert problem_of(await app.post(f"{V2}/tokens/grants", GRANT))[:2] == (400, "not_metered")
    assert (await app.get(f"{V1}/tokens/grants")).json() == []


# -- grants


async def test_a_grant_of_v1_expires_and_carries_nothing_over_one_of_v2_the_reverse(app):
    made = await created(app)

    one = (await app.post(f"{V1}/tokens/grants", EXPIRING)).json()
    two = (await app.post(f"{V2}/{made['id']}/grants", GRANT)).json()

    shared = {
        "amount": 10,
        "priority": 0,
        "effectiveAt": "2026-03-05T11:00:00Z",
        "entitlementId": made["id"],
        "minRolloverAmount": 0,
        "createdAt": "2026-03-05T12:00:00Z",
        "updatedAt": "2026-03-05T12:00:00Z",
    }
    assert one == {
        **shared,
        "id": one["id"],
        "maxRolloverAmount": 0,
        "expiration": EXPIRING["expiration"],
        "expiresAt": "2026-03-07T11:00:00Z",
    }
    assert two == {**shared, "id": two["id"], "maxRolloverAmount": 10}
    shown = {one["id"]: one for one in (await app.get(f"{V1}/tokens/grants")).json()}
    assert shown[one["id"]] == one
    assert shown[two["id"]] == {
        **two,
        "expiration": {"duration": "YEAR", "count": 100},
        "expiresAt": "2126-03-05T12:00:00Z",
    }


async def test_the_next_recurrence_is_the_first_one_from_now_whether_or_not_it_has_begun(app):
    await created(app)
    daily = {**GRANT, "effectiveAt": "2026-03-05T10:00:00Z", "recurrence": {"interval": "DAY"}}
    late = {
        **GRANT,
        "effectiveAt": "2026-03-05T15:00:00Z",
        "recurrence": {"interval": "PT30M", "anchor": "2026-03-05T11:40:59Z"},
    }

    first = (await app.post(f"{V2}/tokens/grants", daily)).json()
    second = (await app.post(f"{V2}/tokens/grants", late)).json()

    assert first["nextRecurrence"] == "2026-03-06T10:00:00Z"
    assert second["nextRecurrence"] == "2026-03-05T12:10:00Z"
    assert second["recurrence"] == {
        "interval": "PT30M",
        "intervalISO": "PT30M",
        "anchor": "2026-03-05T11:40:00Z",
    }


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"amount": 0}, "grant_amount_must_be_positive"),
        ({"amount": -1}, "invalid_body"),
        ({"amount": "10"}, "invalid_body"),
        ({"amount": 1e28}, "number_out_of_range"),
        ({"amount": 1e-60}, "number_out_of_range"),
        ({"priority": 0}, "invalid_body"),
        ({"priority": 256}, "invalid_body"),
        ({"priority": 1.5}, "invalid_body"),
        ({"effectiveAt": None}, "invalid_body"),
        ({"effectiveAt": "2026-03-05T05:59:59Z"}, "grant_before_the_period"),
        ({"expiration": {"duration": "MINUTE", "count": 1}}, "invalid_body"),
        ({"expiration": {"duration": "DAY", "count": 0}}, "invalid_body"),
        ({"expiration": {"duration": "DAY", "count": 1001}}, "invalid_body"),
        ({"effectiveAt": "9999-12-31T00:00:00Z", "expiration": {"duration": "DAY", "count": 2}},
         "time_out_of_range"),
        ({"maxRolloverAmount": -1}, "rollover_negative"),
        ({"minRolloverAmount": -1}, "rollover_negative"),
        ({"recurrence": {"interval": "PT1S"}}, "recurrence_too_short"),
        ({"recurrence": {"interval": "often"}}, "invalid_duration"),
        ({"recurrence": {"interval": "P0D"}}, "interval_not_positive"),
        ({"metadata": {"a": "\0"}}, "text_invalid"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("base", [V1, V2])
async def test_what_a_grant_cannot_be(app, base, change, code):
    await created(app)

    status, found, _ = problem_of(await app.post(f"{base}/tokens/grants", {**EXPIRING, **change}))

    assert (status, found) == (400, code)
    assert (await app.get("/api/v1/grants")).json() == []


async def test_what_only_one_version_says_of_grants(app):
    await created(app)

    assert problem_of(await app.post(f"{V1}/tokens/grants", GRANT))[1] == "invalid_body"
    deep = {**GRANT, "annotations": {"a": "x" * 70_000}}
    assert problem_of(await app.post(f"{V2}/tokens/grants", deep))[1] == "annotations_too_large"


async def test_a_void_grant_stays_in_the_lists_with_its_end(app):
    made = await created(app)
    grant = (await app.post(f"{V2}/tokens/grants", GRANT)).json()
    path = f"/api/v1/grants/{grant['id']}"

    for at, code in (
        ("2026-03-05T12:00:01Z", "void_in_the_future"),
        ("2026-03-05T05:59:00Z", "void_before_the_period"),
        ("noon", "invalid_parameter"),
    ):
        answer = await app.request("DELETE", path, params={"at": at})
        assert problem_of(answer)[:2] == (400, code)
    voided = await app.request("DELETE", path.lower())
    again = await app.request("DELETE", path)

    assert voided.status_code == 204
    assert problem_of(again)[:2] == (400, "grant_already_voided")
    [shown] = (await app.get(f"{V2}/{made['id']}/grants")).json()["items"]
    assert shown["voidedAt"] == "2026-03-05T12:00:00Z"


async def test_more_grants_and_resets_than_the_bounds_are_refused(app):
    app.app.state.calls = replace(
        app.app.state.calls, entitlements=Bounds(grants_max=1, resets_max=1)
    )
    made = await created(app)
    await app.post(f"{V2}/tokens/grants", GRANT)
    await app.post(f"{V2}/tokens/reset", {"effectiveAt": "2026-03-05T11:00:00Z"})

    grant = await app.post(f"{V1}/{made['id']}/grants", EXPIRING)
    reset = await app.post(f"{V1}/{made['id']}/reset", {})

    assert problem_of(grant)[:2] == (400, "too_many_grants")
    assert problem_of(reset)[:2] == (400, "too_many_resets")


# -- of a subscription


async def test_what_a_subscription_manages_is_forbidden_to_change(app):
    def make(opening: Opening):
        wish = a_wish(Kind.METERED, annotations={SUBSCRIPTION_MARK: "x"}, grants=[a_grant_wish()])
        return opened(opening, wish, new_id=lambda: next(app._ids), bounds=BOUNDS)

    made, _ = await app.entitlements.create(ACME, TOKENS, make)
    [grant] = (await app.get("/api/v1/grants")).json()
    shown = (await app.get(f"{V2}/tokens")).json()

    assert shown["annotations"] == {SUBSCRIPTION_MARK: "x"}
    for method, path, body in (
        ("DELETE", f"{V1}/{made.id}", None),
        ("DELETE", f"{V2}/tokens", None),
        ("PUT", f"{V1}/tokens/override", FLAG),
        ("PUT", f"{V2}/tokens/override", FLAG),
        ("POST", f"{V1}/{made.id}/reset", {}),
        ("POST", f"{V2}/tokens/reset", {}),
        ("POST", f"{V1}/tokens/grants", EXPIRING),
        ("POST", f"{V2}/tokens/grants", GRANT),
        ("DELETE", f"/api/v1/grants/{grant['id']}", None),
    ):
        answer = await app.request(method, path, **({} if body is None else {"json": body}))
        assert problem_of(answer)[:2] == (403, "forbidden"), path


# -- lists


@pytest.fixture
async def many(app):
    """Three entitlements, an hour apart: tokens (ended), tokens again, seats; and one grant."""
    app.first = await created(app)
    await app.post(f"{V2}/tokens/grants", GRANT)
    app.now += timedelta(hours=1)
    app.second = (await app.request("PUT", f"{V2}/tokens/override", json=FLAG)).json()
    app.now += timedelta(hours=1)
    app.third = await created(
        app, "/api/v2/customers/other/entitlements", STATIC, featureKey="seats"
    )
    return app


async def ids_at(app, path):
    answer = (await app.get(path)).json()
    return [one["id"] for one in (answer["items"] if isinstance(answer, dict) else answer)]


async def test_v1_lists_are_arrays_unless_a_page_is_asked_for(many):
    first, second, third = (one["id"] for one in (many.first, many.second, many.third))
    path = "/api/v1/entitlements"

    assert await ids_at(many, path) == [first, second, third]
    assert await ids_at(many, f"{path}?limit=1&offset=1") == [second]
    assert await ids_at(many, f"{path}?order=DESC&limit=2") == [third, second]
    page = (await many.get(f"{path}?pageSize=2&page=2&limit=1")).json()
    assert (page["page"], page["pageSize"], page["totalCount"]) == (2, 2, 3)
    assert [one["id"] for one in page["items"]] == [third]
    far = (await many.get(f"{path}?page={10**30}")).json()
    assert (far["items"], far["totalCount"]) == ([], 3)


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("feature=tokens", "first second"),
        ("subject=s2&subject=nobody", "first second"),
        ("entitlementType=static&entitlementType=metered", "first third"),
        ("excludeInactive=true", "second third"),
        ("feature=tokens&excludeInactive=true", "second"),
        ("feature=nothing", ""),
    ],
)
async def test_filters_of_v1_lists(many, query, names):
    expected = [getattr(many, name)["id"] for name in names.split()]

    assert await ids_at(many, f"/api/v1/entitlements?{query}") == expected


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("customerKeys=acme", "first second"),
        ("customerKeys=acme&customerKeys=other&orderBy=createdAt", "first second third"),
        ("customerKeys=nobody", ""),
        ("excludeInactive=true&entitlementType=boolean", "second"),
    ],
)
async def test_v2_lists_are_always_pages(many, query, names):
    expected = [getattr(many, name)["id"] for name in names.split()]

    answer = (await many.get(f"/api/v2/entitlements?{query}&limit=1&offset=1")).json()

    assert [one["id"] for one in answer["items"]] == expected
    assert (answer["page"], answer["pageSize"]) == (1, 100)


async def test_lists_of_one_owner_show_the_active_ones_only(many):
    second = [many.second["id"]]

    assert await ids_at(many, f"{V1}?includeDeleted=true") == second
    assert await ids_at(many, f"{V2}?includeDeleted=true") == second
    await many.request("DELETE", f"{V2}/tokens")
    assert await ids_at(many, V1) == []
    assert await ids_at(many, "/api/v1/entitlements") == [many.first["id"], many.third["id"]]


async def test_lists_of_grants_have_the_paging_of_their_version(many):
    [grant] = await ids_at(many, "/api/v1/grants")

    one = (await many.get("/api/v1/grants?page=1&subject=s1")).json()
    two = (await many.get("/api/v2/grants?customer=acme")).json()
    paged = (await many.get("/api/v2/grants?pageSize=5&feature=tokens")).json()
    cut = (await many.get("/api/v2/grants?limit=1&offset=1")).json()

    assert (one["page"], one["pageSize"], one["totalCount"]) == (1, 100, 1)
    assert (two["page"], two["pageSize"], two["totalCount"]) == (0, 0, 1)
    assert (paged["page"], paged["pageSize"]) == (1, 5)
    assert (cut["items"], cut["totalCount"]) == ([], 1)
    assert [one["id"] for one in paged["items"]] == [grant]
    assert await ids_at(many, "/api/v2/grants?customer=other") == []


async def test_grants_of_a_deleted_entitlement_and_of_a_deleted_customer_are_in_no_list(many):
    acme = (await many.get("/api/v1/customers/acme")).json()["id"]
    await many.request("DELETE", f"{V2}/{many.first['id']}")
    await many.request("DELETE", f"{V2}/tokens")
    await many.request("DELETE", "/api/v1/customers/acme")

    assert await ids_at(many, "/api/v1/grants?includeDeleted=true") == []
    assert await ids_at(many, f"/api/v2/grants?customer={acme}") == []
