"""The document, and a page (Swagger UI) to read it and try it. Nothing on the page asks another host."""

from __future__ import annotations

import asyncio
from functools import cache, lru_cache
from importlib import resources

import msgspec
import yaml
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from api.routing import Resource, path_text

_ASSETS = {
    "start.js": ("start.js", "text/javascript"),
    "swagger-ui-bundle.js": ("swagger-ui/swagger-ui-bundle.js", "text/javascript"),
    "swagger-ui.css": ("swagger-ui/swagger-ui.css", "text/css"),
    "favicon-32x32.png": ("swagger-ui/favicon-32x32.png", "image/png"),
}
_POLICY = {
    # Swagger UI's style sheet has its pictures inside; no script and no style stands in the page itself.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
_CACHED = {"Cache-Control": "max-age=3600"}


async def as_json(request: Request) -> Response:
    """JSON."""
    return Response(request.app.state.openapi(), media_type="application/json")


async def as_yaml(request: Request) -> Response:
    """YAML; writing it takes a while, once."""
    text = await asyncio.to_thread(_in_yaml, request.app.state.openapi())
    return Response(text, media_type="application/yaml")


@lru_cache(maxsize=1)
def _in_yaml(document: bytes) -> bytes:
    plain = msgspec.json.decode(document)
    return yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=120).encode()


async def page(request: Request) -> Response:
    """The page."""
    return Response(_read("index.html"), headers=_POLICY, media_type="text/html")


async def asset(request: Request) -> Response:
    """A part of the page."""
    found = _ASSETS.get(path_text(request, "asset"))
    if found is None:
        raise HTTPException(404)
    file, media_type = found
    return Response(_read(file), headers={**_POLICY, **_CACHED}, media_type=media_type)


@cache
def _read(file: str) -> bytes:
    return resources.files("api.openapi").joinpath("page", file).read_bytes()


RESOURCES = (
    Resource("/api/v1/openapi.json", {"GET": as_json}),
    Resource("/api/v1/openapi.yaml", {"GET": as_yaml}),
    Resource("/docs", {"GET": page}),
    Resource("/docs/{asset}", {"GET": asset}),
)
