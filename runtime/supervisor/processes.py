"""Processes by identity: a pid alone is not enough, it may belong to a stranger by now."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence

import psutil

from runtime.supervisor.state import Member, RunningProcess

_CLOCK_STEP_S = 2.0
_ORDER = (("supervisor",), ("api",), ("worker",), ("kafka", "postgres", "clickhouse"))
_KILL_S = 10.0


def identify(pid: int, command: Sequence[str]) -> RunningProcess | None:
    """The process `pid`, which runs or is about to run `command`; None when it has ended already."""
    try:
        return RunningProcess(
            pid=pid, began=psutil.Process(pid).create_time(), command=tuple(command)
        )
    except psutil.NoSuchProcess:
        return None


def find(known: RunningProcess | None) -> psutil.Process | None:
    """The living process that `known` describes, never another one that has its pid now."""
    if known is None:
        return None
    try:
        process = psutil.Process(known.pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        began = abs(process.create_time() - known.began) < _CLOCK_STEP_S
        return process if began and _runs(process.cmdline(), known.command) else None
    except psutil.NoSuchProcess:
        return None


def stop_all(members: Sequence[Member], timeout_s: float) -> list[str]:
    """Stop what still runs of `members`, api first and services last; returns the names of those that had to be stopped."""
    stopped = []
    for roles in _ORDER:
        alive = [
            (member, process)
            for member in members
            if member.role in roles and (process := find(member.process)) is not None
        ]
        _stop([(process, member.stop_signal) for member, process in alive], timeout_s)
        stopped += [member.name for member, _ in alive]
    return stopped


def kill_group(pid: int) -> None:
    """End a child and what it started, at once: every child leads a group of its own."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


def _stop(processes: Sequence[tuple[psutil.Process, int]], timeout_s: float) -> None:
    for process, number in processes:
        try:
            process.send_signal(number)
        except psutil.NoSuchProcess:
            continue
    _, alive = psutil.wait_procs([process for process, _ in processes], timeout_s)
    for process in alive:
        kill_group(process.pid)
    psutil.wait_procs(alive, _KILL_S)


def _runs(found: Sequence[str], command: Sequence[str]) -> bool:
    """Whether `found` is the end of `command`: what stands before it (runtime/embedded/launch.py) has become what follows."""
    return len(found) > 0 and list(command[-len(found) :]) == list(found)
