"""Opens what the commands need and closes it again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, closing
from datetime import datetime, timedelta

from connectors.kafka.original_records import OriginalRecords
from connectors.kafka.redriven_events import RedrivenEvents
from connectors.kafka.rejected_topic import Options, RejectedTopic
from connectors.postgres.migrations import migrate
from connectors.postgres.pool import Pool, open_pool
from connectors.postgres.redrives import PostgresRedrives, hold_book
from domain.metering.rejected import RejectedListing, RejectedPage
from runtime import clock
from runtime.config import Config
from runtime.connections import postgres_options
from runtime.redrive.run import Order, Redriver, Report
from runtime.routing import registry_of, schemas_of
from schemas import topics
from schemas.partitioner import partition_of
from streams.fetched_schemas import FetchedSchemas

_PRODUCE_S = 30.0
_SPARE = timedelta(days=30)


def page(config: Config, listing: RejectedListing) -> tuple[RejectedPage, Mapping[str, datetime]]:
    """The newest refused records, and when which of them was sent again. Unavailable, PostgresProblem."""

    async def ask() -> tuple[RejectedPage, Mapping[str, datetime]]:
        with closing(_rejected_topic(config)) as topic:
            found = topic.page(listing)
        async with _tables(config) as pool:
            ids = [record.id for record in found.records]
            return found, await PostgresRedrives(pool, config.namespace).done_at(ids)

    return asyncio.run(ask())


def redrive(
    config: Config, order: Order, report: Report, on_batch: Callable[[Report], None]
) -> None:
    """Send again, and say in `report` what was done. Unavailable, PostgresProblem."""

    async def work() -> None:
        assert config.kafka.bootstrap_servers is not None
        servers = config.kafka.bootstrap_servers
        async with _tables(config):
            pass
        async with (
            _schemas(config) as schemas,
            hold_book(postgres_options(config), config.namespace) as book,
        ):
            with (
                closing(_rejected_topic(config)) as rejections,
                closing(OriginalRecords(servers)) as originals,
            ):
                redriver = Redriver(
                    order,
                    rejections=rejections,
                    originals=originals,
                    events=RedrivenEvents(
                        servers, topics.names(config.namespace).events, _PRODUCE_S
                    ),
                    book=book,
                    now=clock.wall_now,
                    partition_of=partition_of,
                    schemas=schemas,
                    report=report,
                    on_batch=on_batch,
                )
                await redriver.run()
            if not order.dry_run:
                await book.forget(clock.wall_now() - config.kafka.retention - _SPARE)

    asyncio.run(work())


@asynccontextmanager
async def _schemas(config: Config) -> AsyncIterator[FetchedSchemas]:
    """Avro schemas, with those of the registry."""
    registry = registry_of(config)
    try:
        yield schemas_of(config, registry)
    finally:
        if registry is not None:
            await registry.close()


@asynccontextmanager
async def _tables(config: Config) -> AsyncIterator[Pool]:
    """Postgres with the tables of this version."""
    pool = await open_pool(postgres_options(config))
    try:
        await migrate(pool)
        yield pool
    finally:
        await pool.close()


def _rejected_topic(config: Config) -> RejectedTopic:
    assert config.kafka.bootstrap_servers is not None
    return RejectedTopic(
        Options(
            bootstrap_servers=config.kafka.bootstrap_servers,
            topic=topics.names(config.namespace).rejected,
            scan_max=config.api.rejected_scan_max,
        )
    )
