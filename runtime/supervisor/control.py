"""`meterstream status` and `meterstream down`: what another terminal can ask of a running stack."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import psutil
from rich.console import Console
from rich.table import Table

from runtime.supervisor.data_dir import Locked, hold
from runtime.supervisor.errors import StackProblem
from runtime.supervisor.probes import answers
from runtime.supervisor.processes import find, stop_all
from runtime.supervisor.state import Member, RunState, read_state, write_state

_LEFTOVER_STOP_S = 30.0
_DOWN_S = 90.0


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the status: pid is None for what is not ours, or does not run at this moment."""

    name: str
    role: str
    pid: int | None
    address: str
    ready: bool


def status(home: Path) -> list[Part]:
    """What runs on the data directory now, asked live; empty when nothing of ours does. StackProblem.

    A child between two lives is in it without a pid; a supervisor that was killed is not.
    """
    members = read_state(home).members if home.is_dir() else ()
    alive = {member.name: find(member.process) for member in members}
    if not any(alive.values()):
        return []
    parts = [m for m in members if m.external or m.role != "supervisor"]
    with ThreadPoolExecutor(max(1, len(parts))) as threads:
        asked = threads.map(lambda m: _answers(m, alive[m.name]), parts)
        ready = dict(zip((m.name for m in parts), asked, strict=True))
    present = [m for m in members if m.role != "supervisor" or alive[m.name] is not None]
    return [_part(member, alive[member.name], ready) for member in present]


def show(parts: Sequence[Part], console: Console) -> None:
    """The status for people."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("name", "pid", "ready"):
        table.add_column(heading, no_wrap=True, justify="right" if heading == "pid" else "left")
    table.add_column("address", overflow="fold")
    for part in parts:
        state = "[green]yes[/]" if part.ready else "[red]no[/]"
        table.add_row(part.name, str(part.pid or "-"), state, part.address)
    console.print(table)


def down(home: Path) -> list[str]:
    """Stop what runs on the data directory and wait until it is down; returns what was stopped. StackProblem when it does not stop."""
    if not home.is_dir():
        return []
    stopped = []
    members = read_state(home).members
    supervisor = next((m for m in members if m.role == "supervisor"), None)
    process = find(supervisor.process) if supervisor is not None else None
    if process is not None:
        stopped = [member.name for member in members if find(member.process) is not None]
        process.terminate()
        _wait_gone(process)
    return stopped + _stop_leftovers(home)


def _stop_leftovers(home: Path) -> list[str]:
    try:
        held = hold(home)
    except Locked:
        raise StackProblem(
            f"another meterstream holds {home} (it is just starting): try again"
        ) from None
    with held:
        state = read_state(home)
        stopped = stop_all(state.members, _LEFTOVER_STOP_S)
        if state.members:
            write_state(home, RunState(ports=state.ports))
    return stopped


def _wait_gone(process: psutil.Process) -> None:
    try:
        process.wait(_DOWN_S)
    except psutil.TimeoutExpired:
        raise StackProblem(
            f"the supervisor (pid {process.pid}) is still stopping after {_DOWN_S:.0f} s"
        ) from None


def _answers(member: Member, process: psutil.Process | None) -> bool:
    return (member.external or process is not None) and answers(member.role, member.target)


def _part(member: Member, process: psutil.Process | None, ready: dict[str, bool]) -> Part:
    return Part(
        name=member.name,
        role=member.role,
        pid=process.pid if process is not None else None,
        address=member.address,
        ready=all(ready.values()) if member.role == "supervisor" else ready[member.name],
    )
