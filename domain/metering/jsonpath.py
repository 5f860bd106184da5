"""Our own small evaluator of JSONPath: members, indexes and `[*]` (the first element), as the reference's engine takes them.

Bounded: a path has at most 256 characters and 16 steps; recursive descent, filters, slices and negative indexes are
refused when the meter is made. Source: design "JSONPath".
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from domain.errors import Refused

PATH_LENGTH_MAX = 256
STEPS_MAX = 16


class _Missing:
    def __repr__(self) -> str:
        return "MISSING"


MISSING = _Missing()
"""What a path finds when nothing is there; null is found as None."""

_STEP = re.compile(
    r"""\.(?P<name>[A-Za-z_][A-Za-z0-9_\-]*)
      | \[\s*"(?P<double>(?:[^"\\]|\\.)*)"\s*\]
      | \[\s*'(?P<single>(?:[^'\\]|\\.)*)'\s*\]
      | \[\s*(?P<index>\d{1,9})\s*\]
      | \[\s*(?P<any>\*)\s*\]""",
    re.VERBOSE,
)
_ESCAPED = re.compile(r"\\(.)")


@dataclass(frozen=True, slots=True)
class JsonPath:
    """A compiled path; a step is a member name, or an index (`[*]` is index 0)."""

    text: str
    steps: tuple[str | int, ...]
    find: Callable[[object], object]


@lru_cache(maxsize=4096)
def compile_path(text: str) -> JsonPath:
    """Compile `text`; Refused with code `path_invalid` when it is not of the accepted grammar."""
    if not text.startswith("$"):
        raise Refused("path_invalid", f"a JSONPath starts with $: {text!r}")
    if len(text) > PATH_LENGTH_MAX:
        raise Refused(
            "path_too_long",
            f"a JSONPath has at most {PATH_LENGTH_MAX} characters, this one has {len(text)}",
        )
    steps: list[str | int] = []
    at = 1
    while at < len(text):
        match = _STEP.match(text, at)
        if match is None:
            raise Refused(
                "path_invalid",
                f"JSONPath {text!r} is not understood from character {at + 1}: {text[at : at + 20]!r}",
            )
        steps.append(_step(match))
        at = match.end()
    if len(steps) > STEPS_MAX:
        raise Refused(
            "path_too_long", f"a JSONPath has at most {STEPS_MAX} steps, this one has {len(steps)}"
        )
    return JsonPath(text, tuple(steps), _finder(tuple(steps)))


def _step(match: re.Match[str]) -> str | int:
    if match["name"] is not None:
        return match["name"]
    if match["index"] is not None:
        return int(match["index"])
    if match["any"] is not None:
        return 0
    quoted = match["double"] if match["double"] is not None else match["single"]
    return _ESCAPED.sub(r"\1", quoted)


def _finder(steps: tuple[str | int, ...]) -> Callable[[object], object]:
    if len(steps) == 1 and isinstance(steps[0], str):
        name = steps[0]

        def find_member(data: object) -> object:
            return data.get(name, MISSING) if type(data) is dict else MISSING

        return find_member

    def find(data: object) -> object:
        for step in steps:
            if type(step) is str:
                if type(data) is not dict:
                    return MISSING
                data = data.get(step, MISSING)
            elif type(step) is int:
                if type(data) is not list or step >= len(data):
                    return MISSING
                data = data[step]
        return data

    return find
