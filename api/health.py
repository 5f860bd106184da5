"""Health, metrics and version. Source: metering §9.2, §9.3."""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Awaitable, Callable, Mapping
from importlib.metadata import version

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from api.answers import json_answer
from api.routing import Resource
from domain.errors import Unavailable

CHECK_S_MAX = 3.0

Check = Callable[[], Awaitable[None]]
"""Returns when the service answers, raises Unavailable otherwise."""

Look = Callable[[], Awaitable[None]]
"""Brings gauges up to date before they are read; returns soon and does not fail."""


async def live(request: Request) -> Response:
    """The process runs."""
    return PlainTextResponse("ok")


async def ready(request: Request) -> Response:
    """Every service that requests need answers now."""
    checks: Mapping[str, Check] = request.app.state.checks
    found = dict(zip(checks, await asyncio.gather(*map(_run, checks.values())), strict=True))
    if request.app.state.calls is None:
        found["start"] = "waiting for the services"
    fine = all(text == "ok" for text in found.values())
    return json_answer(
        {"status": "ok" if fine else "unavailable", "checks": found}, 200 if fine else 503
    )


async def _run(check: Check) -> str:
    try:
        async with asyncio.timeout(CHECK_S_MAX):
            await check()
    except TimeoutError:
        return f"no answer within {CHECK_S_MAX:g} s"
    except Unavailable as error:
        return str(error)
    return "ok"


async def metrics(request: Request) -> Response:
    """For Prometheus."""
    look: Look | None = request.app.state.look
    if look is not None:
        await look()
    return Response(generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})


async def show_version(request: Request) -> Response:
    """What runs here."""
    return json_answer(
        {
            "version": version("meterstream"),
            "os": platform.system().lower(),
            "arch": platform.machine(),
        }
    )


RESOURCES = (
    Resource("/healthz", {"GET": ready, "HEAD": ready}),
    Resource("/healthz/ready", {"GET": ready, "HEAD": ready}),
    Resource("/healthz/live", {"GET": live, "HEAD": live}),
    Resource("/metrics", {"GET": metrics}),
    Resource("/version", {"GET": show_version}),
)
