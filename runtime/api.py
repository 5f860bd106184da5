"""The API process: listens at once, answers 503 until Kafka, PostgreSQL and ClickHouse are there, then serves."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from types import FrameType

import uvicorn
from starlette.applications import Starlette
from tenacity import AsyncRetrying, retry_if_exception_type, wait_random_exponential

from api.app import create_app
from api.balances.calls import BalanceCalls, Stored
from api.balances.log_ends import LogEnds
from api.balances.reading import Balances
from api.balances.recompute import Recompute
from api.body import Bodies, BodyBounds
from api.calls import Calls
from api.customers.management import CustomerRules
from api.metering.meters import MeterRules
from api.ports import Ports
from connectors.clickhouse import client as clickhouse
from connectors.clickhouse import migrations as clickhouse_migrations
from connectors.clickhouse.listing import EventLister
from connectors.clickhouse.reader import UsageReader
from connectors.clickhouse.usage_events import ClickHouseUsageEvents
from connectors.clickhouse.usage_series import SeriesOptions, UsageSeries
from connectors.clickhouse.verdicts import EventVerdicts
from connectors.kafka.admin import TopicProblem
from connectors.kafka.catalog_topic import CatalogTopic
from connectors.kafka.catalog_topic import Options as CatalogTopicOptions
from connectors.kafka.event_log import KafkaEventLog
from connectors.kafka.event_log import Options as EventLogOptions
from connectors.kafka.log_ends import TopicEnds
from connectors.kafka.rejected_topic import Options as RejectedTopicOptions
from connectors.kafka.rejected_topic import RejectedTopic
from connectors.postgres import migrations as postgres_migrations
from connectors.postgres import pool as postgres
from connectors.postgres.balance_records import PostgresBalanceRecords
from connectors.postgres.changes import committed_version
from connectors.postgres.customers import PostgresCustomers
from connectors.postgres.entitlements import PostgresEntitlements
from connectors.postgres.features import PostgresFeatures
from connectors.postgres.meters import PostgresMeters
from connectors.postgres.outbox import PostgresOutbox
from connectors.postgres.redrives import PostgresRedrives
from connectors.postgres.standing import PostgresStanding
from connectors.postgres.subjects import PostgresSubjects
from connectors.postgres.testing_clock import PostgresTestingClock
from domain.entitlements.managing import Bounds
from domain.errors import Unavailable
from runtime import clock
from runtime.balance_reads import BalanceReads
from runtime.config import Config, ConfigProblem
from runtime.connections import clickhouse_options, postgres_options
from runtime.ids import new_id
from runtime.logs import set_up_logging
from runtime.relay import Relay
from runtime.seeds import seed_meters
from runtime.standing import look
from runtime.streaming import Streaming
from runtime.testing_clock import ClockSwitch, follow
from runtime.topics import ensure_topics
from runtime.topology.parts import INGEST, READ, REJECTED, RELAY, STREAM, Wires
from schemas import topics
from schemas.topics import Role

log = logging.getLogger(__name__)

_KEEP_ALIVE_S = 120
_SHUTDOWN_S = 20
_BACKLOG = 2048
_LOOK_S = 1.0
"""How often the ends of the log are seen: a recomputed balance is as of one of these times."""
_TOPICS_S = 5.0
"""One attempt; short, because the thread that asks cannot be interrupted by a stop."""


class ApiProcess:
    """Everything the process holds, in the order it is started."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._clients = clickhouse.Clients(clickhouse_options(config))
        events_topic = topics.names(config.namespace).events
        threads = config.clickhouse.query_connections
        self._usage = UsageReader(
            self._clients, namespace=config.namespace, topic=events_topic, threads=threads
        )
        self._events = EventLister(
            self._clients, namespace=config.namespace, topic=events_topic, threads=threads
        )
        self._verdicts = EventVerdicts(
            self._clients, namespace=config.namespace, topic=events_topic, threads=2
        )
        self._series = UsageSeries(
            self._clients,
            namespace=config.namespace,
            topic=events_topic,
            threads=threads,
            options=SeriesOptions(rows_max=config.balances.history_rows_max),
        )
        self._usage_events = ClickHouseUsageEvents(
            self._clients, namespace=config.namespace, topic=events_topic, threads=2
        )
        names = topics.names(config.namespace)
        self.wires = {
            part.name: Wires(part, names) for part in (INGEST, REJECTED, RELAY, READ, STREAM)
        }
        self._event_log = KafkaEventLog(_event_log_options(config, self.wires[INGEST.name]))
        self._rejected = RejectedTopic(_rejected_options(config, self.wires[REJECTED.name]))
        self._reads = BalanceReads(config, self.wires[READ.name])
        self._streaming = Streaming(config, self.wires[STREAM.name])
        self._log_ends = _log_ends(config, events_topic)
        self._looking: asyncio.Task[None] | None = None
        self._balances = BalanceCalls(
            balances=Balances(
                self._reads.workers,
                catalog_version=lambda: committed_version(config.namespace),
                now=clock.now,
            ),
            now=clock.now,
            wall_ms=clock.wall_ms,
        )
        self._relay = _relay(config, self.wires[RELAY.name], self._fail)
        self._pool: postgres.Pool | None = None
        self._standing: PostgresStanding | None = None
        self._switch = ClockSwitch()
        self._clock: PostgresTestingClock | None = None
        self._following: asyncio.Task[None] | None = None
        self._server: uvicorn.Server | None = None
        self.problem: BaseException | None = None

    def serve(self, listening: socket.socket) -> None:
        """Serve until SIGTERM or SIGINT; what is under way is finished first."""
        app = create_app(
            balances=self._balances,
            worker_holds=self._reads.holds,
            hub=self._streaming.hub,
            checks={
                "kafka": self._event_log.answers,
                "postgres": self._postgres_answers,
                "clickhouse": self._clickhouse_answers,
            },
            lifespan=self._lifespan,
            look=lambda: look(self._standing),
            with_testing=self._config.testing.clock,
        )
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                loop="uvloop",
                http="httptools",
                lifespan="on",
                access_log=False,
                log_config=None,
                server_header=False,
                limit_concurrency=self._config.api.connections_max,
                backlog=_BACKLOG,
                timeout_keep_alive=_KEEP_ALIVE_S,
                timeout_graceful_shutdown=_SHUTDOWN_S,
            )
        )
        self._server.run(sockets=[listening])

    # -- life

    @contextlib.asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        self._event_log.start()
        self._reads.start()
        start = asyncio.create_task(self._start(app))
        try:
            yield
        finally:
            start.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await start
            if self._following is not None:
                self._following.cancel()
                await asyncio.gather(self._following, return_exceptions=True)
            await self._relay.stop()
            await self._event_log.stop()
            await self._reads.stop()
            await self._streaming.stop()
            if self._looking is not None:
                self._looking.cancel()
                await asyncio.gather(self._looking, return_exceptions=True)
            self._usage.close()
            self._series.close()
            self._usage_events.close()
            self._events.close()
            self._verdicts.close()
            self._rejected.close()
            if self._pool is not None:
                await self._pool.close()

    async def _start(self, app: Starlette) -> None:
        """Bring up what requests need, however long the services take; a problem that waiting cannot solve ends the process."""
        try:
            async for attempt in AsyncRetrying(
                retry=retry_if_exception_type(Unavailable),
                wait=wait_random_exponential(multiplier=0.1, max=2),
                before_sleep=lambda state: log.warning(
                    "waiting for a service",
                    extra={"cause": str(state.outcome and state.outcome.exception())},
                ),
            ):
                with attempt:
                    await self._bring_up(app)
        except (
            TopicProblem,
            postgres.PostgresProblem,
            clickhouse_migrations.SchemaTooNew,
            ConfigProblem,
        ) as problem:
            self._fail(problem)
        except Exception as problem:
            # Ours, or the environment's: a process that can never serve ends and is started again.
            log.critical("the api cannot start", exc_info=problem)
            self._fail(problem)

    def _fail(self, problem: BaseException) -> None:
        """End the process: waiting would not help."""
        self.problem = problem
        assert self._server is not None
        self._server.should_exit = True

    async def _bring_up(self, app: Starlette) -> None:
        config = self._config
        if self._pool is None:
            self._pool = await postgres.open_pool(postgres_options(config))
        await postgres_migrations.migrate(self._pool)
        await asyncio.to_thread(ensure_topics, config, timeout_s=_TOPICS_S)
        await asyncio.to_thread(
            clickhouse_migrations.migrate,
            self._clients,
            clickhouse_migrations.Retention(
                events_days=config.retention.events_days, usage_days=config.retention.usage_days
            ),
        )
        self._standing = PostgresStanding(self._pool, config.namespace)
        await self._follow_clock(self._pool)
        calls = self._calls(self._pool)
        await seed_meters(
            config.meters,
            calls.ports.meters,
            namespace=config.namespace,
            now=clock.now,
            new_id=new_id,
            reserved=config.reserved_event_types,
        )
        self._relay.start()
        self._read_balances(self._pool)
        self._usage.roller.start()
        app.state.calls = calls
        log.info("serving")

    def _read_balances(self, pool: postgres.Pool) -> None:
        """From now on balances can be recomputed; where the log ends is looked at now and then."""
        records = PostgresBalanceRecords(pool, self._config.namespace)
        recompute = Recompute(records, self._series, self._log_ends)
        self._balances.began(
            Stored(records=records, recompute=recompute, events=self._usage_events)
        )
        self._looking = asyncio.create_task(self._look_at_the_log(), name="log-ends")
        self._looking.add_done_callback(self._followed)

    async def _look_at_the_log(self) -> None:
        while True:
            await self._log_ends.look()
            await asyncio.sleep(_LOOK_S)

    async def _follow_clock(self, pool: postgres.Pool) -> None:
        """With `testing.clock`: go by the time that is set, from the first answer on."""
        if not self._config.testing.clock or self._clock is not None:
            return
        stored = PostgresTestingClock(
            pool, self._config.namespace, clock.wall_now, self._switch.take
        )
        if (record := await stored.read()) is not None:
            self._switch.take(record)
        self._clock = stored
        self._following = asyncio.create_task(follow(stored, self._switch), name="testing-clock")
        self._following.add_done_callback(self._followed)

    def _followed(self, following: asyncio.Task[None]) -> None:
        if not following.cancelled() and (error := following.exception()) is not None:
            self._fail(error)

    def _calls(self, pool: postgres.Pool) -> Calls:
        config = self._config
        return Calls(
            ports=Ports(
                event_log=self._event_log,
                events=self._events,
                usage=self._usage,
                meters=PostgresMeters(pool, config.namespace, clock.now),
                customers=PostgresCustomers(pool, config.namespace, clock.now, new_id),
                subjects=PostgresSubjects(pool, config.namespace, clock.now, new_id),
                features=PostgresFeatures(pool, config.namespace, clock.now),
                entitlements=PostgresEntitlements(pool, config.namespace, clock.now),
                rejected=self._rejected,
                redrives=PostgresRedrives(pool, config.namespace),
                verdicts=self._verdicts,
                now=clock.now,
                new_id=new_id,
                testing_clock=self._clock,
            ),
            rules=MeterRules(
                namespace=config.namespace, reserved_event_types=config.reserved_event_types
            ),
            bodies=Bodies(
                BodyBounds(
                    bytes_max=config.api.body_bytes_max,
                    in_flight_bytes_max=config.api.in_flight_bytes_max,
                    read_s_max=config.api.read_timeout.total_seconds(),
                )
            ),
            customers=CustomerRules(subject_keys_max=config.customers.subject_keys_max),
            entitlements=Bounds(
                grants_max=config.entitlements.grants_max,
                resets_max=config.entitlements.resets_max,
            ),
        )

    # -- health

    async def _postgres_answers(self) -> None:
        if self._pool is None:
            raise Unavailable("Postgres: no connection yet")
        async with postgres.connection(self._pool) as connection:
            await connection.execute("SELECT 1")

    async def _clickhouse_answers(self) -> None:
        await self._usage.answers()


def _event_log_options(config: Config, ingest: Wires) -> EventLogOptions:
    assert config.kafka.bootstrap_servers is not None
    return EventLogOptions(
        bootstrap_servers=config.kafka.bootstrap_servers,
        topic=ingest.writes(Role.EVENTS),
        partitions=config.kafka.partitions,
        queue_max=config.api.produce_queue_max,
        timeout_s=config.api.produce_timeout.total_seconds(),
    )


def _log_ends(config: Config, topic: str) -> LogEnds:
    assert config.kafka.bootstrap_servers is not None
    partitions = config.kafka.partitions
    ends = TopicEnds(config.kafka.bootstrap_servers, topic, partitions)
    return LogEnds(ends.ends, partitions=partitions, wall_ms=clock.wall_ms)


def _rejected_options(config: Config, rejected: Wires) -> RejectedTopicOptions:
    assert config.kafka.bootstrap_servers is not None
    return RejectedTopicOptions(
        bootstrap_servers=config.kafka.bootstrap_servers,
        topic=rejected.reads(Role.REJECTED),
        scan_max=config.api.rejected_scan_max,
    )


def _relay(config: Config, relay: Wires, on_failure: Callable[[BaseException], None]) -> Relay:
    assert config.kafka.bootstrap_servers is not None
    topic = CatalogTopicOptions(
        bootstrap_servers=config.kafka.bootstrap_servers,
        topic=relay.writes(Role.CATALOG),
    )
    return Relay(
        PostgresOutbox(postgres_options(config), config.namespace), CatalogTopic(topic), on_failure
    )


def run(config: Config, *, port: int | None = None) -> None:
    """Run until SIGTERM or SIGINT; exits with 1 and one line when it cannot."""
    set_up_logging(config.log_level)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end)  # uvicorn raises the signal again when it has finished
    chosen = config.api.port if port is None else port
    try:
        family = socket.AF_INET6 if ":" in config.api.host else socket.AF_INET
        listening = socket.create_server((config.api.host, chosen), family=family, backlog=_BACKLOG)
    except OSError as error:
        sys.exit(
            f"api: cannot listen on {config.api.host}:{chosen}: {error.strerror}: change --port or api.port (0 = a free one)"
        )
    log.info("listening", extra={"port": listening.getsockname()[1]})
    process = ApiProcess(config)
    spare_the_collector()
    process.serve(listening)
    if process.problem is not None:
        sys.exit(f"api: {process.problem}")


def spare_the_collector() -> None:
    """Look for cycles after 50,000 more objects instead of 700: reading 10,000 balances of a worker takes half the time."""
    gc.freeze()
    gc.set_threshold(50_000, 10, 10)


def _end(number: int, frame: FrameType | None) -> None:
    raise SystemExit(0)
