"""The route agent of a worker, wired: the raw topic, its own producer, and the registry when there is one."""

from __future__ import annotations

from collections.abc import Callable

from connectors.kafka import chunk_log, raw_topic
from connectors.schema_registry import client
from runtime import clock
from runtime.config import Config
from runtime.topology.parts import Wires
from schemas.topics import Role
from streams.fetched_schemas import FetchedSchemas, SchemaOptions
from streams.routing import RouteOptions, Router
from streams.steps import StepHook


class Routing:
    """What the agent holds, in the order it is started."""

    def __init__(
        self,
        config: Config,
        wires: Wires,
        *,
        instance_id: str,
        owner_of: Callable[[str], int],
        reached: StepHook,
    ) -> None:
        servers = config.kafka.bootstrap_servers
        assert servers is not None
        raw, rejected = wires.reads(Role.EVENTS_RAW), wires.writes(Role.REJECTED)
        session_s = config.kafka.session_timeout.total_seconds()
        self._feed = raw_topic.RawTopic(
            raw_topic.Options(
                bootstrap_servers=servers,
                topic=raw,
                group=f"meterstream-{config.namespace}-route",
                instance_id=instance_id,
                session_timeout_s=session_s,
                heartbeat_s=min(0.5, session_s / 4),
                records_max=config.worker.route_records_max,
                fetch_bytes_max=config.worker.fetch_bytes_max,
            )
        )
        self._log = chunk_log.ChunkLog(
            chunk_log.Options(
                bootstrap_servers=servers,
                events_topic=wires.writes(Role.EVENTS),
                rejected_topic=rejected,
                raw_topic=raw,
                source_topic=raw,
                request_timeout_s=config.kafka.request_timeout.total_seconds(),
            ),
            owner_of,
        )
        self._registry = registry_of(config)
        self._router = Router(
            self._feed,
            self._log,
            schemas_of(config, self._registry),
            RouteOptions(
                namespace=config.namespace,
                wait_s=config.avro.registry_wait.total_seconds(),
                window_ms=int(config.dedupe.window.total_seconds() * 1000),
            ),
            reached=reached,
            now_ms=clock.wall_ms,
        )

    async def run(self) -> None:
        """Route until cancelled."""
        await self._log.start()
        await self._feed.start()
        await self._router.run()

    async def stop(self) -> None:
        """Leave the group, finish what is queued, disconnect."""
        await self._feed.stop()
        await self._log.stop()
        if self._registry is not None:
            await self._registry.close()


def schemas_of(config: Config, registry: client.SchemaRegistry | None) -> FetchedSchemas:
    """Stored schemas, and those of the registry when there is one."""
    unknown_s = config.avro.unknown_for.total_seconds()
    return FetchedSchemas(
        registry, SchemaOptions(kept_max=config.avro.schemas_max, unknown_s=unknown_s)
    )


def registry_of(config: Config) -> client.SchemaRegistry | None:
    """A client of the registry that the configuration names; it belongs to the event loop that uses it first."""
    if config.avro.registry_url is None:
        return None
    return client.SchemaRegistry(
        client.Options(
            url=config.avro.registry_url,
            timeout_s=config.avro.registry_timeout.total_seconds(),
        )
    )
