"""A virtual environment for a peer, made when it is first asked for: .cache/bench/NAME with exactly what NAME.txt pins.

Lock files are made with `.venv/bin/uv pip compile tests/benchmarks/peers/NAME.in --universal --python-version 3.11
--generate-hashes --no-header --no-annotate -o tests/benchmarks/peers/NAME.txt`.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_HERE = Path(__file__).resolve().parent
_CACHE = _HERE.parents[2] / ".cache" / "bench"
_PYTHON = "3.11"
"""Bytewax 0.21.1 has no wheels past 3.12."""


def python_of(name: str) -> Path:
    """The interpreter of peer `name`'s environment. Ends the process with a message when it cannot be made."""
    wanted = (_HERE / f"{name}.txt").read_text()
    home = _CACHE / name
    python, made = home / "bin" / "python", home / "made-from.txt"
    if not (made.exists() and made.read_text() == wanted):
        _uv("venv", "--clear", "--python", _PYTHON, str(home))
        _uv("pip", "sync", "--python", str(python), "--require-hashes", str(_HERE / f"{name}.txt"))
        made.write_text(wanted)
    return python


def _uv(*arguments: str) -> None:
    uv = Path(sys.executable).parent / "uv"
    done = subprocess.run([str(uv), *arguments], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"uv {' '.join(arguments)}: {done.stderr[-2000:]}")
