"""Counts and times every request, whatever becomes of it, and gives it an id that its answer carries."""

from __future__ import annotations

import re
import time
import uuid

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import metrics

REQUEST_ID_HEADER = "X-Request-Id"

_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
_REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}\Z", re.ASCII)


class Observed:
    """The outermost layer of the application."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on and watch the answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        status = 500

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[REQUEST_ID_HEADER] = request_id_of(scope)
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            route = scope.get("route_template", "unknown")
            method = scope["method"] if scope["method"] in _METHODS else "other"
            metrics.requests.labels(route, method, status).inc()
            metrics.request_seconds.labels(route, status).observe(time.perf_counter() - began)


def request_id_of(scope: Scope) -> str:
    """The client's X-Request-Id when it is one (visible ASCII, at most 128), else a new one; the same for the whole request."""
    known: str | None = scope.get("request_id")
    if known is None:
        given = Headers(scope=scope).get(REQUEST_ID_HEADER, "")
        known = scope["request_id"] = given if _REQUEST_ID.match(given) else uuid.uuid4().hex
    return known
