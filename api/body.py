"""Reads request bodies within bounds: one body, and all bodies that are held at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from starlette.requests import Request

from api import metrics
from domain.errors import Refused, Unavailable


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyBounds:
    """Bytes of one request's body, and of all bodies in memory; seconds that a body may take to arrive."""

    bytes_max: int
    in_flight_bytes_max: int
    read_s_max: float = 60.0


@dataclass(slots=True)
class _Body:
    """What has arrived of one body."""

    chunks: list[bytes] = field(default_factory=list)
    size: int = 0


class Bodies:
    """Hands out bodies; what they hold together stays below the bound."""

    def __init__(self, bounds: BodyBounds) -> None:
        self._bounds = bounds
        self._held = 0

    @asynccontextmanager
    async def read(self, request: Request) -> AsyncIterator[bytes]:
        """The whole body, held until the block ends.

        Refused (`body_too_large`) as soon as that is known, Refused (`body_too_slow`), Unavailable when too much is held.
        """
        announced = request.headers.get("content-length", "")
        if announced.isascii() and announced.isdigit():
            self._check(int(announced))
        body = _Body()
        try:
            await self._fill(body, request)
            yield body.chunks[0] if len(body.chunks) == 1 else b"".join(body.chunks)
        finally:
            self._hold(-body.size)

    async def _fill(self, body: _Body, request: Request) -> None:
        try:
            async with asyncio.timeout(self._bounds.read_s_max):
                async for chunk in request.stream():
                    self._check(body.size + len(chunk))
                    self._hold(len(chunk))
                    body.size += len(chunk)
                    body.chunks.append(chunk)
        except TimeoutError:
            raise Refused(
                "body_too_slow", f"a body arrives within {self._bounds.read_s_max:g} s"
            ) from None

    def _check(self, size: int) -> None:
        if size > self._bounds.bytes_max:
            raise Refused("body_too_large", f"a body has at most {self._bounds.bytes_max} bytes")

    def _hold(self, size: int) -> None:
        if size > 0 and self._held + size > self._bounds.in_flight_bytes_max:
            raise Unavailable("too many bytes of requests are under way: try again later")
        self._held += size
        metrics.in_flight_bytes.set(self._held)
