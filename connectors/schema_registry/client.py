"""Asks a schema registry (Confluent's HTTP interface) for a schema by its id.

Source: Confluent Schema Registry API, `GET /schemas/ids/{id}`. Schemas that refer to others are told as unsuitable.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass

import httpx

from domain.errors import NotFound, Refused, Unavailable
from schemas.avro_schemas import SCHEMA_BYTES_MAX

_ANSWER_BYTES_MAX = 2 * SCHEMA_BYTES_MAX
"""A schema is text inside JSON: every quote has a backslash."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """`url` may hold user and password. `timeout_s` bounds a whole request."""

    url: str
    timeout_s: float = 3.0


class SchemaRegistry:
    """One HTTP client, kept."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._http = httpx.AsyncClient(
            base_url=options.url.rstrip("/") + "/",
            timeout=options.timeout_s,
            headers={"Accept": "application/vnd.schemaregistry.v1+json, application/json"},
        )

    async def schema(self, id: int) -> str:
        """The text of the schema. NotFound, Refused (not Avro, too long), Unavailable (down, slow, or it lets us not in)."""
        try:
            status, body = await self._get(f"schemas/ids/{id}")
        except (httpx.HTTPError, TimeoutError) as error:
            raise Unavailable(f"schema registry: {type(error).__name__}: {error}") from error
        if status == httpx.codes.NOT_FOUND:
            raise NotFound(f"the schema registry knows no schema with the id {id}")
        if status != httpx.codes.OK:
            raise Unavailable(f"schema registry: status {status} for schema {id}")
        return _text_of(body, id)

    async def close(self) -> None:
        """Disconnect."""
        await self._http.aclose()

    async def _get(self, path: str) -> tuple[int, bytes]:
        """Status and body; of a body that is too long, the beginning."""
        async with asyncio.timeout(self._options.timeout_s), self._http.stream("GET", path) as got:
            body = b""
            async for part in got.aiter_bytes():
                body += part
                if len(body) > _ANSWER_BYTES_MAX:
                    break
            return got.status_code, body


def _text_of(body: bytes, id: int) -> str:
    if len(body) > _ANSWER_BYTES_MAX:
        raise _unsuitable(id, f"the answer has more than {_ANSWER_BYTES_MAX} bytes")
    try:
        answer = json.loads(body)
        kind, text = answer.get("schemaType", "AVRO"), answer["schema"]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise Unavailable(
            f"schema registry: the answer for schema {id} is not one of a registry"
        ) from None
    if kind != "AVRO" or not isinstance(text, str):
        raise _unsuitable(id, f"its type is {kind}, not AVRO")
    if answer.get("references"):
        raise _unsuitable(id, "it refers to other schemas")
    return text


def _unsuitable(id: int, why: str) -> Refused:
    return Refused("avro_schema_unsuitable", f"schema {id} is not one for events: {why}")
