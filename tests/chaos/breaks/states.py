"""State directories that a crash or a disk damages: what is left of them must be noticed, or be enough."""

from __future__ import annotations

import asyncio
import random
import shutil
from pathlib import Path

from tests.chaos.breaks.workers import WorkerFault
from tests.chaos.cluster import Cluster

_DAMAGED_BYTES = 64
_DAMAGED_DATABASES = 2


class StateDeleted(WorkerFault):
    """Its state is restored from the changelog."""

    kind = "state-deleted"
    heals_after_s = (0.5, 3.0)

    async def inject(self, cluster: Cluster, random: random.Random) -> str:
        worker = self.choose(cluster, random)
        await asyncio.to_thread(worker.kill)
        await asyncio.to_thread(shutil.rmtree, worker.data_dir)
        return f"kill -9 of {self.victim}, all its state deleted"


class WalCut(WorkerFault):
    """The last writes are gone, as after a power cut: in each database half of the newest log."""

    kind = "wal-cut"
    heals_after_s = (0.5, 3.0)

    async def inject(self, cluster: Cluster, random: random.Random) -> str:
        worker = self.choose(cluster, random)
        await asyncio.to_thread(worker.kill)
        cut = 0
        for folder in _databases(worker.data_dir):
            newest = max(folder.glob("*.log"), key=lambda path: path.name, default=None)
            if newest is not None and newest.stat().st_size:
                with newest.open("r+b") as file:
                    file.truncate(newest.stat().st_size // 2)
                cut += 1
        return f"kill -9 of {self.victim}, half of the newest WAL of {cut} databases gone"


class SstDamaged(WorkerFault):
    """Bytes in the middle of a table file are others than were written, in two databases. Each costs the worker one more start."""

    kind = "sst-damaged"
    heals_after_s = (0.5, 3.0)

    async def inject(self, cluster: Cluster, random: random.Random) -> str:
        worker = self.choose(cluster, random)
        await asyncio.to_thread(worker.stop)
        damaged = []
        with_tables = [
            folder for folder in _databases(worker.data_dir) if any(folder.glob("*.sst"))
        ]
        for folder in random.sample(with_tables, min(_DAMAGED_DATABASES, len(with_tables))):
            tables = sorted(folder.glob("*.sst"))
            path = random.choice(tables)
            middle = path.stat().st_size // 2
            with path.open("r+b") as file:
                file.seek(max(0, middle - _DAMAGED_BYTES))
                file.write(random.randbytes(min(_DAMAGED_BYTES, middle)))
            damaged.append(folder.name)
        return (
            f"{self.victim} stopped, a table file damaged in each of {', '.join(damaged) or 'none'}"
        )


def _databases(home: Path) -> list[Path]:
    """Folders of RocksDB below `home`."""
    return sorted(path.parent for path in home.rglob("CURRENT"))
