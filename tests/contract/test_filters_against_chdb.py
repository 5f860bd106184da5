"""LIKE, ILIKE and comparisons of text give what ClickHouse gives."""

import random

import pytest

from domain.metering.filters import TextOp, TextTest, closed_pattern, text_matches
from tests.contract.chdb_engine import ask, literal, literals

OPERATORS = {
    TextOp.LIKE: "LIKE",
    TextOp.NLIKE: "NOT LIKE",
    TextOp.ILIKE: "ILIKE",
    TextOp.NILIKE: "NOT ILIKE",
    TextOp.GT: ">",
    TextOp.GTE: ">=",
    TextOp.LT: "<",
    TextOp.LTE: "<=",
    TextOp.EQ: "=",
    TextOp.NE: "!=",
}
# Letters with more than two forms (the Kelvin sign, long s, final sigma) are left out: the engine itself folds them
# in some patterns and not in others.
LETTERS = "aAiIkKsS%%__\\\\.*[(éÉßİ\u0131日\n\0😀"


def any_text(rnd: random.Random) -> str:
    return "".join(rnd.choice(LETTERS) for _ in range(rnd.randint(0, 5)))


@pytest.mark.parametrize("op", OPERATORS)
def test_a_text_filter_decides_as_the_engine(op):
    rnd = random.Random(str(op))
    texts = [any_text(rnd) for _ in range(60)]
    operands = [closed_pattern(any_text(rnd)) for _ in range(40)] + [
        "%" + text + "%" for text in texts[:20]
    ]

    for operand in operands:
        operand = closed_pattern(operand)
        answers = ask(
            f"SELECT t {OPERATORS[op]} {literal(operand)} FROM (SELECT arrayJoin({literals(texts)}) AS t)"
        )
        ours = [text_matches(TextTest(op, operand), text) for text in texts]
        assert ours == [bool(theirs) for (theirs,) in answers], operand


def test_a_pattern_that_ends_in_half_an_escape_means_the_backslash():
    with pytest.raises(Exception, match="Invalid escape sequence"):
        ask(r"SELECT 'a\\' LIKE 'a\\'")

    assert ask(
        f"SELECT {literal('a' + chr(92))} LIKE {literal(closed_pattern('a' + chr(92)))}"
    ) == [[1]]
    assert text_matches(TextTest(TextOp.LIKE, "a\\"), "a\\")
