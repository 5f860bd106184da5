"""The tables of usage in memory answer the histories that ClickHouse's do (tests/integration/clickhouse/test_answers.py)."""

from types import SimpleNamespace

import pytest

from tests.integration.clickhouse.test_answers import play
from tests.memory_usage import MemoryReader, MemoryWriter, Tables


@pytest.mark.parametrize("seed", range(20, 24))
async def test_answers_in_memory_equal_the_oracle(seed):
    tables = Tables()
    database = SimpleNamespace(
        writer=MemoryWriter(tables),
        reader=MemoryReader(tables),
        merge=lambda table: None,
        roll=lambda: None,
    )

    await play(database, seed, events=40, asked_each=4)
