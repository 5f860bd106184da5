"""ClickHouse's engine as a child process: runtime/embedded/chdb_server.py."""

from __future__ import annotations

import sys
from pathlib import Path

import httpx

from runtime.embedded.service import Service


def prepare_clickhouse(data_dir: Path, port: int) -> Service:
    """Say how to run the engine on `data_dir`."""
    home = data_dir / "clickhouse"
    home.mkdir(parents=True, exist_ok=True)
    return Service(
        name="clickhouse",
        role="clickhouse",
        command=(
            sys.executable,
            "-m",
            "runtime.embedded.chdb_server",
            "--data-dir",
            str(home),
            "--port",
            str(port),
        ),
        address=f"http://127.0.0.1:{port}",
        answers=lambda: _answers(port),
    )


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/ping", timeout=2).status_code == 200
    except httpx.HTTPError:
        return False
