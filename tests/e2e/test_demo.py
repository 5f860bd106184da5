"""The demo as a person runs it: exact, and nothing left behind."""

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

ROOT = Path(__file__).resolve().parents[2]


def test_the_demo_is_exact_and_leaves_nothing_running(tmp_path):
    directory = tmp_path / "demo"

    done = subprocess.run(
        [sys.executable, "-m", "runtime.cli", "demo", "--data-dir", str(directory)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=380,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "against pandas on the same table: exact" in done.stdout
    assert "duplicates found: 16,826 of 16,826 sent" in done.stdout
    assert not directory.exists()
    left = [
        process.info["cmdline"]
        for process in psutil.process_iter(["cmdline"])
        if any(str(directory) in part for part in process.info["cmdline"] or ())
    ]
    assert left == []
