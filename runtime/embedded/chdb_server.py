"""ClickHouse's engine as a small HTTP process: chDB behind the part of ClickHouse's HTTP interface that its clients use.

`python -m runtime.embedded.chdb_server --data-dir D --port P`. One process owns a data directory. Served: `/ping`, `GET` (reads only)
and `POST /` with the SQL in `query`, in the body or in a form with long parameters, `param_*`, `database`, settings; rows of an
insert go through a file; errors as text with `X-ClickHouse-Exception-Code`. Not served: sessions, compression, external tables, users.
Whoever can reach the port can do everything; it listens on the loopback only and refuses what a web page sends.
"""

from __future__ import annotations

import argparse
import logging
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from types import MappingProxyType

import anyio
import anyio.to_thread
import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from runtime.embedded.chdb_engine import (
    DataProblem,
    Engine,
    EngineBusy,
    EngineOptions,
    Statement,
    insert_head,
)

log = logging.getLogger(__name__)

_CODE = re.compile(r"Code: (\d+)")
_HEAD_BYTES_MAX = 1 << 20
_SQL_BYTES_MAX = 64 << 20
_FORM_FIELD_BYTES_MAX = 128 << 10  # ClickHouse's own default, http_max_field_value_size
_STOP_S = 10
_NOT_SETTINGS = frozenset(
    ("query", "database", "query_id", "session_id", "session_timeout", "session_check", "default_format", "user", "password",
     "enable_http_compression", "wait_end_of_query", "send_progress_in_http_headers", "http_headers_progress_interval_ms",
     "buffer_size", "compress", "decompress", "role", "quota_key", "stacktrace", "client_protocol_version",
     "cancel_http_readonly_queries_on_client_close")
)  # fmt: skip


def create_app(engine: Engine) -> Starlette:
    """The HTTP side."""

    async def statement(request: Request) -> Response:
        if "origin" in request.headers:
            return _failure("Code: 497. DB::Exception: Web pages are not served. (ACCESS_DENIED)")
        try:
            body = await _answer(engine, request)
        except (RuntimeError, EngineBusy, UnicodeDecodeError, HTTPException) as error:
            return _failure(str(error))
        except ClientDisconnect:
            return Response(status_code=400)
        return Response(
            body, headers={"X-ClickHouse-Query-Id": request.query_params.get("query_id", "")}
        )

    async def ping(request: Request) -> Response:
        return Response("Ok.\n")

    return Starlette(routes=[Route("/ping", ping), Route("/", statement, methods=["GET", "POST"])])


async def _answer(engine: Engine, request: Request) -> bytes:
    """Read the SQL; when it is an insert whose rows follow, hand them on as they come."""
    if request.headers.get("content-type", "").startswith("multipart/form-data"):
        return await _answer_form(engine, request)
    query = request.query_params.get("query", "").encode()
    chunks = request.stream()
    received = bytearray(query + b"\n" if query else b"")
    ended = False
    while not ended and b"\n" not in received and len(received) < _HEAD_BYTES_MAX:
        ended = not await _take(chunks, received)
    line, newline, rest = bytes(received).partition(b"\n")
    head = insert_head(line) if newline else None
    if head is not None:
        del received
        await _insert(engine, _asked(request, *head), rest, chunks)
        return b""
    while not ended:
        if len(received) > _SQL_BYTES_MAX:
            raise RuntimeError(
                "Code: 62. DB::Exception: Max query size exceeded. (QUERY_IS_TOO_LARGE)"
            )
        ended = not await _take(chunks, received)
    asked = _asked(request, received.decode())
    return await anyio.to_thread.run_sync(engine.run, asked)


async def _answer_form(engine: Engine, request: Request) -> bytes:
    """Clients send a query as a form when its parameters are too long for a URL."""
    async with request.form(max_part_size=_FORM_FIELD_BYTES_MAX) as form:
        fields = {name: value for name, value in form.items() if isinstance(value, str)}
    asked = _asked(request, fields.pop("query", ""), fields=fields)
    return await anyio.to_thread.run_sync(engine.run, asked)


async def _take(chunks: AsyncIterator[bytes], received: bytearray) -> bool:
    async for chunk in chunks:
        received += chunk
        return True
    return False


async def _insert(
    engine: Engine, asked: Statement, rest: bytes, chunks: AsyncIterator[bytes]
) -> None:
    rows = engine.scratch_file()
    try:
        async with await anyio.open_file(rows, "wb") as file:
            await file.write(rest)
            async for chunk in chunks:
                await file.write(chunk)
        await anyio.to_thread.run_sync(engine.insert, asked, rows)
    finally:
        rows.unlink()


def _asked(
    request: Request,
    sql: str,
    rows_format: str | None = None,
    *,
    fields: Mapping[str, str] = MappingProxyType({}),
) -> Statement:
    parameters, settings = {}, {}
    for name, value in (*request.query_params.items(), *fields.items()):
        if name.startswith("param_"):
            parameters[name[6:]] = value
        elif name not in _NOT_SETTINGS:
            settings[name] = value
    if request.method == "GET":
        settings["readonly"] = "2"
    return Statement(
        sql=sql,
        rows_format=rows_format,
        database=request.query_params.get("database", "")
        or request.headers.get("x-clickhouse-database", ""),
        output_format=request.query_params.get("default_format", "TabSeparated"),
        parameters=parameters,
        settings=settings,
    )


def _failure(text: str) -> Response:
    code = _CODE.search(text)
    return Response(
        text, status_code=500, headers={"X-ClickHouse-Exception-Code": code[1] if code else "1000"}
    )


def main() -> None:
    """Serve until SIGTERM or SIGINT. Exit code 2: the data cannot be used, trying again does not help."""
    chosen = _arguments()
    chosen.data_dir.mkdir(parents=True, exist_ok=True)
    try:
        engine = Engine(
            chosen.data_dir,
            EngineOptions(reads_max=chosen.reads, memory_bytes_max=chosen.memory_bytes),
        )
    except DataProblem as problem:
        sys.stderr.write(f"chdb_server: {problem}\n")
        sys.exit(2)
    except RuntimeError as error:
        sys.exit(
            f"chdb_server: {chosen.data_dir} cannot be opened ({error}): is another process using it?"
        )
    server = uvicorn.Server(
        uvicorn.Config(
            create_app(engine),
            host="127.0.0.1",
            port=chosen.port,
            log_level="warning",
            lifespan="off",
            timeout_keep_alive=75,
            timeout_graceful_shutdown=_STOP_S,
        )
    )
    for number in (signal.SIGTERM, signal.SIGINT):  # uvicorn raises what it caught once more
        signal.signal(number, lambda *_: setattr(server, "should_exit", True))
    server.run()
    engine.close()
    sys.stdout.flush()
    os._exit(0)  # a statement that still runs in a thread is not waited for


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--reads", type=int, default=6, help="reads at the same time")
    parser.add_argument(
        "--memory-bytes", type=int, default=1 << 30, help="bound of all statements together"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
