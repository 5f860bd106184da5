"""Reads request bodies within bounds: one body, and all bodies that are held at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from starlette.requests import Request

from api import metrics
from domain.errors import Refused, Unavailable


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyBounds:
    """Bytes of one request's body, and of all bodies in memory."""

    bytes_max: int
    in_flight_bytes_max: int


class Bodies:
    """Hands out bodies; what they hold together stays below the bound."""

    def __init__(self, bounds: BodyBounds) -> None:
        self._bounds = bounds
        self._held = 0

    @asynccontextmanager
    async def read(self, request: Request) -> AsyncIterator[bytes]:
        """The whole body, held until the block ends. Refused (`body_too_large`) as soon as it is known, Unavailable."""
        announced = request.headers.get("content-length", "")
        if announced.isascii() and announced.isdigit():
            self._check(int(announced))
        chunks: list[bytes] = []
        size = 0
        try:
            async for chunk in request.stream():
                self._check(size + len(chunk))
                self._hold(len(chunk))
                size += len(chunk)
                chunks.append(chunk)
            yield chunks[0] if len(chunks) == 1 else b"".join(chunks)
        finally:
            self._hold(-size)

    def _check(self, size: int) -> None:
        if size > self._bounds.bytes_max:
            raise Refused("body_too_large", f"a body has at most {self._bounds.bytes_max} bytes")

    def _hold(self, size: int) -> None:
        if size > 0 and self._held + size > self._bounds.in_flight_bytes_max:
            raise Unavailable("too many bytes of requests are under way: try again later")
        self._held += size
        metrics.in_flight_bytes.set(self._held)
