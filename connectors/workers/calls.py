"""One call to one worker over a connection that is kept: an Ask goes, a Told comes."""

from __future__ import annotations

from dataclasses import dataclass

import aiohttp
import msgspec

from domain.errors import Unavailable
from schemas.balances import Ask, Told

PATH = "/internal/balances"
_READ_BYTES = 1 << 20
_HEADERS = {"content-type": "application/msgpack"}

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Told).decode


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """`timeout_s` bounds a whole call; `told_bytes_max` an answer; `connections_max` those to one worker."""

    namespace: str
    secret: str | None = None
    timeout_s: float = 0.5
    told_bytes_max: int = 64 << 20
    connections_max: int = 32


class WorkerCalls:
    """Belongs to the event loop that makes the first call."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._http: aiohttp.ClientSession | None = None
        self._headers = _HEADERS | {"meterstream-namespace": options.namespace}
        if options.secret is not None:
            self._headers["meterstream-secret"] = options.secret

    async def call(self, url: str, ask: Ask) -> Told:
        """The answers, as many as questions. Unavailable: the worker is away, slow, or says something else."""
        body = await self.post(url, PATH, _encode(ask))
        try:
            told = _decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Unavailable(f"worker {url}: {error}") from error
        if len(told.answers) != len(ask.questions):
            raise Unavailable(f"worker {url}: {len(told.answers)} of {len(ask.questions)} answers")
        return told

    async def post(self, url: str, path: str, body: bytes) -> bytes | bytearray:
        """The body of the answer. Unavailable, as `call`."""
        try:
            async with self._session().post(url + path, data=body, headers=self._headers) as answer:
                status, told = answer.status, await self._body(answer)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise Unavailable(f"worker {url}: {type(error).__name__}: {error}") from error
        if status != 200:
            raise Unavailable(f"worker {url}: status {status}: {told[:300]!r}")
        return told

    async def close(self) -> None:
        """Disconnect."""
        if self._http is not None:
            await self._http.close()

    async def _body(self, answer: aiohttp.ClientResponse) -> bytearray:
        body = bytearray()
        async for part in answer.content.iter_any():
            body += part
            if len(body) > self._options.told_bytes_max:
                raise Unavailable(f"more than {self._options.told_bytes_max} bytes of answers")
        return body

    def _session(self) -> aiohttp.ClientSession:
        if self._http is None:
            self._http = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=0, limit_per_host=self._options.connections_max, keepalive_timeout=60
                ),
                timeout=aiohttp.ClientTimeout(total=self._options.timeout_s),
                auto_decompress=False,
                read_bufsize=_READ_BYTES,
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._http
