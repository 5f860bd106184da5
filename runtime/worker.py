"""The worker process: wires the meter agent and the sink to Kafka, RocksDB and ClickHouse and runs them under Faust."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import faust
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from connectors.clickhouse import client as clickhouse
from connectors.clickhouse.migrations import Retention, migrate
from connectors.clickhouse.writer import UsageWriter
from connectors.kafka import catalog_feed, chunk_log, partition_reader
from runtime import clock
from runtime.config import Config
from runtime.connections import clickhouse_options
from runtime.logs import set_up_logging
from runtime.topics import ensure_topics
from schemas import topics
from schemas.catalog import CatalogRecord
from streams.app import App, AppOptions, create_app
from streams.catalog import Catalog
from streams.partition import PartitionOptions
from streams.partitions import Owners, Partitions, Topics
from streams.sink import Sink, SinkOptions
from streams.steps import Step, StepHook, unwatched
from tables.store import PartitionStore, SharedMemory, StoreOptions, destroy

log = logging.getLogger(__name__)


class Worker:
    """One worker: everything it holds, in the order it is started."""

    def __init__(self, config: Config, name: str, port: int, reached: StepHook) -> None:
        servers = config.kafka.bootstrap_servers
        assert servers is not None
        self._config = config
        self._port = port
        self._names = topics.names(config.namespace)
        self._owners = Owners(config.kafka.partitions)
        self._home = config.data_dir / name
        self._reader = partition_reader.PartitionReader(
            partition_reader.Options(bootstrap_servers=servers)
        )
        self._log = chunk_log.ChunkLog(
            chunk_log.Options(
                bootstrap_servers=servers,
                events_topic=self._names.events,
                changelog_topic=self._names.changelog,
                usage_topic=self._names.usage,
                rejected_topic=self._names.rejected,
                request_timeout_s=config.kafka.request_timeout.total_seconds(),
            ),
            self._owners.of,
        )
        self._feed = catalog_feed.CatalogFeed(
            catalog_feed.Options(bootstrap_servers=servers, topic=self._names.catalog),
            self._stop_for,
        )
        self._catalog = Catalog(self._catalog_changed)
        self._clients = clickhouse.Clients(clickhouse_options(config))
        self._sink = self._make_sink(reached) if "sink" in config.worker.agents else None
        self._store_options = StoreOptions(
            block_cache_bytes=config.worker.block_cache_bytes,
            write_buffer_bytes=config.worker.write_buffer_bytes,
            window_ms=int(config.dedupe.window.total_seconds() * 1000),
            ids_max=config.dedupe.ids_max,
        )
        self._memory = SharedMemory(self._store_options)
        self.partitions = self._make_partitions(reached)
        self.app = self._make_app(servers)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._http: web.AppRunner | None = None

    # -- wiring

    def _make_sink(self, reached: StepHook) -> Sink:
        sink = self._config.sink
        return Sink(
            UsageWriter(self._clients, clock.now_ms),
            self._reader,
            owner_of=self._owners.of,
            options=SinkOptions(
                namespace=self._config.namespace,
                topic=self._names.events,
                block_events_max=sink.block_events_max,
                buffer_events_max=sink.buffer_events_max,
                interval_ms=int(sink.interval.total_seconds() * 1000),
                retry_s_max=sink.retry_max.total_seconds(),
            ),
            on_failure=self._stop_for,
            reached=reached,
        )

    def _make_partitions(self, reached: StepHook) -> Partitions:
        worker = self._config.worker
        return Partitions(
            topics=Topics(
                events=self._names.events,
                changelog=self._names.changelog,
                partitions=self._config.kafka.partitions,
            ),
            open_store=lambda number: PartitionStore(
                self._state_path(number), self._memory, self._store_options
            ),
            destroy_store=lambda number: destroy(self._state_path(number)),
            chunk_log=self._log,
            reader=self._reader,
            live_meters=self._catalog.live,
            options=PartitionOptions(
                namespace=self._config.namespace,
                chunk_events_max=worker.chunk_events_max,
                in_flight_chunks=worker.in_flight_chunks,
                slice_ms=worker.slice.total_seconds() * 1000,
                row_cache_max=worker.row_cache_max,
            ),
            buffer_bytes_max=worker.buffer_bytes_max,
            sink=self._sink,
            reached=reached,
        )

    def _make_app(self, servers: str) -> App:
        return create_app(
            AppOptions(
                group=f"meterstream-{self._config.namespace}",
                bootstrap_servers=servers,
                events_topic=self._names.events,
                data_dir=self._home / "faust",
                session_timeout_s=self._config.kafka.session_timeout.total_seconds(),
                heartbeat_s=self._config.kafka.session_timeout.total_seconds() / 4,
                fetch_bytes_max=self._config.worker.fetch_bytes_max,
                buffer_chunks=self._config.worker.buffer_chunks,
            ),
            self.partitions,
            before_start=self._before_start,
            after_stop=self._after_stop,
        )

    def _state_path(self, number: int) -> Path:
        return self._home / "state" / f"{self._names.events}-{number}"

    # -- life

    async def _before_start(self) -> None:
        await self._serve_http()
        await self._log.start()
        await self._feed.start(self._catalog.take)
        if self._sink is not None:
            self._spawn(self._make_tables())

    async def _make_tables(self) -> None:
        """ClickHouse may come later than the worker: the sink waits, folding does not."""
        assert self._sink is not None
        retention = Retention(
            events_days=self._config.retention.events_days,
            usage_days=self._config.retention.usage_days,
        )
        await self._sink.when_available(
            lambda: asyncio.to_thread(migrate, self._clients, retention)
        )
        self._sink.tables_made.set()

    async def _after_stop(self) -> None:
        if self._sink is not None:
            await self._sink.stop()
        await self.partitions.close()
        await self._feed.stop()
        await self._log.stop()
        await self._reader.stop()
        if self._http is not None:
            await self._http.cleanup()

    def _catalog_changed(self, record: CatalogRecord) -> None:
        if self.partitions.restored.is_set():
            self._spawn(self.partitions.apply_catalog())

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._stop_for(task.exception())

    def _stop_for(self, error: BaseException | None) -> None:
        log.critical("the worker stops", exc_info=error)
        os.kill(os.getpid(), signal.SIGTERM)

    # -- seen from outside

    async def _serve_http(self) -> None:
        served = web.Application()
        served.add_routes(
            [
                web.get("/healthz/live", self._live),
                web.get("/healthz/ready", self._ready),
                web.get("/metrics", self._metrics),
                web.get("/status", self._status),
            ]
        )
        self._http = web.AppRunner(served, access_log=None, handle_signals=False)
        await self._http.setup()
        await web.TCPSite(self._http, "127.0.0.1", self._port).start()

    async def _live(self, request: web.Request) -> web.Response:
        return web.Response(text="ok")

    async def _ready(self, request: web.Request) -> web.Response:
        ready = self.partitions.restored.is_set()
        return web.Response(text="ok" if ready else "restoring", status=200 if ready else 503)

    async def _metrics(self, request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _status(self, request: web.Request) -> web.Response:
        return web.json_response({"partitions": self._describe()})

    def _describe(self) -> Sequence[dict[str, int | None]]:
        visible = self._sink.visible_positions() if self._sink is not None else {}
        return [
            {
                "partition": number,
                "generation": owned.generation,
                "source_next": owned.source_next,
                "visible": visible.get(number),
            }
            for number, owned in sorted(self.partitions.owned.items())
        ]


def crash_hook(chosen: str | None) -> StepHook:
    """`step:n` kills the process when `step` is finished for the n-th time: for fault tests (METERSTREAM_CRASH_AT)."""
    if not chosen:
        return unwatched
    name, _, times = chosen.partition(":")
    wanted, left = Step(name), [int(times or "1")]

    def reached(step: Step) -> None:
        if step is wanted:
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    return reached


def run(config: Config, *, name: str = "worker-1", port: int = 0) -> None:
    """Run until SIGTERM or SIGINT."""
    set_up_logging()
    ensure_topics(config)
    (config.data_dir / name).mkdir(parents=True, exist_ok=True)
    worker = Worker(config, name, port, crash_hook(os.environ.get("METERSTREAM_CRASH_AT")))
    faust.Worker(
        worker.app, loglevel="WARNING", override_logging=False, redirect_stdouts=False
    ).execute_from_commandline()
