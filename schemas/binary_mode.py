"""CloudEvents in binary mode: attributes as `ce_` headers of the Kafka record, the data as its value.

Source: CloudEvents 1.0.2, Kafka protocol binding, §3.2: `content-type` is the attribute datacontenttype. A record whose
content-type begins with application/cloudevents is in structured mode, whatever else its headers say.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from domain.errors import Refused
from schemas.cloudevents import Envelope, envelope_of

Headers = Sequence[tuple[str, bytes | None]]
"""As Kafka has them: in order, names may repeat, a value may be missing."""

PREFIX = "ce_"
CONTENT_TYPE = "content-type"
_STRUCTURED = b"application/cloudevents"
_MARKS = ("ce_specversion", "ce_id")
_ATTRIBUTES = ("id", "source", "type", "subject", "specversion", "time")
_READ = frozenset((CONTENT_TYPE, *(PREFIX + name for name in _ATTRIBUTES)))


def is_binary(headers: Headers) -> bool:
    """Whether the value is the data of one event, not an event."""
    marked = False
    for name, value in headers:
        if name in _MARKS:
            marked = True
        elif name.lower() == CONTENT_TYPE and _is_structured(value):
            return False
    return marked


def _is_structured(content_type: bytes | None) -> bool:
    return (content_type or b"").strip().lower().startswith(_STRUCTURED)


def decode_binary(headers: Headers, value: bytes | None) -> Envelope:
    """The event of a record in binary mode; no value is no data. Refused for what is no CloudEvent or no JSON."""
    found: dict[str, str] = {}
    for name, header in headers:
        known = CONTENT_TYPE if name.lower() == CONTENT_TYPE else name
        if header is None or known not in _READ:
            continue
        if known in found:
            raise Refused("header_repeated", f"header {known} stands twice", known)
        found[known] = _readable(known, header)
    _check_content_type(found.pop(CONTENT_TYPE, None))
    attributes = {name.removeprefix(PREFIX): text for name, text in found.items()}
    return envelope_of(attributes, msgspec.Raw(value or b""))


def _check_content_type(found: str | None) -> None:
    """No content-type is JSON: that is what data of usage events is."""
    if found is None:
        return
    kind, *parameters = [part.strip().lower() for part in found.split(";")]
    is_json = kind == "application/json" or kind.endswith("+json")
    is_utf8 = all(
        p.partition("=")[2].strip('"') in ("utf-8", "utf8", "us-ascii")
        for p in parameters
        if p.startswith("charset")
    )
    if not (is_json and is_utf8):
        raise Refused(
            "datacontenttype_unknown",
            f"the data of an event is JSON in UTF-8 (application/json): {found[:200]!r}",
            CONTENT_TYPE,
        )


def _readable(name: str, value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise Refused("header_not_text", f"header {name} is not UTF-8", name) from None
