"""Worked examples as YAML files: how they are read and compared (tests/golden/README.md)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import yaml

GOLDEN = Path(__file__).parent
RULES = GOLDEN.parents[1] / "docs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One file: `kind` is its folder."""

    kind: str
    name: str
    title: str
    source: str
    input: Mapping[str, object]
    expect: Mapping[str, object]


def read_examples(folder: Path = GOLDEN) -> list[Example]:
    """Every example below the folder, sorted by path."""
    return [_read(path) for path in sorted(folder.glob("*/*.yaml"))]


def differences(expected: object, got: object, path: str = "$") -> list[str]:
    """Where `got` is not as expected. Of an object only the fields that are expected are compared, of a list all of it."""
    if isinstance(expected, Mapping) and isinstance(got, Mapping):
        missing = [f"{path}.{name}: is missing" for name in expected if name not in got]
        return missing + [
            difference
            for name, value in expected.items()
            if name in got
            for difference in differences(value, got[name], f"{path}.{name}")
        ]
    if isinstance(expected, list) and isinstance(got, list):
        if len(expected) != len(got):
            return [f"{path}: has {len(got)} elements, expected are {len(expected)}: {got}"]
        return [
            difference
            for index, (one, other) in enumerate(zip(expected, got, strict=True))
            for difference in differences(one, other, f"{path}[{index}]")
        ]
    same = expected == got and isinstance(expected, bool) == isinstance(got, bool)
    return [] if same else [f"{path}: is {got!r}, expected is {expected!r}"]


def headings(page: Path) -> set[str]:
    """The anchors of a Markdown page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def _read(path: Path) -> Example:
    content = yaml.load(path.read_text(), Loader=_Loader)  # a SafeLoader with fewer types
    return Example(kind=path.parent.name, name=path.stem, **content)


class _Loader(yaml.SafeLoader):
    """YAML with JSON's types only: numbers keep their digits, times stay texts."""

    yaml_implicit_resolvers = {}  # noqa: RUF012  # as in the class that it replaces


_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^null$"), ["n"])
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|false)$"), ["t", "f"])
_Loader.add_implicit_resolver(
    "!decimal", re.compile(r"^-?[0-9]+(?:\.[0-9]+)?$"), list("-0123456789")
)
_Loader.add_constructor("!decimal", lambda _, node: Decimal(str(node.value)))
