"""Our own small evaluator of JSONPath: members, indexes and `[*]`, read as ClickHouse's JSON_VALUE reads them.

`$.name`, `$["any text"]`, `$['any text']`, `$[0]`, `$[*]`. A path that matches more than one thing finds the first one
that is neither a list nor an object. Bounded: recursive descent, filters, ranges and negative indexes are refused when a
meter is made, and a search looks at no node twice. Source: design "JSONPath"; compared with the engine by
tests/contract/test_jsonpath_against_chdb.py.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from domain.errors import Refused

PATH_LENGTH_MAX = 256
STEPS_MAX = 16


class _Missing:
    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = _Missing()
"""What a path finds when nothing is there; null is found as None."""

Step = str | int | None
"""A member's name, an index, or None for `[*]`."""

Find = Callable[[object], object]

_STEP = re.compile(
    r"""\.(?P<name>[A-Za-z_][A-Za-z0-9_$]*)
      | \[\s*"(?P<double>(?:[^"\\]|\\["'\\])+)"\s*\]
      | \[\s*'(?P<single>(?:[^'\\]|\\["'\\])+)'\s*\]
      | \[\s*(?P<index>[0-9]{1,9})\s*\]
      | \[\s*(?P<any>\*)\s*\]""",
    re.VERBOSE | re.ASCII,
)
_ESCAPED = re.compile(r"\\(.)")


@dataclass(frozen=True, slots=True)
class JsonPath:
    """A compiled path. `find` gives the decoded value at the path, or MISSING."""

    text: str
    steps: tuple[Step, ...]
    find: Find

    def find_all(self, objects: Sequence[Mapping[str, object]]) -> list[object]:
        """What `find` gives for each of many JSON objects."""
        if len(self.steps) == 1 and isinstance(self.steps[0], str):
            name = self.steps[0]
            return [one.get(name, MISSING) for one in objects]
        return list(map(self.find, objects))


@lru_cache(maxsize=4096)
def compile_path(text: str) -> JsonPath:
    """Compile `text`; Refused with `path_invalid` or `path_too_long` when it is not of the accepted grammar."""
    if not text.startswith("$"):
        raise Refused("path_invalid", f"a JSONPath starts with $: {text[:80]!r}")
    if len(text) > PATH_LENGTH_MAX:
        raise Refused(
            "path_too_long",
            f"a JSONPath has at most {PATH_LENGTH_MAX} characters, this one has {len(text)}",
        )
    steps: list[Step] = []
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


def _step(match: re.Match[str]) -> Step:
    if match["name"] is not None:
        return match["name"]
    if match["index"] is not None:
        return int(match["index"])
    if match["any"] is not None:
        return None
    return _ESCAPED.sub(r"\1", match["double"] or match["single"])


def _finder(steps: tuple[Step, ...]) -> Find:
    if len(steps) == 1 and isinstance(steps[0], str):
        return _find_member(steps[0])
    if None in steps:
        return lambda data: _first(data, steps)
    return lambda data: _follow(data, steps)


def _find_member(name: str) -> Find:
    def find_member(data: object) -> object:
        return data.get(name, MISSING) if type(data) is dict else MISSING

    return find_member


def _follow(data: object, steps: tuple[Step, ...]) -> object:
    """What lies at `steps`, none of which is `[*]`."""
    for step in steps:
        if type(step) is str:
            if type(data) is not dict:
                return MISSING
            data = data.get(step, MISSING)
        elif type(data) is not list or type(step) is not int or step >= len(data):
            return MISSING
        else:
            data = data[step]
    return data


def _first(data: object, steps: tuple[Step, ...]) -> object:
    """The first scalar that `steps` match; else the first list or object; else MISSING."""
    if None not in steps:
        return _follow(data, steps)
    at = steps.index(None)
    items = _follow(data, steps[:at])
    if type(items) is not list:
        return MISSING
    container: object = MISSING
    for item in items:
        found = _first(item, steps[at + 1 :])
        if found is not MISSING and type(found) is not list and type(found) is not dict:
            return found
        if container is MISSING:
            container = found
    return container
