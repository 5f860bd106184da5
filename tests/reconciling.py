"""`meterstream reconcile` on a stack of tests."""

import json
import os
import subprocess
import sys

from tests.stack import Stack
from tests.workers import ROOT


def reconcile(stack: Stack, *arguments: str, seconds=100) -> tuple[int, dict]:
    """The exit code and what it told."""
    done = subprocess.run(
        [sys.executable, "-m", "runtime.cli", "reconcile", "--json", *arguments],
        env={**os.environ, **stack.api.environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=seconds,
    )
    assert done.stdout, f"{done.returncode} {done.stderr}"
    return done.returncode, json.loads(done.stdout)


def assert_no_drift(stack: Stack, *arguments: str) -> dict:
    """Every balance that a worker keeps is what the events come to; what was told."""
    code, told = reconcile(stack, *arguments)
    assert code == 0, told
    return told
