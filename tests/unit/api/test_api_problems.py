"""Paths, methods and failures: every error is a problem document."""

import httpx
import pytest

from api.app import create_app
from domain.errors import Unavailable
from domain.metering.query import ResultRow
from tests.api_app import AnApp, a_stored_event, problem_of


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/api/v1/nothing", 404),
        ("GET", "/api/v1/meters/", 404),
        ("GET", "/api/v1/meters/tokens/", 404),
        ("GET", "/api/v1/meters//query", 404),
        ("PATCH", "/api/v1/meters", 405),
        ("DELETE", "/api/v1/events", 405),
        ("POST", "/api/v2/events", 405),
        ("PUT", "/api/v1/meters/tokens/query", 405),
        ("HEAD", "/api/v1/meters", 405),
        ("OPTIONS", "/api/v1/meters/tokens", 405),
    ],
)
async def test_unknown_paths_and_methods_are_problems_without_detail(method, path, status):
    answer = await AnApp().request(method, path)

    assert answer.status_code == status
    if method != "HEAD":
        assert problem_of(answer) == (status, None, None)
        assert "detail" not in answer.json()


async def test_a_wrong_method_is_told_the_right_ones():
    answer = await AnApp().request("PATCH", "/api/v1/meters/tokens")

    assert answer.headers["allow"] == "DELETE, GET, PUT"


@pytest.mark.parametrize(
    "slug", ["BAD", "a--b", "a%2Fb", "%ff", "a%00", "a" * 65, "a'; DROP TABLE x"]
)
async def test_a_path_that_can_name_no_meter_is_refused(slug):
    answer = await AnApp().get(f"/api/v1/meters/{slug}")

    assert problem_of(answer) == (400, "invalid_parameter", "meterIdOrSlug")


async def test_what_is_unknown_is_404_with_a_detail():
    answer = await AnApp().get("/api/v1/meters/nobody")

    assert problem_of(answer)[:2] == (404, "not_found")
    assert answer.json()["detail"]


async def test_a_service_that_is_down_is_503_and_says_when_to_come_back():
    app = AnApp()
    app.log.error = Unavailable("Kafka: all brokers are down")

    answer = await app.ingest(
        b'{"id":"1","source":"s","type":"t","subject":"x","specversion":"1.0"}'
    )

    assert problem_of(answer)[0] == 503
    assert answer.headers["retry-after"] == "1"


async def test_our_own_mistake_is_500_and_tells_nothing():
    app = AnApp()
    app.log.error = RuntimeError("password=hunter2")

    answer = await app.ingest(
        b'{"id":"1","source":"s","type":"t","subject":"x","specversion":"1.0"}'
    )

    assert problem_of(answer) == (500, None, None)
    assert "detail" not in answer.json()
    assert "hunter2" not in answer.text


async def test_the_request_id_of_the_client_is_used():
    answer = await AnApp().get("/api/v1/nothing", headers={"x-request-id": "abc-123"})

    assert answer.json()["instance"] == "urn:request:abc-123"


@pytest.mark.parametrize("given", ["", "two words", "x" * 129, "é"])
async def test_a_request_id_that_is_none_is_replaced(given):
    answer = await AnApp().get("/api/v1/nothing", headers={"x-request-id": given.encode()})

    assert answer.json()["instance"] != f"urn:request:{given}"


async def test_characters_of_html_are_escaped_in_json():
    app = AnApp()
    app.events.events = [a_stored_event("<b>&\u2028", data='{"x":"</script>"}')]

    answer = await app.get("/api/v1/events")

    assert b"<" not in answer.content
    assert b"&" not in answer.content
    assert answer.json()[0]["event"]["id"] == "<b>&\u2028"
    assert answer.json()[0]["event"]["data"] == {"x": "</script>"}


async def test_a_sum_beyond_doubles_is_shown_as_the_largest():
    app = AnApp()
    await app.with_meter()
    app.usage.rows = [ResultRow(window_start=0, window_end=60, value=float("inf"))]

    answer = await app.get("/api/v1/meters/tokens/query")

    assert answer.json()["data"][0]["value"] == 1.7976931348623157e308


async def test_before_the_services_are_there_everything_is_503_but_liveness():
    client = httpx.AsyncClient(transport=httpx.ASGITransport(create_app()), base_url="http://test")

    answers = {
        path: (await client.get(path)).status_code
        for path in ("/api/v1/meters", "/healthz/ready", "/healthz/live", "/metrics", "/version")
    }

    assert answers == {
        "/api/v1/meters": 503,
        "/healthz/ready": 503,
        "/healthz/live": 200,
        "/metrics": 200,
        "/version": 200,
    }


async def test_readiness_names_the_service_that_does_not_answer():
    app = AnApp()

    async def fine():
        pass

    async def down():
        raise Unavailable("Kafka: all brokers are down")

    app.app.state.checks = {"kafka": down, "postgres": fine}

    answer = await app.get("/healthz/ready")

    assert answer.status_code == 503
    assert answer.json()["checks"] == {"kafka": "Kafka: all brokers are down", "postgres": "ok"}
