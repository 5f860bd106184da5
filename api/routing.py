"""Routes: one resource a path with a handler for each method; other methods are 405. Paths are matched as they were sent.

Matching happens before percent-decoding, so that an id or key with %2F stays one part of the path.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import unquote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

Handler = Callable[[Request], Awaitable[Response]]


class Resource:
    """What answers at one path."""

    def __init__(self, path: str, handlers: Mapping[str, Handler]) -> None:
        self.path = path
        self.handlers = dict(handlers)
        self._allow = ", ".join(sorted(handlers))

    def route(self) -> Route:
        """For Starlette's router."""
        return Route(self.path, self)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer by the request's method."""
        scope["route_template"] = self.path
        handler = self.handlers.get(scope["method"])
        if handler is None:
            raise HTTPException(405, headers={"Allow": self._allow})
        response = await handler(Request(scope, receive, send))
        await response(scope, receive, send)


def path_text(request: Request, name: str) -> str:
    """A part of the path, decoded; bytes that are no UTF-8 become U+FFFD, which no id or key has."""
    return unquote(request.path_params[name], errors="replace")


class MatchAsSent:
    """Gives the router the path as it was sent."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on."""
        if scope["type"] == "http" and scope.get("raw_path"):
            scope["path"] = scope["raw_path"].decode("latin-1")
        await self._app(scope, receive, send)
