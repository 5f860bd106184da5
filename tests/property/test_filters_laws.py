"""Laws of filters: negations disagree, conjunctions and disjunctions mean what they say, LIKE is plain matching."""

from hypothesis import given
from hypothesis import strategies as st

from domain.metering.filters import (
    AllOf,
    AnyOf,
    TextOp,
    TextTest,
    TimeTest,
    text_matches,
    time_matches,
)

texts = st.text(alphabet="ab%_\\.é\n", max_size=6)
OPPOSITES = {
    TextOp.EQ: TextOp.NE,
    TextOp.LIKE: TextOp.NLIKE,
    TextOp.ILIKE: TextOp.NILIKE,
    TextOp.GT: TextOp.LTE,
    TextOp.GTE: TextOp.LT,
}


def like(pattern: str, text: str) -> bool:
    """LIKE by recursion over the pattern."""
    if not pattern:
        return not text
    if pattern[0] == "%":
        return any(like(pattern[1:], text[i:]) for i in range(len(text) + 1))
    if pattern[0] == "\\" and pattern[1:2] in ("%", "_", "\\"):
        return text[:1] == pattern[1] and like(pattern[2:], text[1:])
    return bool(text) and pattern[0] in ("_", text[0]) and like(pattern[1:], text[1:])


@given(texts, texts)
def test_like_is_plain_matching(pattern, text):
    assert text_matches(TextTest(TextOp.LIKE, pattern), text) == like(pattern, text)


@given(st.sampled_from(sorted(OPPOSITES)), texts, texts)
def test_an_operator_and_its_opposite_disagree(op, operand, text):
    assert text_matches(TextTest(op, operand), text) != text_matches(
        TextTest(OPPOSITES[op], operand), text
    )


@given(st.lists(texts, max_size=4), texts)
def test_in_is_a_disjunction_of_equals(operands, text):
    tests = tuple(TextTest(TextOp.EQ, operand) for operand in operands)

    assert text_matches(TextTest(TextOp.IN, tuple(operands)), text) == text_matches(
        AnyOf(tests), text
    )
    assert text_matches(TextTest(TextOp.NIN, tuple(operands)), text) != text_matches(
        AnyOf(tests), text
    )


@given(st.lists(texts, max_size=4), texts)
def test_all_of_holds_when_every_one_holds(patterns, text):
    tests = tuple(TextTest(TextOp.LIKE, pattern) for pattern in patterns)

    assert text_matches(AllOf(tests), text) == all(like(pattern, text) for pattern in patterns)


@given(st.integers(), st.integers(), st.integers())
def test_a_range_of_time_is_half_open(first, length, at):
    end = first + abs(length)
    inside = AllOf((TimeTest(TextOp.GTE, first), TimeTest(TextOp.LT, end)))
    outside = AnyOf((TimeTest(TextOp.LT, first), TimeTest(TextOp.GTE, end)))

    assert time_matches(inside, at) == (first <= at < end)
    assert time_matches(outside, at) != time_matches(inside, at)
