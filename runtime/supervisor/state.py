"""DIR/run.json: the ports of a stack, and which processes run now. Written whole and renamed, so a reader never sees half of it."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from runtime.supervisor.errors import StackProblem


class RunningProcess(msgspec.Struct, frozen=True, kw_only=True):
    """A process and what tells it from another that got its pid later: when it began (Unix seconds) and its command line."""

    pid: int
    began: float
    command: tuple[str, ...]


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """One part of the stack. `target` is what a probe connects to and may hold a password; `process` is None when it is not ours
    (external) or does not run at this moment."""

    name: str
    role: str
    address: str
    target: str
    external: bool = False
    process: RunningProcess | None = None
    stop_signal: int = 15


class RunState(msgspec.Struct, frozen=True, kw_only=True):
    """What run.json holds; `ports` stay when nothing runs."""

    ports: dict[str, int] = {}
    members: tuple[Member, ...] = ()


def read_state(home: Path) -> RunState:
    """The state of `home`, empty when there is none. StackProblem when it cannot be read."""
    file = home / "run.json"
    try:
        return msgspec.json.decode(file.read_bytes(), type=RunState)
    except FileNotFoundError:
        return RunState()
    except (OSError, msgspec.MsgspecError) as error:
        raise StackProblem(
            f"{file} cannot be read ({error}): if nothing of meterstream runs here, delete it"
        ) from error


def write_state(home: Path, state: RunState) -> None:
    """Replace the state."""
    partial = home / "run.json.part"
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(state)))
    os.replace(partial, home / "run.json")
