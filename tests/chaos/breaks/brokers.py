"""Brokers that die, and leaders that move."""

from __future__ import annotations

import asyncio
import random
import time

from tests.chaos.cluster import PARTITIONS, Cluster

_MOST = 0.999
_WHOLE_S = 60.0


async def until_whole(cluster: Cluster) -> None:
    """Every partition of events has all its copies in sync. TimeoutError."""

    def behind() -> list[int]:
        found = cluster.admin().list_topics(cluster.names.events, timeout=10)
        partitions = found.topics[cluster.names.events].partitions
        assert len(partitions) == PARTITIONS
        return [n for n, one in partitions.items() if len(one.isrs) < len(cluster.brokers)]

    deadline = time.monotonic() + _WHOLE_S
    while numbers := await asyncio.to_thread(behind):
        if time.monotonic() > deadline:
            raise TimeoutError(f"copies of partitions {numbers} not in sync in {_WHOLE_S} s")
        await asyncio.sleep(0.2)


class BrokerKilled:
    kind = "broker-kill"
    heals_after_s = (3.0, 10.0)
    reads = ingest = _MOST

    async def inject(self, cluster: Cluster, random: random.Random) -> str:
        self._broker = random.choice(cluster.brokers)
        await asyncio.to_thread(self._broker.kill)
        return f"kill -9 of {self._broker.name}"

    async def heal(self, cluster: Cluster) -> None:
        self._broker.start()
        await asyncio.to_thread(self._broker.wait_ready, 60)
        await until_whole(cluster)


class LeadersMove:
    """A broker stops as an operator stops it: its leaders move first."""

    kind = "leaders-move"
    heals_after_s = (1.0, 4.0)
    reads = ingest = _MOST

    async def inject(self, cluster: Cluster, random: random.Random) -> str:
        self._broker = random.choice(cluster.brokers)
        await asyncio.to_thread(self._broker.stop)
        return f"{self._broker.name} stopped, its leaders moved"

    async def heal(self, cluster: Cluster) -> None:
        self._broker.start()
        await asyncio.to_thread(self._broker.wait_ready, 60)
        await until_whole(cluster)


class ClusterRestarts:
    """All brokers at once: nothing can be stored meanwhile, and balances go on being read."""

    kind = "kafka-restart"
    heals_after_s = (1.0, 4.0)
    reads, ingest = _MOST, 0.0

    async def inject(self, cluster: Cluster, random: random.Random) -> str:
        for broker in cluster.brokers:
            await asyncio.to_thread(broker.kill)
        return "kill -9 of all brokers"

    async def heal(self, cluster: Cluster) -> None:
        for broker in cluster.brokers:
            broker.start()
        for broker in cluster.brokers:
            await asyncio.to_thread(broker.wait_ready, 60)
        await until_whole(cluster)
