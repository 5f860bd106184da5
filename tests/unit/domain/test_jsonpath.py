"""Cases of JSONPath worth naming; the laws are in tests/property, the engine's view in tests/contract."""

import pytest

from domain.errors import Refused
from domain.metering.jsonpath import MISSING, compile_path

DATA = {"n": 4, "a": {"b": [10, {"c": None}]}, "a b": "sp", "list": [[1], {}, None, 2], "empty": []}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("$.n", 4),
        ('$["a b"]', "sp"),
        ("$['a b']", "sp"),
        ("$.a.b[0]", 10),
        ("$.a['b'][1].c", None),
        ("$.a.b[1].d", MISSING),
        ("$.a.b[2]", MISSING),
        ("$.n[0]", MISSING),
        ("$.n.x", MISSING),
        ("$.list[*]", None),
        ("$.list[*][*]", 1),
        ("$.a.b[*].c", None),
        ("$.empty[*]", MISSING),
        ("$.empty", []),
        ("$", DATA),
    ],
)
def test_what_a_path_finds(path, found):
    result = compile_path(path).find(DATA)

    assert result is found or (found is not MISSING and result == found)


@pytest.mark.parametrize("data", [None, MISSING, 4, "n", ["n"]])
def test_data_that_is_no_object_has_no_members(data):
    assert compile_path("$.n").find(data) is MISSING


@pytest.mark.parametrize("path", ["$.n" * 200, "$" + "[0]" * 17])
def test_a_path_has_a_bounded_length(path):
    with pytest.raises(Refused) as refused:
        compile_path(path)

    assert refused.value.code == "path_too_long"


def test_a_search_that_matches_many_looks_at_each_node_once():
    wide = {"a": [[[{} for _ in range(50)] for _ in range(50)] for _ in range(50)]}

    assert compile_path("$.a[*][*][*].x").find(wide) is MISSING
