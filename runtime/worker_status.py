"""What a worker tells about itself over HTTP: health, metrics, and where its partitions stand."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from pathlib import Path

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from runtime.balances.wiring import Balancing
from schemas.position import offset_of
from streams import metrics
from streams.partitions import Partitions
from streams.sink import Sink


class WorkerStatus:
    """`/healthz/live`, `/healthz/ready`, `/metrics` and `/status`; the door for questions about balances."""

    def __init__(
        self,
        partitions: Partitions,
        sink: Sink | None,
        balances: Balancing | None,
        state_path: Callable[[int], Path],
    ) -> None:
        self._partitions = partitions
        self._sink = sink
        self._balances = balances
        self._state_path = state_path
        self._runner: web.AppRunner | None = None

    async def start(self, listener: socket.socket) -> None:
        """Serve on a bound socket."""
        served = web.Application()
        served.add_routes(
            [
                web.get("/healthz/live", self._live),
                web.get("/healthz/ready", self._ready),
                web.get("/metrics", self._metrics),
                web.get("/status", self._status),
            ]
        )
        if self._balances is not None:
            served.add_routes(self._balances.routes())
        self._runner = web.AppRunner(
            served, access_log=None, handle_signals=False, shutdown_timeout=0.5
        )
        await self._runner.setup()
        await web.SockSite(self._runner, listener).start()

    async def stop(self) -> None:
        """Stop serving."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _live(self, request: web.Request) -> web.Response:
        return web.Response(text="ok")

    async def _ready(self, request: web.Request) -> web.Response:
        ready = self._partitions.restored.is_set()
        return web.Response(text="ok" if ready else "restoring", status=200 if ready else 503)

    async def _metrics(self, request: web.Request) -> web.Response:
        if self._balances is not None:
            self._balances.observe()
        visible = self._sink.visible_positions() if self._sink is not None else {}
        for number, owned in self._partitions.owned.items():
            if owned.closed:
                continue
            label = str(number)
            metrics.state_bytes.labels(label).set(_size_of(self._state_path(number)))
            metrics.state_keys.labels(label).set(owned.store.estimated_keys)
            if number in visible:
                behind = max(0, offset_of(owned.source_next) - offset_of(visible[number]))
                metrics.sink_behind.labels(label).set(behind)
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _status(self, request: web.Request) -> web.Response:
        balances = [] if self._balances is None else self._balances.describe()
        return web.json_response({"partitions": self._describe(), "balances": balances})

    def _describe(self) -> Sequence[dict[str, int | None]]:
        visible = self._sink.visible_positions() if self._sink is not None else {}
        return [
            {
                "partition": number,
                "generation": owned.generation,
                "source_next": owned.source_next,
                "visible": visible.get(number),
            }
            for number, owned in sorted(self._partitions.owned.items())
        ]


def _size_of(directory: Path) -> int:
    """Bytes of the files in `directory`; RocksDB may delete one meanwhile."""
    total = 0
    for file in directory.glob("*"):
        try:
            total += file.stat().st_size
        except FileNotFoundError:
            continue
    return total
