"""ClickHouse's engine as a small HTTP process: chDB behind the part of ClickHouse's HTTP interface that its clients use.

`python -m runtime.embedded.chdb_server --data-dir D --port P`. One process owns a data directory. Statements run on a pool
of connections, inserts on one of their own, so that a slow query blocks neither other queries nor the sink.
Served: `/ping`, `GET`/`POST /` with the SQL in `query` or in the body, `param_*`, `database`, settings; errors as text with
`X-ClickHouse-Exception-Code`. Not served: sessions, compression, external tables, users.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import sys
import tempfile
from pathlib import Path
from queue import Queue
from typing import Any

import anyio.to_thread
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

_INSERT = re.compile(rb"\s*INSERT\s+INTO\s", re.IGNORECASE)
_FORMAT = re.compile(rb"\sFORMAT\s+(\w+)\s*\Z", re.IGNORECASE)
_SETTING = re.compile(r"[a-z][a-z0-9_]*\Z")
_VALUE = re.compile(r"-?\d+(\.\d+)?\Z")
_CODE = re.compile(r"Code: (\d+)")
_NOT_SETTINGS = frozenset(
    ("query", "database", "query_id", "session_id", "session_timeout", "session_check", "default_format", "user", "password",
     "enable_http_compression", "wait_end_of_query", "send_progress_in_http_headers", "http_headers_progress_interval_ms",
     "buffer_size", "compress", "decompress", "role", "client_protocol_version")
)  # fmt: skip


class Engine:
    """chDB connections on one data directory."""

    def __init__(self, data_dir: Path, connections: int, memory_bytes: int) -> None:
        import chdb

        self._scratch = data_dir / "inserting"
        self._scratch.mkdir(parents=True, exist_ok=True)
        for stale in self._scratch.iterdir():
            stale.unlink()
        self._idle: Queue[Any] = Queue()
        self._inserting: Queue[Any] = Queue()
        for pool, count in ((self._idle, connections), (self._inserting, 1)):
            for _ in range(count):
                connection = chdb.connect(str(data_dir / "data"))
                connection.query(f"SET max_memory_usage = {memory_bytes // 2}")
                connection.query("SET max_threads = 2")
                pool.put(connection)

    def run(
        self, sql: bytes, database: str, parameters: dict[str, str], settings: dict[str, str]
    ) -> bytes:
        """The result of one statement; chDB's own exception when it fails."""
        if _INSERT.match(sql):
            head, newline, rows = sql.partition(b"\n")
            form = _FORMAT.search(head)
            if newline and form:
                return self._insert(head[: form.start()], form[1], rows, database, settings)
        return self._on(
            self._idle, self._with_settings(sql.decode(), settings), database, parameters
        )

    def _insert(
        self, head: bytes, form: bytes, rows: bytes, database: str, settings: dict[str, str]
    ) -> bytes:
        descriptor, name = tempfile.mkstemp(dir=self._scratch)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(rows)
            clause = " SETTINGS " + _assignments(settings) if settings else ""
            sql = f"{head.decode()} FROM INFILE '{name}'{clause} FORMAT {form.decode()}"
            return self._on(self._inserting, sql, database, {})
        finally:
            os.unlink(name)

    def _with_settings(self, sql: str, settings: dict[str, str]) -> str:
        if not settings or not re.match(r"\s*(SELECT|WITH)\b", sql, re.IGNORECASE):
            return sql
        return f"{sql.rstrip().rstrip(';')} SETTINGS {_assignments(settings)}"

    def _on(self, pool: Queue[Any], sql: str, database: str, parameters: dict[str, str]) -> bytes:
        connection = pool.get()
        try:
            if database:
                connection.query(f"USE `{database.replace('`', '')}`")
            return bytes(
                connection.query(sql, "TabSeparated", params=parameters or None).bytes() or b""
            )
        finally:
            pool.put(connection)

    def close(self) -> None:
        """Close every connection: parts are on disk already."""
        for pool in (self._idle, self._inserting):
            while not pool.empty():
                pool.get().close()


def _assignments(settings: dict[str, str]) -> str:
    return ", ".join(
        f"{name} = {value if _VALUE.match(value) else _quoted(value)}"
        for name, value in settings.items()
    )


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def create_app(engine: Engine) -> Starlette:
    """The HTTP side."""

    async def statement(request: Request) -> Response:
        body = await request.body()
        query = request.query_params.get("query", "").encode()
        sql = query + (b"\n" if query and body else b"") + body
        parameters, settings = {}, {}
        for name, value in request.query_params.items():
            if name.startswith("param_"):
                parameters[name[6:]] = value
            elif name not in _NOT_SETTINGS and _SETTING.match(name):
                settings[name] = value
        database = request.query_params.get("database") or request.headers.get(
            "x-clickhouse-database", ""
        )
        try:
            found = await anyio.to_thread.run_sync(engine.run, sql, database, parameters, settings)
        except Exception as error:  # noqa: BLE001 - every failure of a statement is its answer
            return _failure(error)
        return Response(
            found,
            headers={
                "X-ClickHouse-Summary": "{}",
                "X-ClickHouse-Query-Id": request.query_params.get("query_id", ""),
            },
        )

    async def ping(request: Request) -> Response:
        return Response("Ok.\n")

    return Starlette(routes=[Route("/ping", ping), Route("/", statement, methods=["GET", "POST"])])


def _failure(error: Exception) -> Response:
    text = str(error)
    code = _CODE.search(text)
    return Response(
        text, status_code=500, headers={"X-ClickHouse-Exception-Code": code[1] if code else "1000"}
    )


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument(
        "--connections", type=int, default=6, help="statements that run at the same time"
    )
    parser.add_argument(
        "--memory-bytes", type=int, default=2 << 30, help="bound of one statement is half of it"
    )
    chosen = parser.parse_args()
    try:
        engine = Engine(chosen.data_dir, chosen.connections, chosen.memory_bytes)
    except Exception as error:  # noqa: BLE001 - one line for whoever started us
        sys.exit(
            f"chdb_server: {chosen.data_dir} cannot be opened ({error}): is another process using it?"
        )
    server = uvicorn.Server(
        uvicorn.Config(
            create_app(engine),
            host="127.0.0.1",
            port=chosen.port,
            log_level="warning",
            timeout_graceful_shutdown=10,
        )
    )
    signal.signal(signal.SIGTERM, lambda *_: setattr(server, "should_exit", True))
    server.run()
    engine.close()


if __name__ == "__main__":
    main()
