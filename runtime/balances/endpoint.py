"""`POST /internal/…` of a worker: a question in msgpack, an answer in msgpack. For api processes, not for people.

`/internal/balances`: an Ask, a Told.
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable

import msgspec
from aiohttp import web

from schemas.balances import Ask, Told

PATH = "/internal/balances"
CONTENT_TYPE = "application/msgpack"
SECRET_HEADER = "meterstream-secret"
NAMESPACE_HEADER = "meterstream-namespace"

_decode = msgspec.msgpack.Decoder(Ask).decode
_encode = msgspec.msgpack.Encoder().encode


class InternalEndpoint:
    """401 without the secret, when there is one; 400 for what cannot be read and for another namespace; 413 too long."""

    def __init__(
        self,
        path: str,
        tell: Callable[[bytes], Awaitable[bytes]],
        *,
        namespace: str,
        secret: str | None,
        bytes_max: int,
    ) -> None:
        self._path = path
        self._tell = tell
        self._namespace = namespace
        self._secret = None if secret is None else secret.encode()
        self._bytes_max = bytes_max

    def route(self) -> web.RouteDef:
        """For the worker's HTTP server."""
        return web.post(self._path, self._post)

    async def _post(self, request: web.Request) -> web.Response:
        if not self._knows_the_secret(request):
            return _problem(401, "secret_wrong", f"the header {SECRET_HEADER} is missing or wrong")
        if request.content_type != CONTENT_TYPE:
            return _problem(400, "content_type_wrong", f"send {CONTENT_TYPE}")
        if request.headers.get(NAMESPACE_HEADER) != self._namespace:
            return _problem(
                400, "namespace_unknown", f"this worker has the namespace {self._namespace}"
            )
        body = await self._body(request)
        if body is None:
            return _problem(413, "ask_too_long", f"more than {self._bytes_max} bytes")
        try:
            told = await self._tell(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            return _problem(400, "ask_unreadable", str(error))
        return web.Response(body=told, content_type=CONTENT_TYPE)

    def _knows_the_secret(self, request: web.Request) -> bool:
        if self._secret is None:
            return True
        given = request.headers.get(SECRET_HEADER, "")
        return hmac.compare_digest(given.encode(errors="surrogateescape"), self._secret)

    async def _body(self, request: web.Request) -> bytes | None:
        """None when it is longer than the bound."""
        if request.content_length is not None and request.content_length > self._bytes_max:
            return None
        found = bytearray()
        async for part in request.content.iter_any():
            found += part
            if len(found) > self._bytes_max:
                return None
        return bytes(found)


def balances_endpoint(
    tell: Callable[[Ask], Awaitable[Told]],
    *,
    namespace: str,
    secret: str | None,
    bytes_max: int,
) -> InternalEndpoint:
    """Where balances are asked for."""

    async def answer(body: bytes) -> bytes:
        return _encode(await tell(_decode(body)))

    return InternalEndpoint(PATH, answer, namespace=namespace, secret=secret, bytes_max=bytes_max)


def _problem(status: int, code: str, detail: str) -> web.Response:
    return web.json_response(
        {"type": "about:blank", "status": status, "code": code, "detail": detail},
        status=status,
        content_type="application/problem+json",
    )
