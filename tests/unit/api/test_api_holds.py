"""Holds over HTTP: what is checked before a worker is asked, and how its answers look."""

from decimal import Decimal

import pytest

from schemas.holds import Confirm, Create, HoldTold, List, Read, Release
from tests.api_app import AnApp, FixedHolds, a_hold_view, problem_of
from tests.builders import NOON, ULIDS

HOLDS = "/api/v1/customers/acme/entitlements/tokens/holds"
EVENT = {"id": "1", "source": "s", "specversion": "1.0", "type": "t", "subject": "acme"}


async def test_a_hold_is_asked_for_and_shown():
    app = AnApp()

    answer = await app.post(
        HOLDS, {"key": "job-1", "amount": 100, "expiresIn": 30, "metadata": {"a": "b"}}
    )

    assert answer.status_code == 201
    assert answer.json() == {
        "id": ULIDS[30],
        "key": "job-1",
        "customerId": ULIDS[31],
        "entitlementId": ULIDS[32],
        "featureId": ULIDS[33],
        "featureKey": "tokens",
        "amount": 100,
        "balance": 0.5,
        "status": "active",
        "createdAt": "2026-03-05T12:00:00Z",
        "expiresAt": "2026-03-05T12:00:00Z",
    }
    (call,) = app.holds.asked
    assert (call.customer, call.entitlement) == ("acme", "tokens")
    assert isinstance(call.request, Create)
    assert (call.request.amount, call.request.expires_in_s) == (Decimal(100), 30)
    assert call.request.metadata == {"a": "b"}


async def test_the_first_answer_again_is_200():
    app = AnApp(holds=FixedHolds(HoldTold(holds=(a_hold_view(),))))

    assert (await app.post(HOLDS, {"key": "k", "amount": 1})).status_code == 200


async def test_the_same_meaning_is_the_same_request():
    app = AnApp()
    for amount in ("100", "100.0", '"1e2"', "99"):
        body = f'{{"key": "k", "amount": {amount}}}'.encode()
        await app.request("POST", HOLDS, content=body, headers={"content-type": "application/json"})

    digests = [call.request.digest for call in app.holds.asked]

    assert digests[0] == digests[1] == digests[2] != digests[3]


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ({"amount": 1}, "invalid_body", None),
        ({"key": "", "amount": 1}, "invalid_body", "$.key"),
        ({"key": "k" * 257, "amount": 1}, "invalid_body", "$.key"),
        ({"key": "k"}, "invalid_body", None),
        ({"key": "k", "amount": "many"}, "invalid_body", "$.amount"),
        ({"key": "k", "amount": 0}, "hold_amount_invalid", "$.amount"),
        ({"key": "k", "amount": -1}, "hold_amount_invalid", "$.amount"),
        ({"key": "k", "amount": "NaN"}, "hold_amount_invalid", "$.amount"),
        ({"key": "k", "amount": "Infinity"}, "hold_amount_invalid", "$.amount"),
        ({"key": "k", "amount": 1e30}, "hold_amount_invalid", "$.amount"),
        ({"key": "k", "amount": "1e-50"}, "hold_amount_invalid", "$.amount"),
        ({"key": "k", "amount": 1, "expiresIn": 0}, "hold_expiry_invalid", "$.expiresIn"),
        ({"key": "k", "amount": 1, "expiresIn": 1e300}, "hold_expiry_invalid", "$.expiresIn"),
        ({"key": "k", "amount": 1, "expiresAt": "soon"}, "invalid_body", "$.expiresAt"),
        (
            {"key": "k", "amount": 1, "expiresIn": 1, "expiresAt": "2026-03-05T12:00:00Z"},
            "hold_expiry_invalid",
            "$.expiresAt",
        ),
        (
            {"key": "k", "amount": 1, "metadata": {"a": "b" * 9000}},
            "metadata_too_large",
            "$.metadata",
        ),
    ],
)
async def test_a_wrong_request_is_refused_before_a_worker_is_asked(body, code, field):
    app = AnApp()

    answer = await app.post(HOLDS, body)

    assert problem_of(answer) == (400, code, field)
    assert not app.holds.asked


async def test_a_confirmation_says_what_was_used():
    app = AnApp(holds=FixedHolds(HoldTold(holds=(a_hold_view(used=Decimal(7), ended_at=NOON),))))

    answer = await app.post(f"{HOLDS}/a%2Fb/confirm", {"used": 7})

    assert (answer.status_code, answer.json()["used"]) == (200, 7)
    (call,) = app.holds.asked
    assert isinstance(call.request, Confirm)
    assert (call.request.key, call.request.used) == ("a/b", 7)


async def test_a_confirmation_by_event_gives_it_its_time_and_keeps_its_digits():
    app = AnApp()
    body = (
        b'{"event": {"id": "1", "source": "s", "specversion": "1.0", "type": "t", "subject": "acme",'
        b' "data": {"n": 0.12345678901234567890123}}}'
    )

    await app.request(
        "POST", f"{HOLDS}/k/confirm", content=body, headers={"content-type": "application/json"}
    )

    (call,) = app.holds.asked
    assert '"time":"2026-03-05T12:00:00Z"' in call.request.event
    assert "0.12345678901234567890123" in call.request.event


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ({}, (400, "hold_used_or_event", "$.used")),
        ({"used": 1, "event": EVENT}, (400, "hold_used_or_event", "$.used")),
        ({"used": -1}, (400, "hold_amount_invalid", "$.used")),
        ({"event": {**EVENT, "subject": ""}}, (400, "empty_field", "$.event.subject")),
        ({"event": "x"}, (400, "not_a_cloudevent", "$.event")),
        ({"event": {**EVENT, "data": {"a": "x" * 70_000}}}, (413, "event_too_large", "$.event")),
    ],
)
async def test_a_wrong_confirmation_is_refused(body, problem):
    app = AnApp()

    assert problem_of(await app.post(f"{HOLDS}/k/confirm", body)) == problem
    assert not app.holds.asked


async def test_release_read_and_list_ask_for_what_the_path_says():
    app = AnApp()

    await app.post(f"{HOLDS}/k/release")
    await app.get(f"{HOLDS}/k")
    page = await app.get(HOLDS, params={"limit": 1, "after": "j"})

    assert [call.request for call in app.holds.asked] == [
        Release(key="k"),
        Read(key="k"),
        List(limit=1, after="j"),
    ]
    assert page.json()["nextAfter"] == "job-1"


@pytest.mark.parametrize(
    ("told", "problem"),
    [
        (
            HoldTold(why="conflict", code="hold_exceeds_balance", message="m"),
            (409, "hold_exceeds_balance", None),
        ),
        (
            HoldTold(why="refused", code="hold_not_metered", message="m", field="entitlement"),
            (400, "hold_not_metered", "entitlement"),
        ),
        (HoldTold(why="not_found", code="not_found", message="m"), (404, "not_found", None)),
        (HoldTold(why="precondition_failed", message="m"), (412, "precondition_failed", None)),
        (HoldTold(why="unavailable", message="m"), (503, None, None)),
    ],
)
async def test_what_stands_against_it_is_a_problem(told, problem):
    app = AnApp(holds=FixedHolds(told))

    answer = await app.post(HOLDS, {"key": "k", "amount": 1})

    assert problem_of(answer) == problem
    assert ("retry-after" in answer.headers) == (answer.status_code == 503)
