"""One child process: started, watched, and started again for as long as it is wanted."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import runtime.embedded.launch
from runtime.embedded.service import Service
from runtime.supervisor.backoff import Backoff, BackoffOptions
from runtime.supervisor.errors import StackProblem
from runtime.supervisor.log_files import LogFile
from runtime.supervisor.processes import identify, kill_group
from runtime.supervisor.state import Member, RunningProcess

_LAUNCH = (sys.executable, "-I", "-S", str(Path(runtime.embedded.launch.__file__)))
_PROBE_S_MIN, _PROBE_S_MAX = 0.05, 0.5
_CONFIGURATION, _NOT_STARTED = 2, 127
_DEATHS_BEFORE_READY_MAX = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What children share: where lines go, who is told of a new pid, and how restarts are spaced."""

    say: Callable[[str], None]
    changed: Callable[[], None]
    backoff: BackoffOptions


class Child:
    """A service and the process that runs it now. `began`: when its preparation began, on the monotonic clock."""

    def __init__(self, service: Service, log: LogFile, around: Surroundings, began: float) -> None:
        self.service = service
        self.log = log
        self.ready = asyncio.Event()
        self.process: RunningProcess | None = None
        self._around = around
        self._backoff = Backoff(around.backoff)
        self._running: asyncio.subprocess.Process | None = None
        self._stopping = asyncio.Event()
        self._began = began
        self._deaths = 0
        self._was_ready = False

    def member(self) -> Member:
        """As run.json has it."""
        service = self.service
        return Member(
            name=service.name,
            role=service.role,
            address=service.address,
            target=service.address,
            process=self.process,
            stop_signal=service.stop_signal,
        )

    async def keep_running(self) -> None:
        """Run until stopped. StackProblem when it cannot run at all: only before it was ready for the first time."""
        while not self._stopping.is_set():
            began = time.monotonic()
            code = await self._try_once()
            if self._stopping.is_set():
                return
            lived_s = time.monotonic() - began
            self._check_hope(code)
            delay_s = self._backoff.after(lived_s)
            self._tell_death(code, lived_s, delay_s)
            await _wait(self._stopping, delay_s)

    async def stop(self) -> None:
        """Stop it in its own way, or at once when that takes too long."""
        self._stopping.set()
        process = self._running
        if process is None or process.returncode is not None:
            return
        _signal(process, self.service.stop_signal)
        try:
            await asyncio.wait_for(process.wait(), self.service.stop_s)
        except TimeoutError:
            self._around.say(
                f"{self.service.name} did not stop in {self.service.stop_s:.0f} s and is killed"
            )
            kill_group(process.pid)
            await process.wait()

    def kill(self) -> None:
        """End it at once."""
        self._stopping.set()
        if self._running is not None and self._running.returncode is None:
            kill_group(self._running.pid)

    async def _try_once(self) -> int:
        try:
            return await self._run_once()
        except OSError as error:  # no memory, no descriptors: later there may be
            self._around.say(f"{self.service.name} could not be started: {error}")
            return _NOT_STARTED

    async def _run_once(self) -> int:
        process = self._running = await self._start()
        self._around.changed()
        watching = asyncio.create_task(self._watch_ready())
        try:
            return await process.wait()
        finally:
            watching.cancel()
            self.process = None
            self.ready.clear()
            self._around.changed()

    async def _start(self) -> asyncio.subprocess.Process:
        service = self.service
        command = (
            *_LAUNCH, "--parent", str(os.getpid()), "--signal", str(int(service.stop_signal)), "--", *service.command
        )  # fmt: skip
        output = self.log.open()
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **service.environment},
                cwd=service.directory,
                start_new_session=True,
            )
        finally:
            os.close(output)
        self.process = identify(process.pid, command)
        return process

    async def _watch_ready(self) -> None:
        pause_s = _PROBE_S_MIN
        while not await in_thread(self.service.answers):  # another process has no event to wait for
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 1.2, _PROBE_S_MAX)
        again = " again" if self._was_ready else ""
        self._was_ready = True
        self.ready.set()
        self._around.say(
            f"{self.service.name:<12}{self.service.address}  ready{again} after {time.monotonic() - self._began:.1f} s"
        )

    def _check_hope(self, code: int) -> None:
        if self._was_ready:
            return
        self._deaths += 1
        if code == _CONFIGURATION or self._deaths >= _DEATHS_BEFORE_READY_MAX:
            raise StackProblem(
                f"{self.service.name} cannot start: {self.log.last_line() or describe_exit(code)} (log: {self.log.path})"
            )

    def _tell_death(self, code: int, lived_s: float, delay_s: float) -> None:
        self._began = time.monotonic()
        self._around.say(
            f"{self.service.name} ended after {lived_s:.1f} s ({describe_exit(code)}), starts again in {delay_s:.1f} s; log: {self.log.path}"
        )


def describe_exit(code: int) -> str:
    """An exit code in words."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"


async def in_thread(work: Callable[[], Any]) -> Any:
    """The result of blocking `work`, in a thread that keeps nobody from leaving: the process may end while it still runs."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Any] = loop.create_future()

    def give(setter: Callable[[Any], None], value: Any) -> None:
        if not done.done():
            setter(value)

    def run() -> None:
        try:
            outcome, setter = work(), done.set_result
        except Exception as error:  # noqa: BLE001 - it is raised where the result is awaited
            outcome, setter = error, done.set_exception
        if not loop.is_closed():
            loop.call_soon_threadsafe(give, setter, outcome)

    threading.Thread(target=run, daemon=True).start()
    return await done


def _signal(process: asyncio.subprocess.Process, number: int) -> None:
    try:
        process.send_signal(number)
    except ProcessLookupError:
        return


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return
