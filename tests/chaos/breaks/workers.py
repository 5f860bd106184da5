"""Workers that die, stop, sleep, come and go."""

from __future__ import annotations

import asyncio
import random
import signal

from tests.chaos.cluster import SESSION_TIMEOUT_S, Cluster

_MOST = 0.999


class WorkerFault:
    """One of the workers is the victim."""

    heals_after_s = (1.0, 8.0)
    reads = ingest = _MOST
    victim: str

    def choose(self, cluster: Cluster, random: random.Random):
        self.victim = random.choice(sorted(cluster.workers))
        return cluster.workers[self.victim]

    async def heal(self, cluster: Cluster) -> None:
        worker = cluster.workers[self.victim]
        if not worker.alive:
            worker.start()
        await asyncio.to_thread(worker.wait_ready, 90)


class WorkerKilled(WorkerFault):
    kind = "worker-kill"

    async def inject(self, cluster: Cluster, random: random.Random) -> str:
        await asyncio.to_thread(self.choose(cluster, random).kill)
        return f"kill -9 of {self.victim}"


class WorkerStopped(WorkerFault):
    kind = "worker-stop"

    async def inject(self, cluster: Cluster, random: random.Random) -> str:
        await asyncio.to_thread(self.choose(cluster, random).stop)
        return f"SIGTERM to {self.victim}"


class WorkerAsleep(WorkerFault):
    """Longer than its session: it wakes up as the owner of what is others' by then."""

    kind = "worker-asleep"
    heals_after_s = (2 * SESSION_TIMEOUT_S, 2 * SESSION_TIMEOUT_S + 2)

    async def inject(self, cluster: Cluster, random: random.Random) -> str:
        self.choose(cluster, random).kill(signal.SIGSTOP)
        return f"SIGSTOP of {self.victim}"

    async def heal(self, cluster: Cluster) -> None:
        cluster.workers[self.victim].kill(signal.SIGCONT)
        await super().heal(cluster)


class WorkerAdded(WorkerFault):
    """One more, and away again."""

    kind = "worker-added"
    heals_after_s = (8.0, 12.0)

    async def inject(self, cluster: Cluster, random: random.Random) -> str:
        worker = cluster.add_worker()
        self.victim = worker.name
        await asyncio.to_thread(worker.wait_ready, 60)
        return f"{worker.name} joined"

    async def heal(self, cluster: Cluster) -> None:
        await asyncio.to_thread(cluster.remove_worker, self.victim)


class WorkerCutOff(WorkerFault):
    """The network between a worker and all brokers."""

    kind = "worker-cut"
    heals_after_s = (SESSION_TIMEOUT_S + 2, 2 * SESSION_TIMEOUT_S)

    async def inject(self, cluster: Cluster, random: random.Random) -> str:
        self.choose(cluster, random)
        for link in cluster.links_of(self.victim):
            link.cut()
        return f"links of {self.victim} to all brokers cut"

    async def heal(self, cluster: Cluster) -> None:
        for link in cluster.links_of(self.victim):
            link.heal()
        await super().heal(cluster)


class WorkerCutFromOne(WorkerFault):
    """The network between a worker and one broker, which the others reach."""

    kind = "worker-cut-from-one"
    heals_after_s = (3.0, 10.0)

    async def inject(self, cluster: Cluster, random: random.Random) -> str:
        self.choose(cluster, random)
        self._broker = random.choice(cluster.brokers).name
        cluster.link(self.victim, self._broker).cut()
        return f"link of {self.victim} to {self._broker} cut"

    async def heal(self, cluster: Cluster) -> None:
        cluster.link(self.victim, self._broker).heal()
        await super().heal(cluster)


class RebalanceStorm(WorkerFault):
    """Workers are killed and started again faster than the group comes to rest."""

    kind = "rebalance-storm"
    heals_after_s = (0.5, 2.0)

    async def inject(self, cluster: Cluster, random: random.Random) -> str:
        killed = []
        for _ in range(4):
            worker = self.choose(cluster, random)
            await asyncio.to_thread(worker.kill)
            worker.start()
            killed.append(self.victim)
            await asyncio.sleep(random.uniform(0.5, 3.0))
        return f"kill -9 and start of {', '.join(killed)}, one after another"

    async def heal(self, cluster: Cluster) -> None:
        for worker in cluster.workers.values():
            await asyncio.to_thread(worker.wait_ready, 90)
