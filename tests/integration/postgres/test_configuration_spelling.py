"""The one spelling of a configuration is the one of PostgreSQL's jsonb."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.postgres.pool import Options, connection, open_pool
from domain.entitlements.configuration import normalised

pytestmark = pytest.mark.integration

TEXTS = st.text(st.characters(exclude_characters="\0\x1a", exclude_categories=("Cs",)), max_size=8)
NUMBERS = st.from_regex(r"\A-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,9})?([eE][-+]?[0-9]{1,2})?\Z").map(
    lambda text: f"\x1a{text}\x1a"
)
VALUES = st.recursive(
    st.none() | st.booleans() | TEXTS | NUMBERS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=5),
    max_leaves=12,
)


def spelled(value, indent) -> str:
    """JSON with the numbers as they were drawn."""
    text = json.dumps(value, indent=indent, ensure_ascii=True)
    return text.replace('"\\u001a', "").replace('\\u001a"', "")


async def test_configurations_are_spelled_as_jsonb_spells_them(postgres_dsn):
    drawn = []

    @settings(max_examples=300, deadline=None, database=None)
    @given(VALUES, st.sampled_from([None, 1]))
    def draw(value, indent):
        drawn.append(spelled(value, indent))

    draw()
    pool = await open_pool(Options(dsn=postgres_dsn, pool_max=1))
    async with connection(pool) as reading:
        rows = await reading.fetch(
            "SELECT one, one::jsonb::text AS spelled FROM unnest($1::text[]) AS given (one)", drawn
        )
    await pool.close()

    assert len(rows) >= 250
    for row in rows:
        assert normalised(row["one"]) == row["spelled"]
