"""The worker process: wires the meter agent and the sink to Kafka, RocksDB and ClickHouse and runs them under Faust."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import re
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import faust

from connectors.clickhouse import client as clickhouse
from connectors.clickhouse.migrations import Retention, migrate
from connectors.clickhouse.writer import UsageWriter
from connectors.kafka import catalog_feed, chunk_log, partition_reader
from connectors.kafka.admin import TopicProblem
from connectors.kafka.header_names import take_any_header_names
from domain.errors import Unavailable
from runtime import clock
from runtime.balances.wiring import Balancing, url_of
from runtime.config import Config
from runtime.connections import clickhouse_options
from runtime.logs import set_up_logging
from runtime.routing import Routing
from runtime.testing_clock import ClockSwitch
from runtime.topics import ensure_topics
from runtime.topology.parts import BALANCE, METER, ROUTE, SINK, Wires
from runtime.worker_status import WorkerStatus
from schemas import topics
from schemas.catalog import CatalogRecord
from schemas.topics import Role
from streams import metrics
from streams.app import App, AppOptions, create_app
from streams.attribution import Attribution
from streams.catalog import Catalog
from streams.partition import PartitionOptions
from streams.partition_sink import SinkOptions
from streams.partitions import Owners, Partitions, StateDoesNotFit, Topics
from streams.progress import ProgressOptions, ProgressTeller
from streams.sink import Sink
from streams.steps import Step, StepHook, unwatched
from streams.watching import Watch
from tables.catalog_store import CatalogStore
from tables.errors import StateOfAnotherTopic, StateOfAnotherVersion
from tables.store import PartitionStore, SharedMemory, StoreOptions, destroy

log = logging.getLogger(__name__)

_NEVER = (StateDoesNotFit, StateOfAnotherTopic, StateOfAnotherVersion)
"""Starting again does not help: `meterstream up` gives up at once on this exit code."""
_WRONG_STATE = 2
_BETWEEN_CHANGES_S = 0.02
"""A change of the catalog is applied at once; those that follow it together, this much later."""


class Worker:
    """One worker: everything it holds, in the order it is started."""

    def __init__(
        self, config: Config, name: str, listener: socket.socket, reached: StepHook
    ) -> None:
        servers = config.kafka.bootstrap_servers
        assert servers is not None
        self._config = config
        self._name = name
        self._listener = listener
        self._names = topics.names(config.namespace)
        self.wires = {part.name: Wires(part, self._names) for part in (METER, SINK, ROUTE, BALANCE)}
        meter = self.wires[METER.name]
        self._owners = Owners(config.kafka.partitions)
        self._home = config.data_dir / name
        self._reader = partition_reader.PartitionReader(
            partition_reader.Options(bootstrap_servers=servers)
        )
        self._log = chunk_log.ChunkLog(
            chunk_log.Options(
                bootstrap_servers=servers,
                events_topic=meter.writes(Role.EVENTS),
                raw_topic=meter.writes(Role.EVENTS_RAW),
                changelog_topic=meter.writes(Role.CHANGELOG),
                usage_topic=meter.writes(Role.USAGE),
                rejected_topic=meter.writes(Role.REJECTED),
                request_timeout_s=config.kafka.request_timeout.total_seconds(),
            ),
            self._owners.of,
        )
        self._feed = catalog_feed.CatalogFeed(
            catalog_feed.Options(bootstrap_servers=servers, topic=meter.reads(Role.CATALOG)),
            self._stop_for,
            on_unreadable=metrics.catalog_refused.inc,
        )
        self._catalog = Catalog(self._catalog_changed)
        self._changes = asyncio.Event()
        """The catalog says something that the partitions do not go by yet."""
        self._clients = clickhouse.Clients(clickhouse_options(config))
        self._sink = self._make_sink(reached) if SINK.agent in config.worker.agents else None
        self._route = self._make_route(reached) if ROUTE.agent in config.worker.agents else None
        self._store_options = StoreOptions(
            block_cache_bytes=config.worker.block_cache_bytes,
            write_buffer_bytes=config.worker.write_buffer_bytes,
            window_ms=int(config.dedupe.window.total_seconds() * 1000),
            ids_max=config.dedupe.ids_max,
        )
        self._memory = SharedMemory(self._store_options)
        self.catalog = CatalogStore(
            self._home / "state" / self._names.catalog,
            self._memory,
            partitions=config.kafka.partitions,
            on_left_out=metrics.catalog_refused.inc,
        )
        self._progress = ProgressTeller(
            self._log,
            lambda number: self.partitions.read_whole_at(number),
            ProgressOptions(
                partitions=config.kafka.partitions,
                interval_s=config.balances.progress_interval.total_seconds(),
            ),
        )
        self._balances = (
            self._make_balances(reached) if BALANCE.agent in config.worker.agents else None
        )
        self.partitions = self._make_partitions(reached)
        self.app = self._make_app(servers)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._http = WorkerStatus(self.partitions, self._sink, self._balances, self._state_path)
        self.failed = False
        """Something went wrong that a new start may mend."""

    # -- wiring

    def _make_sink(self, reached: StepHook) -> Sink:
        sink = self._config.sink
        return Sink(
            UsageWriter(self._clients, clock.wall_ms),
            self._reader,
            owner_of=self._owners.of,
            options=SinkOptions(
                namespace=self._config.namespace,
                topic=self.wires[SINK.name].reads(Role.EVENTS),
                block_events_max=sink.block_events_max,
                buffer_events_max=sink.buffer_events_max,
                interval_ms=int(sink.interval.total_seconds() * 1000),
                retry_s_max=sink.retry_max.total_seconds(),
            ),
            on_failure=self._stop_for,
            reached=reached,
        )

    def _make_route(self, reached: StepHook) -> Routing:
        return Routing(
            self._config,
            self.wires[ROUTE.name],
            instance_id=f"{_instance_id(self._name)}.route",
            owner_of=self._owners.of,
            reached=reached,
        )

    def _make_balances(self, reached: StepHook) -> Balancing:
        return Balancing(
            self._config,
            self.wires[BALANCE.name],
            name=_instance_id(self._name),
            url=url_of(self._config, self._listener),
            home=self._home / "balances",
            catalog=self.catalog,
            memory=self._memory,
            clients=self._clients,
            topic_id=self._reader.topic_id,
            restored=lambda: self.partitions.restored.is_set(),
            backlogged=lambda: self.partitions.backlogged,
            on_failure=self._stop_for,
            reached=reached,
        )

    def _make_partitions(self, reached: StepHook) -> Partitions:
        worker = self._config.worker
        return Partitions(
            topics=Topics(
                events=self.wires[METER.name].reads(Role.EVENTS),
                changelog=self.wires[METER.name].reads(Role.CHANGELOG),
                partitions=self._config.kafka.partitions,
            ),
            open_store=lambda number: PartitionStore(
                self._state_path(number), self._memory, self._store_options
            ),
            destroy_store=lambda number: destroy(self._state_path(number)),
            chunk_log=self._log,
            reader=self._reader,
            catalog=self._catalog,
            catalog_caught_up=self._feed.caught_up,
            attribution=Attribution(self.catalog, self._config.kafka.partitions),
            progress=self._progress,
            options=PartitionOptions(
                namespace=self._config.namespace,
                chunk_events_max=worker.chunk_events_max,
                in_flight_chunks=worker.in_flight_chunks,
                slice_ms=worker.slice.total_seconds() * 1000,
                row_cache_max=worker.row_cache_max,
                hand_over=self._config.avro.registry_url is not None,
            ),
            buffer_bytes_max=worker.buffer_bytes_max,
            sink=self._sink,
            reached=reached,
            on_owned=self._own,
            pace_s=worker.pace.total_seconds(),
        )

    def _make_app(self, servers: str) -> App:
        return create_app(
            AppOptions(
                group=f"meterstream-{self._config.namespace}",
                bootstrap_servers=servers,
                events_topic=self.wires[METER.name].reads(Role.EVENTS),
                data_dir=self._home / "faust",
                session_timeout_s=self._config.kafka.session_timeout.total_seconds(),
                heartbeat_s=min(0.5, self._config.kafka.session_timeout.total_seconds() / 4),
                instance_id=_instance_id(self._name),
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
        await self._http.start(self._listener)
        await self._log.start()
        await self._open_catalog()
        self._spawn(
            Watch(
                self.partitions, self._reader, topic=self._names.events, on_stall=self._stop_for
            ).run()
        )
        if self._sink is not None:
            self._spawn(self._make_tables())
        if self._route is not None:
            self._spawn(self._route.run())
        if self._balances is not None:
            await self._balances.start()
            for work in self._balances.tasks():
                self._spawn(work)

    async def _open_catalog(self) -> None:
        """Go on from where the catalog was read to; ready when all that its topic holds has been applied."""
        topic = self._names.catalog
        end = await self._feed.connect()
        at = self.catalog.open(await self._reader.topic_id(topic), end)
        for record in self.catalog.meters():
            self._catalog.take(record)
        self._catalog.reached(self.catalog.version)
        self.catalog.on_change(self._catalog.take)
        if self._config.testing.clock:
            self._follow_clock()
        await self._feed.follow(at, self.catalog.take)
        self._spawn(self._apply_catalog())
        self._spawn(self._progress.run())

    def _follow_clock(self) -> None:
        """Go by the time that a test has set, and by every change of it."""
        switch = ClockSwitch()
        if (record := self.catalog.clock()) is not None:
            switch.take(record)
        self.catalog.on_change(switch.take)

    async def _apply_catalog(self) -> None:
        """Changes that come while the ones before are applied are applied together."""
        while True:
            await self._changes.wait()
            self._changes.clear()
            if self.partitions.restored.is_set():
                await self.partitions.apply_catalog()
            await asyncio.sleep(_BETWEEN_CHANGES_S)

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

    def _own(self, numbers: Sequence[int], generation: int) -> None:
        if self._balances is not None:
            self._balances.own(numbers, generation)

    async def _after_stop(self) -> None:
        if self._balances is not None:
            await self._balances.leave()
        for task in self._tasks:
            task.cancel()
        if self._route is not None:
            await self._route.stop()
        if self._sink is not None:
            await self._sink.stop()
        await self.partitions.close()
        await self._http.stop()
        if self._balances is not None:
            await self._balances.stop()
        await self._feed.stop()
        self.catalog.close()
        await self._log.stop()
        await self._reader.stop()

    def _catalog_changed(self, record: CatalogRecord) -> None:
        if record.clock is None:
            self._changes.set()

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
        self.failed = True
        os.kill(os.getpid(), signal.SIGTERM)


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


class _Process(faust.Worker):  # type: ignore[misc]  # Faust has no types
    """Faust's worker process, but it does not sleep for a second before it ends, and keeps its command line."""

    async def _sentinel_task(self) -> None:
        await asyncio.sleep(0)

    def _setproctitle(self, info: str, *, ident: str = "") -> None:
        """Where the package setproctitle is there, Faust renames the process; the supervisor knows it by its command line."""


def spare_the_collector() -> None:
    """Look for cycles after two million more objects instead of 700, and never among what the start-up made.

    Chunks under way are about a million live objects without a cycle. Below that number the collector looks through them
    over and over: a third of the worker's time by default, a tenth with 100,000.
    """
    gc.freeze()
    gc.set_threshold(2_000_000, 10, 10)


def run(config: Config, *, name: str = "worker-1", port: int = 0) -> None:
    """Run until SIGTERM or SIGINT. Exit code 1 when the worker could not start or did not stop of its own accord, 2 when its state forbids it."""
    set_up_logging(config.log_level)
    take_any_header_names()
    try:
        ensure_topics(config)
        (config.data_dir / name).mkdir(parents=True, exist_ok=True)
        listener = _listen(config.worker.host, port)
    except (TopicProblem, Unavailable, OSError) as problem:
        sys.stderr.write(f"worker {name}: {problem}\n")
        raise SystemExit(1) from None
    worker = Worker(config, name, listener, crash_hook(os.environ.get("METERSTREAM_CRASH_AT")))
    spare_the_collector()
    process = _Process(
        worker.app, loglevel="WARNING", override_logging=False, redirect_stdouts=False
    )
    try:
        process.execute_from_commandline()
    except SystemExit as done:
        code = 1 if worker.failed or done.code else 0
    reason = process.crash_reason or worker.app.crash_reason
    if reason is not None:
        said = f"worker {name}: {type(reason).__name__}: {reason}"
        if isinstance(reason, _NEVER):
            code, said = _WRONG_STATE, f"{said} The state is in {config.data_dir / name / 'state'}."
        sys.stderr.write(f"{said}\n")
    logging.shutdown()
    sys.stderr.flush()
    os._exit(code)  # a thread that still waits for ClickHouse must not hold the process


def _listen(host: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        raise OSError(
            f"port {port} for health and metrics: {error.strerror}: change --port or worker.port (0 = a free one)"
        ) from error
    return listener


def _instance_id(name: str) -> str:
    """Names the member of the group: a worker that comes back under its name gets its partitions back at once."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", f"{name}.{socket.gethostname()}")[:200]
