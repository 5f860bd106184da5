"""Contestants that are not ours, each a child process that prints its figures: started, read, and their totals judged."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.benchmarks.contestants import Contestant
from tests.benchmarks.events import Totals
from tests.benchmarks.measure import Run
from tests.benchmarks.ours import WrongTotals
from tests.benchmarks.peers.environment import python_of
from tests.benchmarks.stack import NAMES, Filled, Stack, head_topic, last_json

_ROOT = Path(__file__).resolve().parents[2]
_PATIENCE_S = 240


class Failed(Exception):
    """A contestant ended with an error, or did not end."""


def run_part(
    contestant: Contestant, stack: Stack, filled: Filled, part: int | None, home: str
) -> Run:
    """A contestant that reads the events topic: all of it, or its first `part` records."""
    wanted = filled.totals.sent if part is None else min(part, filled.totals.sent)
    arguments = [stack.kafka, NAMES.events, str(wanted)]
    if part is not None:
        arguments.append(str(stack.directory / home))
    found = _run(sys.executable, contestant, arguments)
    tokens = found.pop("tokens", None)
    if part is None and (found["events"] != wanted or tokens < filled.totals.tokens):
        raise WrongTotals(f"{contestant.name} read {found['events']} events of {wanted}")
    return Run(**found)


def run_peer(contestant: Contestant, stack: Stack, filled: Filled, part: int, home: str) -> Run:
    """A peer reads its topic to the end; how its totals differ from the truth is part of the result."""
    topic = head_topic(part)
    truth = filled.heads[topic]
    python = sys.executable
    if contestant.environment is not None:
        python = str(python_of(contestant.environment))
    directory = str(stack.directory / home)
    arguments = [
        stack.kafka, topic, str(truth.sent), directory, str(stack.kafka_process.pid)
    ]  # fmt: skip
    found = _run(python, contestant, arguments)
    counted, tokens = found.pop("counted"), found.pop("tokens")
    run = Run(**found)
    run.off = _difference(contestant, truth, counted, tokens)
    return run


def _difference(
    contestant: Contestant, truth: Totals, counted: int, tokens: int | None
) -> str | None:
    if not contestant.sums:
        return None if counted == truth.sent else f"{counted - truth.sent:+,} records"
    if (counted, tokens) == (truth.counted, truth.tokens):
        return None
    return f"{counted - truth.counted:+,} events, {tokens - truth.tokens:+,} tokens"


def _run(python: str, contestant: Contestant, arguments: list[str]) -> dict:
    command = [python, "-m", f"tests.benchmarks.{contestant.module}", *arguments]
    try:
        child = subprocess.run(
            command, cwd=_ROOT, capture_output=True, text=True, timeout=_PATIENCE_S
        )
    except subprocess.TimeoutExpired as error:
        raise Failed(f"{contestant.name}: no end in {_PATIENCE_S} s: {error.stderr!r}") from error
    if child.returncode:
        raise Failed(f"{contestant.name}: {child.stderr[-4000:]}")
    return last_json(child.stdout)
