"""Records that nobody should have written."""

from __future__ import annotations

import asyncio
import random

from confluent_kafka import Producer

from schemas import topics
from tests.chaos.cluster import Cluster

_POISON = (b"\x00\xff\x00", b"{", b"[1]", b"m")


class Poison:
    """Garbage under a garbage key in every partition of every topic but the events topic, which the load gives its own."""

    kind = "poison"
    heals_after_s = (2.0, 4.0)
    reads = ingest = 0.999

    async def inject(self, cluster: Cluster, random: random.Random) -> str:
        names = sorted({*_topics(cluster)} - {cluster.names.events})
        found = await asyncio.to_thread(cluster.admin().list_topics, timeout=10)
        producer = Producer({"bootstrap.servers": cluster.bootstrap, "log_level": 0})
        for name in names:
            for number in found.topics[name].partitions:
                producer.produce(name, random.choice(_POISON), b"poison", partition=number)
        left = await asyncio.to_thread(producer.flush, 30)
        assert not left, f"{left} records of poison were not taken"
        return f"poison into {', '.join(names)}"

    async def heal(self, cluster: Cluster) -> None:
        """It stays."""


def _topics(cluster: Cluster) -> list[str]:
    names = cluster.names
    return [getattr(names, role.value) for role in topics.Role if role is not topics.Role.ALERTS]
