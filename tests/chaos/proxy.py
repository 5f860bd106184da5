"""TCP links between the parts of a cluster, each through a small proxy, so that one of them can be cut, slowed and mended."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future

_CHUNK_BYTES = 1 << 16


class Link:
    """From `port` on the loopback to `target`. A cut swallows nothing: bytes wait, as they do behind TCP, until it heals.

    New connections are taken during a cut and hear nothing. All methods may be called from any thread.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, target: int):
        self._loop = loop
        self.target = target
        self.port = 0
        self._open = asyncio.Event()
        self._open.set()
        self._delay_s = 0.0
        self._reply: bytes | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    def cut(self) -> None:
        self._call(self._open.clear)

    def heal(self) -> None:
        self._reply = None
        self._delay_s = 0
        self._call(self._open.set)

    def delay(self, ms: float) -> None:
        """Each piece of a stream is passed on this much later."""
        self._delay_s = ms / 1000

    def refuse(self, reply: bytes) -> None:
        """From now on each new connection hears only this, whatever it asks; open ones end."""
        self._reply = reply
        self.reset()

    def reset(self) -> None:
        """Every open connection ends now, as when a router forgets them."""

        def close() -> None:
            for writer in list(self._writers):
                writer.transport.abort()

        self._call(close)

    async def listen(self, port: int) -> None:
        self._server = await asyncio.start_server(self._pass, "127.0.0.1", port)
        self.port = self._server.sockets[0].getsockname()[1]

    def close(self) -> None:
        """Listen no more and end every connection; on the loop's thread."""
        assert self._server is not None
        self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()

    def _call(self, what: Callable[[], None]) -> None:
        self._loop.call_soon_threadsafe(what)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, both ways, until either side ends it."""
        self._writers.add(writer)
        await self._open.wait()
        if self._reply is not None:
            await self._refuse(reader, writer, self._reply)
            return
        try:
            there = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            self._writers.discard(writer)
            return
        self._writers.add(there[1])
        ways = [
            asyncio.ensure_future(self._pump(reader, there[1])),
            asyncio.ensure_future(self._pump(there[0], writer)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            for end in (writer, there[1]):
                self._writers.discard(end)
                end.close()

    async def _refuse(self, reader, writer, reply: bytes) -> None:
        try:
            if await reader.read(_CHUNK_BYTES):
                writer.write(reply)
                await writer.drain()
        except OSError:
            return
        finally:
            writer.close()
            self._writers.discard(writer)

    async def _pump(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        try:
            while piece := await source.read(_CHUNK_BYTES):
                await self._open.wait()
                if self._delay_s:
                    await asyncio.sleep(self._delay_s)
                target.write(piece)
                await target.drain()
        except OSError:
            return


class Links:
    """All links of a cluster, passed on by a thread of their own: whatever the test waits for, they go on."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="links", daemon=True)
        self._thread.start()
        self._links: dict[tuple[str, str], Link] = {}

    def make(self, source: str, target: str, port: int, *, listen: int = 0) -> Link:
        """A link that listens on `listen` (0: any free port) and goes to `port`."""
        link = Link(self._loop, port)
        self._do(link.listen(listen)).result(10)
        self._links[source, target] = link
        return link

    def get(self, source: str, target: str) -> Link:
        return self._links[source, target]

    def close(self) -> None:
        async def end() -> None:
            for link in self._links.values():
                link.close()
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
            await asyncio.sleep(0)  # for what transports do at their end

        self._do(end()).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def _do(self, work) -> Future:
        return asyncio.run_coroutine_threadsafe(work, self._loop)
