"""Options of connectors, out of the configuration: what several processes need."""

from __future__ import annotations

from typing import TYPE_CHECKING

from connectors.clickhouse import client as clickhouse
from runtime.config import Config

if TYPE_CHECKING:
    from connectors.postgres import pool as postgres


def clickhouse_options(config: Config) -> clickhouse.Options:
    """Where ClickHouse is."""
    assert config.clickhouse.url is not None
    return clickhouse.Options(
        url=config.clickhouse.url,
        database=config.clickhouse.database,
        user=config.clickhouse.user,
        password=config.clickhouse.password,
        query_timeout_s=config.clickhouse.query_timeout.total_seconds(),
    )


def postgres_options(config: Config, wait_s: float = 30.0) -> postgres.Options:
    """Where Postgres is; `wait_s`: for how long a start waits for it."""
    from connectors.postgres import (
        pool as postgres,
    )  # a worker has no Postgres and starts without its driver

    assert config.postgres.dsn is not None
    return postgres.Options(
        dsn=config.postgres.dsn, pool_max=config.postgres.pool_max, wait_s=wait_s
    )
