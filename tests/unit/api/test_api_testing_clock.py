"""The route that sets the clock: there only when the configuration says so."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import httpx
import pytest
from openapi_spec_validator import validate

from api.app import create_app, openapi
from schemas.catalog import ClockRecord, catalog_record
from tests.api_app import NOON, AnApp, problem_of

PATH = "/api/v1/testing/clock"
MARCH = datetime(2026, 3, 1, tzinfo=UTC)


class MemoryClock:
    """The port TestingClock; the app's time is the one that was set."""

    def __init__(self, app):
        self._app = app
        self.newest = None

    async def read(self):
        return self.newest

    async def set(self, at, *, frozen):
        record = ClockRecord(at=at, since=at and NOON, frozen=frozen)
        self.newest = catalog_record(record, 1)
        self._app.now = at or NOON
        return record


@pytest.fixture
def client():
    app = AnApp()
    calls = app.app.state.calls
    ports = replace(calls.ports, testing_clock=MemoryClock(app))
    asgi = httpx.ASGITransport(create_app(replace(calls, ports=ports), with_testing=True))
    return httpx.AsyncClient(transport=asgi, base_url="http://test")


async def test_without_the_switch_there_is_no_such_route():
    app = AnApp()

    put = await app.request("PUT", PATH, json={"now": "2026-03-01T00:00:00Z"})

    assert put.status_code == (await app.get(PATH)).status_code == 404
    assert PATH not in json.loads(openapi())["paths"]


async def test_the_time_that_is_set_is_answered_and_null_takes_it_back(client):
    before = await client.get(PATH)
    put = await client.put(PATH, json={"now": "2026-03-01T01:00:00+01:00", "frozen": True})
    after = await client.get(PATH)
    taken_back = await client.put(PATH, json={"now": None})

    assert before.json() == {"now": "2026-03-05T12:00:00Z", "set": False, "frozen": False}
    assert put.json() == after.json()
    assert after.json() == {"now": "2026-03-01T00:00:00Z", "set": True, "frozen": True}
    assert taken_back.json() == before.json()


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({}, (400, "invalid_body", None)),
        ({"now": "2026-03-01"}, (400, "invalid_body", "$.now")),
        ({"now": "2026-03-01T00:00:00"}, (400, "invalid_body", "$.now")),
        ({"now": 5}, (400, "invalid_body", "$.now")),
        ({"now": None, "frozen": True}, (400, "clock_frozen_without_now", "$.frozen")),
        ({"now": "1970-01-01T00:00:00Z"}, (400, "time_out_of_range", "$.now")),
        ({"now": "2200-01-01T00:00:00Z"}, (400, "time_out_of_range", "$.now")),
    ],
)
async def test_a_time_that_is_none_is_refused(client, body, told):
    answer = await client.put(PATH, json=body)

    assert problem_of(answer) == told


def test_where_it_is_there_it_is_described():
    document = json.loads(openapi(with_testing=True))

    validate(document)
    assert set(document["paths"][PATH]) == {"get", "put"}
