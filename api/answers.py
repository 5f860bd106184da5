"""JSON answers: msgspec, with the characters escaped that HTML would read."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
from starlette.responses import Response

from api.times import Time, in_utc

_ESCAPES = (
    (b"<", b"\\u003c"),
    (b">", b"\\u003e"),
    (b"&", b"\\u0026"),
    ("\u2028".encode(), b"\\u2028"),
    ("\u2029".encode(), b"\\u2029"),
)


def _plain(value: object) -> datetime:
    if isinstance(value, Time):
        return in_utc(value)
    raise TypeError(f"{type(value).__name__} has no form in JSON")


_encode = msgspec.json.Encoder(enc_hook=_plain).encode


def json_bytes(content: Any) -> bytes:
    """JSON text; outside of strings none of the escaped characters occurs, so bytes may be replaced."""
    text = _encode(content)
    for character, escape in _ESCAPES:
        if character in text:
            text = text.replace(character, escape)
    return text


def json_answer(content: Any, status: int = 200) -> Response:
    """`content` as application/json."""
    return Response(json_bytes(content), status, media_type="application/json")


def no_content() -> Response:
    """204."""
    return Response(status_code=204)
