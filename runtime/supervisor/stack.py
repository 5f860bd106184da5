"""`meterstream up`: takes the data directory, starts what the plan says, keeps it running, stops it in order."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil

from domain.errors import Unavailable
from runtime.config import Config, SupervisorConfig
from runtime.supervisor.backoff import BackoffOptions
from runtime.supervisor.child import Child, Surroundings, in_thread
from runtime.supervisor.data_dir import Locked, check_room, hold, make_data_dir, saying_which
from runtime.supervisor.errors import StackProblem
from runtime.supervisor.log_files import LogFile
from runtime.supervisor.plan import Plan, Wanted, check_workers, make_plan, port_wishes
from runtime.supervisor.ports import choose_ports
from runtime.supervisor.probes import answers
from runtime.supervisor.processes import identify, stop_all
from runtime.supervisor.speech import Speech
from runtime.supervisor.state import Member, RunState, read_state, write_state

_ROLES_LAST_FIRST = (("api",), ("worker",), ("kafka", "postgres", "clickhouse"))
_LOOK_EVERY_S, _ASK_AGAIN_S = 2.0, 0.1
_LEFTOVER_STOP_S = 30.0
_IMPATIENT = 130


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What the person asked for."""

    config: Config
    config_file: Path | None
    workers: int


def run_stack(order: Order, say: Speech) -> None:
    """Run until SIGINT or SIGTERM. StackProblem, ServiceProblem when it cannot start."""
    options = order.config.supervisor
    check_workers(order.config, order.workers)
    home = make_data_dir(order.config.data_dir, free_bytes_min=options.disk_free_bytes_min)
    try:
        with saying_which(home):
            held = hold(home)
    except Locked:
        raise StackProblem(_already_runs(home)) from None
    say.also_to(home / "logs" / "supervisor.log")
    with held, saying_which(home):
        before = read_state(home)
        for name in stop_all(before.members, _LEFTOVER_STOP_S):
            say(f"stopped {name}, left over from a supervisor that was killed")
        ports = choose_ports(port_wishes(order.config, order.workers), before.ports)
        write_state(home, RunState(ports=before.ports | ports))
        plan = make_plan(order.config, home, order.workers, ports, order.config_file)
        kafka = order.config.kafka.bootstrap_servers or f"127.0.0.1:{ports['kafka']}"
        topics = partial(_make_topics, order.config, kafka)
        asyncio.run(Stack(plan, home, before.ports | ports, options, say, topics).run())


class Stack:
    """The running stack; lives in one event loop on the main thread, which children are bound to."""

    def __init__(
        self,
        plan: Plan,
        home: Path,
        ports: dict[str, int],
        options: SupervisorConfig,
        say: Speech,
        topics: Callable[[], int],
    ) -> None:
        """`topics` makes and checks Kafka's topics and returns how many were made. StackProblem, Unavailable."""
        self._plan = plan
        self._home = home
        self._ports = ports
        self._options = options
        self._say = say
        self._topics = topics
        self._topics_checked = asyncio.Event()
        self._children: dict[str, Child] = {}
        self._prepared = {wanted.name: asyncio.Event() for wanted in plan.children}
        self._stop = asyncio.Event()
        self._signals = 0
        self._low_on_room = False
        self._around = Surroundings(
            say=say,
            changed=self._record,
            backoff=BackoffOptions(
                delay_s_min=options.restart_delay_min.total_seconds(),
                delay_s_max=options.restart_delay_max.total_seconds(),
                forget_after_s=options.restart_forget_after.total_seconds(),
            ),
        )
        process = psutil.Process()
        self._self = Member(
            name="supervisor",
            role="supervisor",
            address=plan.api_url,
            target=plan.api_url,
            process=identify(process.pid, process.cmdline()),
        )

    async def run(self) -> None:
        """Start, keep running, stop. StackProblem, ServiceProblem when the start fails."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # nohup
                loop.add_signal_handler(number, self._signalled, number)
        self._record()
        tasks = [asyncio.create_task(self._keep(wanted)) for wanted in self._plan.children]
        tasks.append(asyncio.create_task(self._check_topics()))
        tasks.append(asyncio.create_task(self._look_after()))
        starting = asyncio.create_task(self._announce())
        stop = asyncio.create_task(self._stop.wait())
        try:
            await self._until_stopped([*tasks, starting], stop)
        finally:
            for task in (starting, stop):
                task.cancel()
            await self._stop_children()
            for task in tasks:
                task.cancel()
            self._children.clear()
            write_state(self._home, RunState(ports=self._ports))
            self._say("stopped")

    async def _until_stopped(
        self, tasks: list[asyncio.Task[None]], stop: asyncio.Task[bool]
    ) -> None:
        """Return when a stop is asked for; raise what makes a task fail."""
        while tasks and not stop.done():
            done, _ = await asyncio.wait([*tasks, stop], return_when=asyncio.FIRST_COMPLETED)
            for task in done - {stop}:
                tasks.remove(task)  # type: ignore[arg-type]
                task.result()

    async def _keep(self, wanted: Wanted) -> None:
        began = time.monotonic()
        service = await in_thread(wanted.prepare)
        if self._stop.is_set():
            return
        child = self._children[wanted.name] = Child(
            service, self._log_file(wanted.name), self._around, began
        )
        self._prepared[wanted.name].set()
        await child.keep_running()

    async def _check_topics(self) -> None:
        """Every process checks the topics. Here a cluster that is not fit is one message, instead of children that end over and over."""
        if "kafka" in self._prepared:
            await self._prepared["kafka"].wait()
        while True:
            try:
                made = await in_thread(self._topics)
            except Unavailable:
                await asyncio.sleep(_ASK_AGAIN_S)
            else:
                self._say(f"{'topics':<12}as declared{f', {made} made' if made else ''}")
                self._topics_checked.set()
                return

    async def _announce(self) -> None:
        """Say `ready URL` when everything is. StackProblem when it takes too long."""
        began, limit_s = time.monotonic(), self._options.start_timeout.total_seconds()
        try:
            await asyncio.wait_for(self._all_ready(), limit_s)
        except TimeoutError:
            missing = ", ".join(self._not_ready()) or "an external service"
            raise StackProblem(
                f"not ready after {limit_s:.0f} s (supervisor.start_timeout): {missing}; logs are in {self._home / 'logs'}"
            ) from None
        self._say(f"everything is up after {time.monotonic() - began:.1f} s")
        self._say(f"ready {self._plan.api_url}")

    async def _all_ready(self) -> None:
        await asyncio.gather(*(self._external_ready(member) for member in self._plan.external))
        await asyncio.gather(*(event.wait() for event in self._prepared.values()))
        await self._topics_checked.wait()
        while not await self._all_answer():
            await asyncio.gather(*(child.ready.wait() for child in self._children.values()))
            await asyncio.sleep(_ASK_AGAIN_S)

    async def _all_answer(self) -> bool:
        """All of them at one moment: the second worker takes partitions from the first, a service may just have died."""
        children = self._children.values()
        if not all(child.ready.is_set() for child in children):
            return False
        return all(await asyncio.gather(*(in_thread(c.service.answers) for c in children)))

    async def _external_ready(self, member: Member) -> None:
        while not await in_thread(lambda: answers(member.role, member.target)):  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.2)
        self._say(f"{member.name:<12}{member.address}  external, answers")

    def _not_ready(self) -> list[str]:
        return [
            wanted.name
            for wanted in self._plan.children
            if wanted.name not in self._children or not self._children[wanted.name].ready.is_set()
        ]

    async def _look_after(self) -> None:
        """Keep the logs in their bounds and say when the disk is nearly full."""
        while True:
            for child in self._children.values():
                child.log.turn()
            self._log_file("supervisor").turn()
            self._look_at_room()
            await asyncio.sleep(_LOOK_EVERY_S)

    def _look_at_room(self) -> None:
        try:
            check_room(self._home, self._options.disk_free_bytes_min)
            self._low_on_room = False
        except StackProblem as problem:
            if not self._low_on_room:
                self._say(str(problem))
            self._low_on_room = True

    async def _stop_children(self) -> None:
        for roles in _ROLES_LAST_FIRST:
            await asyncio.gather(
                *(child.stop() for child in self._children.values() if child.service.role in roles)
            )

    def _signalled(self, number: signal.Signals) -> None:
        if number == signal.SIGINT:
            self._signals += 1
        if self._signals > 1:
            for child in self._children.values():
                child.kill()
            self._say("killed everything; the next start repairs what was under way")
            write_state(self._home, RunState(ports=self._ports))
            sys.stdout.flush()
            os._exit(_IMPATIENT)
        if not self._stop.is_set():
            self._say("stopping (Ctrl-C once more to kill)")
            self._stop.set()

    def _record(self) -> None:
        children = tuple(child.member() for child in self._children.values())
        members = (self._self, *self._plan.external, *children)
        try:
            write_state(self._home, RunState(ports=self._ports, members=members))
        except OSError as error:
            self._say(f"{self._home / 'run.json'} cannot be written: {error.strerror}")

    def _log_file(self, name: str) -> LogFile:
        return LogFile(
            path=self._home / "logs" / f"{name}.log",
            bytes_max=self._options.log_bytes_max,
            files_max=self._options.log_files_max,
        )


def _make_topics(config: Config, bootstrap_servers: str) -> int:
    from connectors.kafka.admin import TopicProblem
    from runtime.topics import ensure_topics

    kafka = config.kafka.model_copy(update={"bootstrap_servers": bootstrap_servers})
    made: list[str] = []
    try:
        ensure_topics(config.model_copy(update={"kafka": kafka}), say=made.append)
    except TopicProblem as problem:
        raise StackProblem(str(problem)) from problem
    return len(made)


def _already_runs(home: Path) -> str:
    for member in read_state(home).members:
        if member.role == "supervisor" and member.process is not None:
            return f"already running on {home}: pid {member.process.pid}, {member.address}; stop it with: meterstream down --data-dir {home}"
    return f"another meterstream holds {home} (it is just starting or stopping)"
