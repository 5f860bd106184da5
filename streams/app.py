"""The Faust app of a worker: settings that the batch design needs, and the meter agent."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faust
from faust.serializers import codecs
from faust.types import StreamT
from yarl import URL

from streams.partitions import Partitions
from streams.restoring import TableManager

log = logging.getLogger(__name__)

Hook = Callable[[], Awaitable[None]]
_DRAIN_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AppOptions:
    """How a worker joins the group. Times in seconds, sizes in bytes."""

    group: str
    bootstrap_servers: str
    events_topic: str
    data_dir: Path
    instance_id: str | None = None
    session_timeout_s: float = 6.0
    heartbeat_s: float = 1.5
    fetch_bytes_max: int = 4 << 20
    buffer_chunks: int = 64
    commit_interval_s: float = 1.0


class _RecordsAsTheyAre(codecs.Codec):
    """The value of a chunk is the list of its records: nothing to decode."""

    def _loads(self, s: Any) -> Any:
        return s

    def _dumps(self, s: Any) -> Any:
        return s


codecs.register("records", _RecordsAsTheyAre())


class App(faust.App):
    """A Faust app that knows its partitions; consumer and recovery find them here."""

    partitions: Partitions
    before_start: Hook
    after_stop: Hook

    async def on_start(self) -> None:
        """What the worker needs comes up before the consumer does."""
        await self.before_start()
        await super().on_start()

    async def _on_agent_error(self, agent: Any, exc: BaseException) -> None:
        """Faust would start the agent again behind the chunk that failed: that chunk's events would be lost."""
        await self.crash(exc)

    async def on_stop(self) -> None:
        """Finish what is under way, leave the group, then let go of the rest."""
        try:
            await asyncio.wait_for(self.partitions.drain(), _DRAIN_S)
        except TimeoutError:
            log.warning("chunks under way were given up: they are repeated at the next start")
        await super().on_stop()
        await self.after_stop()


def create_app(
    options: AppOptions, partitions: Partitions, *, before_start: Hook, after_stop: Hook
) -> App:
    """The app with the meter agent; nothing is connected before it starts."""
    brokers = [URL(f"kafkabatch://{address}") for address in options.bootstrap_servers.split(",")]
    app = App(
        options.group,
        broker=brokers,
        store="memory://",
        datadir=options.data_dir,
        TableManager=TableManager,
        consumer_auto_offset_reset="earliest",
        consumer_group_instance_id=options.instance_id,
        consumer_max_fetch_size=options.fetch_bytes_max,
        broker_max_poll_records=None,
        broker_check_crcs=False,
        broker_session_timeout=options.session_timeout_s,
        broker_heartbeat_interval=options.heartbeat_s,
        broker_commit_interval=options.commit_interval_s,
        broker_commit_every=None,
        stream_buffer_maxsize=options.buffer_chunks,
        stream_wait_empty=False,
        topic_disable_leader=True,
        topic_allow_declare=False,
        web_enabled=False,
    )
    app.partitions = partitions
    app.before_start, app.after_stop = before_start, after_stop
    partitions.attach(app)
    _add_meter_agent(app, app.topic(options.events_topic, value_serializer="records"))
    return app


def _add_meter_agent(app: App, topic: Any) -> None:
    async def meter(stream: StreamT[Any]) -> None:
        """Hand each chunk to its partition; the partition acknowledges it when its state is on disk."""
        async for event in stream.noack().events():
            await app.partitions.submit(event, stream.ack)

    app.agent(topic, name="meter", concurrency=1)(meter)
