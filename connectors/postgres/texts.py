"""Texts on their way to and from Postgres."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from domain.texts import UNSTORABLE, folded


def contains_pattern(text: str) -> str:
    """The LIKE pattern of "contains, whatever the case", for a column that is kept folded."""
    escaped = folded(text)
    for character in "\\%_":
        escaped = escaped.replace(character, f"\\{character}")
    return f"%{escaped}%"


def storable(text: str) -> bool:
    """Whether Postgres can hold it; nothing that is stored has a text that it cannot."""
    return UNSTORABLE.search(text) is None


def json_text(value: Mapping[str, Any] | None) -> str | None:
    """For a jsonb column."""
    return None if value is None else msgspec.json.encode(dict(value)).decode()


def from_json(text: str | None) -> Any:
    """Of a jsonb column."""
    return None if text is None else msgspec.json.decode(text)
