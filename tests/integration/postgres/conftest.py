"""A pool on migrated tables."""

import pytest

from connectors.postgres.migrations import migrate
from connectors.postgres.pool import Options, open_pool


@pytest.fixture
async def pool(postgres_dsn):
    opened = await open_pool(Options(dsn=postgres_dsn))
    await migrate(opened)
    yield opened
    await opened.close()
