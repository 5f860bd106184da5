"""Every worked example, through the function that `meterstream simulate` uses."""

import pytest

from tests.golden.example import RULES, Example, differences, headings, read_examples
from tests.golden.runners import answer

EXAMPLES = read_examples()


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda one: f"{one.kind}/{one.name}")
def test_the_example_comes_out_as_worked(example: Example):
    got = answer(example.kind, example.input)

    assert differences(example.expect, got) == []


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda one: f"{one.kind}/{one.name}")
def test_the_example_names_a_section_of_the_rules(example: Example):
    page, _, section = example.source.partition("#")

    assert section in headings(RULES / page)


def test_titles_tell_examples_apart():
    titles = [(example.kind, example.title) for example in EXAMPLES]

    assert len(titles) == len(set(titles))


@pytest.mark.parametrize(
    ("expected", "got"),
    [
        ({"a": 1}, {"a": 2}),
        ({"a": 1}, {}),
        ({"a": None}, {}),
        ([1, 2], [1]),
        ([], [1]),
        ({"a": [{"b": 1}]}, {"a": [{"b": 2}]}),
        ({"a": 0}, {"a": False}),
        ({"a": "1"}, {"a": 1}),
        ({}, []),
    ],
)
def test_a_difference_is_found(expected: object, got: object):
    found = differences(expected, got)

    assert found


def test_fields_that_are_not_expected_are_not_compared():
    found = differences({"a": [{"b": 1}]}, {"a": [{"b": 1, "c": 2}], "d": 3})

    assert found == []
