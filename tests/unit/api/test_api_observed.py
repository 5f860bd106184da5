"""Every answer carries the id of its request, the log has it, and labels of metrics stay few."""

import json
import logging

import pytest
from prometheus_client import REGISTRY

from domain.errors import Unavailable
from tests.api_app import AnApp
from tests.builders import an_event


def value(name, **labels):
    return REGISTRY.get_sample_value(name, labels) or 0.0


def seconds(route, status):
    return value("meterstream_http_request_seconds_count", route=route, status=status)


def problems(code):
    return value("meterstream_http_problems_total", code=code)


@pytest.mark.parametrize("path", ["/api/v1/meters", "/api/v1/nothing", "/healthz/live"])
async def test_the_answer_carries_the_request_id_of_the_client(path):
    answer = await AnApp().get(path, headers={"x-request-id": "abc-123"})

    assert answer.headers["x-request-id"] == "abc-123"


async def test_an_answer_without_one_gets_a_new_one():
    app = AnApp()

    first, second = await app.get("/healthz/live"), await app.get("/healthz/live")

    assert len(first.headers["x-request-id"]) == 32
    assert first.headers["x-request-id"] != second.headers["x-request-id"]


@pytest.mark.parametrize("error", [Unavailable("down"), RuntimeError("ours")])
async def test_header_problem_and_log_of_a_failure_have_one_id(error, caplog):
    app = AnApp()
    app.log.error = error

    with caplog.at_level(logging.INFO, "api"):
        answer = await app.ingest(json.dumps(an_event()).encode())

    (record,) = [r for r in caplog.records if r.message == "request failed"]
    assert answer.headers.get_list("x-request-id") == [record.request_id]
    assert answer.json()["instance"] == f"urn:request:{record.request_id}"


async def test_debug_says_where_the_events_of_a_request_went(caplog):
    app = AnApp()

    with caplog.at_level(logging.DEBUG, "api"):
        answer = await app.ingest(json.dumps(an_event("e1")).encode())

    (record,) = [r for r in caplog.records if r.message == "events acknowledged"]
    assert record.request_id == answer.headers["x-request-id"]
    assert record.events == ["e1"]
    assert record.places == [f"{app.log.records[0][0]}/0"]


async def test_info_has_no_line_for_events_that_are_taken(caplog):
    with caplog.at_level(logging.INFO, "api"):
        await AnApp().ingest(json.dumps(an_event()).encode())

    assert caplog.records == []


async def test_paths_that_are_none_and_methods_that_are_none_share_a_label():
    app = AnApp()
    before = seconds("unknown", "404")

    for n in range(5):
        await app.get(f"/api/v1/nothing-{n}")
        await app.request(f"METHOD{n}", "/api/v1/meters")
    await app.get("/api/v1/meters/some-slug")

    labels = {
        tuple(sample.labels.get(name) for name in ("route", "method"))
        for family in REGISTRY.collect()
        for sample in family.samples
        if family.name == "meterstream_http_requests"
    }
    assert seconds("unknown", "404") == before + 5
    assert ("/api/v1/meters", "other") in labels
    assert ("/api/v1/meters/{id_or_slug}", "GET") in labels
    assert not [label for label in labels if "some-slug" in label[0] or "METHOD" in label[1]]


async def test_time_is_kept_by_route_and_status_and_problems_by_code():
    app = AnApp()
    before = seconds("/api/v1/events", "400"), problems("invalid_json")

    await app.ingest(b"{")

    after = seconds("/api/v1/events", "400"), problems("invalid_json")
    assert after == (before[0] + 1, before[1] + 1)
