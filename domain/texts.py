"""What every text that is managed must keep to: a length, and characters that the database can hold."""

from __future__ import annotations

import re
from collections.abc import Mapping

from domain.errors import Refused

UNSTORABLE = re.compile("[\0\ud800-\udfff]")
"""NUL and lone surrogates: PostgreSQL has no text with them, so nothing that is stored has such a key."""

METADATA_BYTES_MAX = 64 << 10
"""Keys and values together, in UTF-8: what is managed is one record of the catalog topic."""


def check_length(field: str, text: str, least: int, most: int) -> None:
    """Refuse a text outside of `least` to `most` characters, or one that cannot be stored."""
    if not least <= len(text) <= most:
        raise Refused(
            "length_invalid",
            f"{field[2:]} has {len(text)} characters, {least}-{most} are allowed",
            field,
        )
    check_storable(field, text)


def check_storable(field: str, text: str) -> None:
    """Refuse a text with a NUL or a lone surrogate."""
    if UNSTORABLE.search(text):
        raise Refused(
            "text_invalid", f"{field[2:]} has a NUL or a lone surrogate: {text[:80]!r}", field
        )


def check_metadata(metadata: Mapping[str, str] | None) -> None:
    """Refuse metadata past `METADATA_BYTES_MAX`, or with a text that cannot be stored."""
    size = 0
    for key, value in (metadata or {}).items():
        check_storable("$.metadata", key)
        check_storable("$.metadata", value)
        size += len(key.encode()) + len(value.encode())
    if size > METADATA_BYTES_MAX:
        raise Refused(
            "metadata_too_large",
            f"metadata has {size} bytes, {METADATA_BYTES_MAX} are allowed",
            "$.metadata",
        )


def camel(name: str) -> str:
    """A name as requests have it: `postal_code` is `postalCode` there."""
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def folded(text: str) -> str:
    """The text as "contains, whatever the case" compares it: the same on every server, unlike the database's own folding."""
    return text.casefold()
