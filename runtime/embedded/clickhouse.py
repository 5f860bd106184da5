"""ClickHouse's engine as a child process: runtime/embedded/chdb_server.py."""

from __future__ import annotations

import sys
from pathlib import Path

from runtime.embedded.service import Service, http_ok


def prepare_clickhouse(data_dir: Path, port: int, *, memory_bytes_max: int = 1 << 30) -> Service:
    """Say how to run the engine on `data_dir`."""
    home = data_dir.resolve() / "clickhouse"
    home.mkdir(parents=True, exist_ok=True)
    return Service(
        name="clickhouse",
        role="clickhouse",
        command=(
            sys.executable, "-P", "-m", "runtime.embedded.chdb_server",
            "--data-dir", str(home), "--port", str(port), "--memory-bytes", str(memory_bytes_max),
        ),
        address=f"http://127.0.0.1:{port}",
        answers=lambda: clickhouse_answers(f"http://127.0.0.1:{port}"),
    )  # fmt: skip


def clickhouse_answers(url: str) -> bool:
    """Whether ClickHouse at `url` answers."""
    return http_ok(url.rstrip("/") + "/ping")
