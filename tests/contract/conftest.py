"""Where the suites that hold a fake and Postgres to the same run."""

import pytest

from connectors.postgres.migrations import migrate
from connectors.postgres.pool import Options, open_pool


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.integration)])
def dsn(request):
    """Where Postgres is, None for the fakes."""
    return request.getfixturevalue("postgres_dsn") if request.param == "postgres" else None


@pytest.fixture
async def pool(dsn):
    """Of Postgres with its tables; None for the fakes."""
    if dsn is None:
        yield None
        return
    opened = await open_pool(Options(dsn=dsn, pool_max=2))
    await migrate(opened)
    yield opened
    await opened.close()
