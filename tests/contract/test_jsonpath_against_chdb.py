"""Our JSONPath finds what ClickHouse's JSON_VALUE finds, with the same text, and refuses what it refuses."""

import json
import random
from decimal import Decimal

import msgspec
import pytest

from domain.errors import Refused
from domain.metering.jsonpath import MISSING, compile_path
from domain.metering.numbers import json_text
from tests.contract.chdb_engine import ask, literal

decode = msgspec.json.Decoder(float_hook=Decimal).decode

NAMES = ["a", "b", "_x9", "A$", "true", "to", "last"]
ODD_NAMES = [
    "",
    " ",
    "a b",
    "a.b",
    "a]b",
    "é",
    "日本",
    "'",
    '"',
    "\\",
    "a'b",
    'a"b',
    "a\\b",
    "\n",
    "$",
    "*",
    "0",
    "-1",
    "`",
]


def quoted(name: str, quote: str) -> str:
    return "[" + quote + name.replace("\\", "\\\\").replace(quote, "\\" + quote) + quote + "]"


def any_value(rnd: random.Random, depth: int):
    kind = rnd.randint(0, 9)
    if depth and kind < 4:
        names = rnd.sample(NAMES + ODD_NAMES, rnd.randint(0, 5))
        return {name: any_value(rnd, depth - 1) for name in names}
    if depth and kind < 7:
        return [any_value(rnd, depth - 1) for _ in range(rnd.randint(0, 3))]
    scalars = [None, True, False, 0, -7, 2**64, 1.0, 1.1, 1e5, 1e300, -0.0, "", "x", "é\0", "null"]
    return rnd.choice(scalars)


def any_path(rnd: random.Random) -> str:
    path = "$"
    for _ in range(rnd.randint(0, 4)):
        kind = rnd.randint(0, 6)
        if kind < 2:
            path += "." + rnd.choice(NAMES)
        elif kind < 4:
            name = rnd.choice(NAMES + ODD_NAMES[1:])
            path += quoted(name, rnd.choice("\"'"))
        elif kind < 5:
            path += f"[{rnd.randint(0, 3)}]"
        else:
            path += rnd.choice(["[*]", "[ * ]"])
    return path


def path_into(rnd: random.Random, document) -> str:
    """A path that leads somewhere in the document."""
    path, node = "$", document
    while isinstance(node, dict | list) and node and rnd.random() < 0.9:
        if isinstance(node, dict):
            name = rnd.choice([name for name in node if name] or ["a"])
            plain = name in NAMES and rnd.random() < 0.5
            path += f".{name}" if plain else quoted(name, rnd.choice("\"'"))
            node = node.get(name)
        else:
            index = rnd.randrange(len(node))
            path += "[*]" if rnd.random() < 0.4 else f"[{index}]"
            node = node[index]
    return path


@pytest.mark.parametrize("seed", range(4))
def test_what_a_path_finds_has_the_text_of_json_value(seed):
    rnd = random.Random(seed)
    cases = []
    for _ in range(150):
        document = {rnd.choice(NAMES): any_value(rnd, 3), rnd.choice(NAMES): any_value(rnd, 3)}
        path = path_into(rnd, document) if rnd.random() < 0.7 else any_path(rnd)
        cases.append((json.dumps(document), path))

    selects = ", ".join(
        f"(JSON_VALUE({literal(text)}, {literal(path)}), JSON_QUERY({literal(text)}, {literal(path)}) != '')"
        for text, path in cases
    )
    ((answers,),) = ask(f"SELECT [{selects}]")

    found_some = 0
    for (text, path), (expected, there) in zip(cases, answers, strict=True):
        found = compile_path(path).find(decode(text.encode()))
        assert json_text(found) == expected, (text, path)
        if path != "$" and "*" not in path:
            assert (found is not MISSING) == bool(there), (text, path)
        found_some += expected != ""
    assert found_some > 30


REFUSED_BY_BOTH = [
    "", "a", "$a", "$.", "$[", "$.[", "$.a[", "$.a[]", "$.a.", "$..a", "$.a..b", "$.*", "$.a[-1]", "$.a[0:1]",
    "$.a[?(@.b)]", "$.a-b", "$.a b", "$.é", "$.a:b", "$.a/b", "$.a@b", "$.a#", "$.a,b", "$.a(b)", "$.'a'", "$[a b]",
    "$.length()", "$.a[+1]", '$["a"', "$['a\"]", '$[""]', "$.a\0", "$.a%", "$.a'",
]  # fmt: skip


@pytest.mark.parametrize("path", REFUSED_BY_BOTH)
def test_a_path_that_the_engine_refuses_is_refused(path):
    with pytest.raises(Exception, match="JSONPath"):
        ask(f"SELECT JSON_VALUE('{{\"a\": 1}}', {literal(path)})")

    with pytest.raises(Refused, match="JSONPath"):
        compile_path(path)


@pytest.mark.parametrize(
    "path",
    [
        "$.a[0,1]",
        "$.a[0 to 1]",
        "$.a[last]",
        "$[a]",
        "$ .a",
        " $.a",
        "$.9a",
        "$.`a`",
        '$."a"',
        "$.a--b",
        '$["\\x41"]',
        "$['']",
    ],
)
def test_what_only_the_engine_takes_is_refused_too(path):
    """The engine's lexer takes comments, ranges, other quotes and escapes: nobody should depend on them."""
    ask(f"SELECT JSON_VALUE('{{\"a\": 1}}', {literal(path)})")

    with pytest.raises(Refused):
        compile_path(path)
