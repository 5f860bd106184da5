"""How an operation is described: the handler that answers it, what it takes, what it gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from api.parsing import parameters_of
from api.routing import Handler

JSON = "application/json"
PROBLEM = "application/problem+json"

QUERY_CODES = ("invalid_query", "invalid_parameter", "parameter_empty", "parameter_repeated")
"""What `read_query` refuses with."""

JSON_BODY_CODES = ("invalid_content_type", "body_missing", "invalid_body", "invalid_json")
"""What `read_json` refuses with."""


def words_of(query: type[msgspec.Struct], words: Mapping[str, str]) -> dict[str, str]:
    """Of words that several operations share those for this query's parameters."""
    return {
        parameter.name: words[parameter.name]
        for parameter in parameters_of(query)
        if parameter.name in words
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A success: its types by media type; nothing for one without a body."""

    says: str
    content: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method of one path, found by its handler.

    `body` has the types by media type, `examples` a body for each that can be tried as it is. `words` explains parameters and members of the body by name. `codes` are the codes of its own problems by status;
    those of parsing and of bodies are added.
    """

    handler: Handler
    id: str
    tag: str
    summary: str
    answers: Mapping[int, Answer]
    details: str = ""
    query: type[msgspec.Struct] | None = None
    body: Mapping[str, Any] = field(default_factory=dict)
    examples: Mapping[str, Any] = field(default_factory=dict)
    words: Mapping[str, str] = field(default_factory=dict)
    codes: Mapping[int, Sequence[str]] = field(default_factory=dict)
    waits_for_services: bool = True

    def problems(self) -> dict[int, list[str]]:
        """The codes of every problem by status; a status without codes has none."""
        found = {status: list(codes) for status, codes in self.codes.items()}
        if self.query is not None:
            found.setdefault(400, []).extend(QUERY_CODES)
        if self.body:
            found.setdefault(408, []).append("body_too_slow")
            found.setdefault(413, []).append("body_too_large")
            if list(self.body) == [JSON]:
                found.setdefault(400, []).extend(JSON_BODY_CODES)
        if self.waits_for_services:
            found.setdefault(503, [])
        return {status: sorted(set(codes)) for status, codes in sorted(found.items())}
