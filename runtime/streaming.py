"""Streams of balances, wired: the topic, its tail and the clients' hub. Needs no database; begins with the first client."""

from __future__ import annotations

from api.streaming.hub import Hub, StreamBounds
from connectors.kafka.balances_topic import BalancesTail, BalancesTopic, Options
from runtime.config import Config
from runtime.topology.parts import Wires
from schemas.topics import Role


class Streaming:
    """`hub` is what the endpoint finds."""

    def __init__(self, config: Config, wires: Wires) -> None:
        servers, streams = config.kafka.bootstrap_servers, config.streams
        assert servers is not None
        options = Options(
            bootstrap_servers=servers,
            topic=wires.reads(Role.BALANCES),
            partitions=config.kafka.partitions,
        )
        self._topic = BalancesTopic(options)
        self.hub = Hub(
            self._topic,
            BalancesTail(options),
            StreamBounds(
                clients_max=streams.clients_max,
                backlog_max=streams.backlog_max,
                resume_records_max=streams.resume_records_max,
                resuming_max=streams.resuming_max,
                heartbeat_s=streams.heartbeat.total_seconds(),
                send_s_max=streams.send_timeout.total_seconds(),
            ),
        )

    async def stop(self) -> None:
        """End what is open."""
        await self.hub.stop()
        await self._topic.stop()
