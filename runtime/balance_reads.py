"""How the api reads balances from the workers, wired: the owners topic and the connections. Needs no database."""

from __future__ import annotations

from collections.abc import Sequence

from connectors.kafka import owners_topic
from connectors.postgres.changes import committed_version
from connectors.workers import calls
from connectors.workers.client import WorkerBalances
from connectors.workers.holds import WorkerHolds
from connectors.workers.whom import Whom
from runtime.config import Config
from runtime.topology.parts import Wires
from schemas.owners import WorkerRecord
from schemas.topics import Role

_HOLD_MARGIN_S = 1.0
"""A worker says itself that Kafka does not answer; only one that is away is waited for longer."""


class BalanceReads:
    """`workers` is what questions go to, `holds` what decides of holds, from `start` on."""

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
        whom = Whom(self._board.live, partitions=config.kafka.partitions)
        self._hold_calls = calls.WorkerCalls(
            calls.Options(
                namespace=config.namespace,
                secret=None if secret is None else secret.get_secret_value(),
                timeout_s=config.holds.append_timeout.total_seconds() + _HOLD_MARGIN_S,
            )
        )
        self.holds = WorkerHolds(
            whom, self._hold_calls, lambda: committed_version(config.namespace)
        )
        self.workers = WorkerBalances(
            whom,
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
        await self._hold_calls.close()
