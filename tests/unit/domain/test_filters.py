"""Cases of filters worth naming; the laws are in tests/property, the engine's view in tests/contract."""

import pytest

from domain.metering.filters import AllOf, AnyOf, TextOp, TextTest, closed_pattern, text_matches


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        ("a%", "abc", True),
        ("a%", "ba", False),
        ("%", "", True),
        ("_", "é", True),
        ("_", "", False),
        ("", "", True),
        ("", "a", False),
        (r"a\%b", "a%b", True),
        (r"a\%b", "axb", False),
        (r"a\_b", "axb", False),
        (r"a\\b", r"a\b", True),
        (r"\a", r"\a", True),
        (r"\a", "a", False),
        ("a.b", "axb", False),
        ("%\n%", "a\nb", True),
        ("%a%b%c", "xaxbxcxc", True),
        ("%a%b%", "aba", True),
        ("a%b", "a\nb", True),
        ("ABC", "abc", False),
    ],
)
def test_like(pattern, text, matches):
    assert text_matches(TextTest(TextOp.LIKE, pattern), text) is matches
    assert text_matches(TextTest(TextOp.NLIKE, pattern), text) is not matches


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [("aB%", "Abc", True), ("É", "é", True), ("i", "\u0131", False), ("\u0130", "i", False)],
)
def test_ilike_ignores_case(pattern, text, matches):
    assert text_matches(TextTest(TextOp.ILIKE, pattern), text) is matches


def test_a_pattern_with_many_stars_takes_no_longer_than_the_text():
    assert not text_matches(TextTest(TextOp.LIKE, "%a" * 100 + "b"), "a" * 20_000)


@pytest.mark.parametrize(
    ("pattern", "closed"),
    [("a", "a"), ("a\\", "a\\\\"), ("a\\\\", "a\\\\"), ("", ""), ("\\\\\\", "\\\\\\\\")],
)
def test_half_an_escape_is_closed(pattern, closed):
    assert closed_pattern(pattern) == closed


def test_empty_lists():
    assert not text_matches(TextTest(TextOp.IN, ()), "a")
    assert text_matches(TextTest(TextOp.NIN, ()), "a")
    assert text_matches(AllOf(()), "a")
    assert not text_matches(AnyOf(()), "a")


def test_order_is_by_bytes_of_utf8():
    assert text_matches(TextTest(TextOp.GT, "\uffff"), "😀")
    assert text_matches(TextTest(TextOp.LT, "a"), "Z")
