"""`/api/v1/testing/clock`: the time that rules go by, set by tests. There only with `testing.clock` in the configuration."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from api.answers import json_answer
from api.calls import Calls, calls_of
from api.parsing import read_json
from api.ports import TestingClock
from api.routing import Resource
from api.times import Time, in_utc
from domain.errors import Refused

EARLIEST = datetime(1970, 1, 2, tzinfo=UTC)
LATEST = datetime(2200, 1, 1, tzinfo=UTC)


class ClockChange(msgspec.Struct, frozen=True, kw_only=True):
    """`now` null: the real time again. `frozen`: it does not go on from there."""

    now: Time | None
    frozen: bool = False


async def read(request: Request) -> Response:
    """The time that this process goes by."""
    calls = calls_of(request)
    record = await _clock(calls).read()
    set_by = None if record is None else record.clock
    return _answer(
        calls,
        is_set=set_by is not None and set_by.at is not None,
        frozen=set_by is not None and set_by.frozen,
    )


async def change(request: Request) -> Response:
    """Set the time of every process of the namespace; this one goes by it when the answer is there."""
    calls = calls_of(request)
    body = await read_json(request, calls.bodies, ClockChange)
    at = None if body.now is None else in_utc(body.now)
    if at is None and body.frozen:
        raise Refused("clock_frozen_without_now", "the real time cannot stand still", "$.frozen")
    if at is not None and not EARLIEST <= at < LATEST:
        raise Refused(
            "time_out_of_range", f"a time from {EARLIEST:%Y-%m-%d} to before {LATEST:%Y}", "$.now"
        )
    await _clock(calls).set(at, frozen=body.frozen)
    return _answer(calls, is_set=at is not None, frozen=body.frozen)


def _clock(calls: Calls) -> TestingClock:
    found = calls.ports.testing_clock
    assert found is not None, "the route is there only with a clock to set"
    return found


def _answer(calls: Calls, *, is_set: bool, frozen: bool) -> Response:
    shown: dict[str, Any] = {"now": calls.ports.now(), "set": is_set, "frozen": frozen}
    return json_answer(shown)


CLOCK = Resource("/api/v1/testing/clock", {"GET": read, "PUT": change})
