"""ClickHouse, PostgreSQL and the apis."""

from __future__ import annotations

import asyncio
import random

from tests.chaos.cluster import Cluster

_MOST = 0.999


class ClickHouseDown:
    kind = "clickhouse-down"
    heals_after_s = (5.0, 15.0)
    reads = ingest = _MOST

    async def inject(self, cluster: Cluster, random: random.Random) -> str:
        await asyncio.to_thread(cluster.clickhouse.kill)
        return "kill -9 of ClickHouse"

    async def heal(self, cluster: Cluster) -> None:
        cluster.clickhouse.start()
        await asyncio.to_thread(cluster.clickhouse.wait_ready, 60)


class ClickHouseSlow:
    """Each piece of every answer comes late."""

    kind = "clickhouse-slow"
    heals_after_s = (5.0, 12.0)
    reads = ingest = _MOST

    async def inject(self, cluster: Cluster, random: random.Random) -> str:
        ms = random.choice([200, 1000, 3000])
        for link in cluster.links_to("clickhouse"):
            link.delay(ms)
        return f"ClickHouse {ms} ms slower each way"

    async def heal(self, cluster: Cluster) -> None:
        for link in cluster.links_to("clickhouse"):
            link.heal()


_NO_MEMORY = b"Code: 241. DB::Exception: Memory limit (total) exceeded. (MEMORY_LIMIT_EXCEEDED)"
_REFUSAL = (
    b"HTTP/1.1 500 Internal Server Error\r\nX-ClickHouse-Exception-Code: 241\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(_NO_MEMORY), _NO_MEMORY)
)


class ClickHouseRefuses:
    """Workers get an error for every statement, as of a server without memory."""

    kind = "clickhouse-refuses"
    heals_after_s = (5.0, 12.0)
    reads = ingest = _MOST

    async def inject(self, cluster: Cluster, random: random.Random) -> str:
        for name in cluster.workers:
            cluster.link(name, "clickhouse").refuse(_REFUSAL)
        return "ClickHouse refuses everything that workers ask"

    async def heal(self, cluster: Cluster) -> None:
        for link in cluster.links_to("clickhouse"):
            link.heal()


class ClickHouseCut:
    """Connections stay open and nobody answers; then all of them are reset."""

    kind = "clickhouse-cut"
    heals_after_s = (5.0, 12.0)
    reads = ingest = _MOST

    async def inject(self, cluster: Cluster, random: random.Random) -> str:
        for link in cluster.links_to("clickhouse"):
            link.cut()
        return "links to ClickHouse cut"

    async def heal(self, cluster: Cluster) -> None:
        for link in cluster.links_to("clickhouse"):
            link.reset()
            link.heal()


class PostgresDown:
    kind = "postgres-down"
    heals_after_s = (5.0, 12.0)
    reads = ingest = _MOST

    async def inject(self, cluster: Cluster, random: random.Random) -> str:
        await asyncio.to_thread(cluster.postgres.kill)
        return "kill -9 of PostgreSQL"

    async def heal(self, cluster: Cluster) -> None:
        cluster.postgres.start()
        await asyncio.to_thread(cluster.postgres.wait_ready, 60)


class ApiKilled:
    """With requests in it: the load has always some under way."""

    kind = "api-kill"
    heals_after_s = (1.0, 5.0)
    reads = ingest = _MOST

    async def inject(self, cluster: Cluster, random: random.Random) -> str:
        self._api = random.choice(cluster.apis)
        await asyncio.to_thread(self._api.kill)
        return f"kill -9 of {self._api.name}"

    async def heal(self, cluster: Cluster) -> None:
        self._api.start()
        await asyncio.to_thread(self._api.wait_ready, 60)
