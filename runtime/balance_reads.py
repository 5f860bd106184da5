"""How the api reads balances from the workers, wired: the owners topic and the connections. Needs no database."""

from __future__ import annotations

from collections.abc import Sequence

from connectors.kafka import owners_topic
from connectors.workers import calls
from connectors.workers.client import WorkerBalances
from connectors.workers.whom import Whom
from runtime.config import Config
from runtime.topology.parts import Wires
from schemas.owners import WorkerRecord
from schemas.topics import Role


class BalanceReads:
    """`workers` is what questions go to, from `start` on."""

    def __init__(self, config: Config, wires: Wires) -> None:
        servers = config.kafka.bootstrap_servers
        assert servers is not None
        secret = config.worker.secret
        self._board = owners_topic.OwnersTopic(
            owners_topic.Options(
                bootstrap_servers=servers,
                topic=wires.reads(Role.OWNERS),
                dead_after_s=config.balances.owner_dead_after.total_seconds(),
            )
        )
        self.workers = WorkerBalances(
            Whom(self._board.live, partitions=config.kafka.partitions),
            calls.WorkerCalls(
                calls.Options(
                    namespace=config.namespace,
                    secret=None if secret is None else secret.get_secret_value(),
                    timeout_s=config.balances.read_timeout.total_seconds(),
                )
            ),
        )

    def live(self) -> Sequence[WorkerRecord]:
        """The workers that live, and what they have."""
        return self._board.live()

    def start(self) -> None:
        """Follow the workers, however long Kafka takes to come."""
        self._board.start()

    async def stop(self) -> None:
        """Disconnect."""
        await self._board.stop()
        await self.workers.close()
