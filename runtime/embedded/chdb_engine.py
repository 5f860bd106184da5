"""ClickHouse's engine inside this process (chDB): one connection a statement, so that nothing of one leaks into another."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import BoundedSemaphore
from typing import Any

_SETTING = re.compile(r"[a-z][a-z0-9_]*\Z")
_READ = re.compile(r"[\s(]*(SELECT|WITH)\b", re.IGNORECASE)
_INSERT = re.compile(rb"\s*INSERT\s+INTO\s", re.IGNORECASE)
_FORMAT = re.compile(rb"\sFORMAT\s+(\w+)\s*\Z", re.IGNORECASE)
_DEFAULTS = {"max_execution_time": "300", "max_threads": "2"}
_VERSION_FILE, _SCRATCH = "engine-version", "inserting"


class EngineBusy(Exception):
    """No place became free in time; the text is as ClickHouse says it."""


class DataProblem(Exception):
    """The data directory cannot be used; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """Bounds: statements at the same time, seconds that one waits for a place, bytes that all together may take."""

    reads_max: int = 6
    others_max: int = 3
    wait_s: float = 15.0
    memory_bytes_max: int = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What a client asks. `rows` are the bytes of an insert in `rows_format`; `database` may be empty."""

    sql: str
    database: str = ""
    output_format: str = "TabSeparated"
    rows_format: str | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)


def insert_head(line: bytes) -> tuple[str, str] | None:
    """The statement and its format when `line` is an INSERT whose rows follow, as clients send it."""
    form = _FORMAT.search(line)
    if not _INSERT.match(line) or form is None:
        return None
    return line[: form.start()].decode(), form[1].decode()


class Engine:
    """chDB on one data directory. Inserts and definitions have places of their own: slow reads do not hold up the sink."""

    def __init__(self, data_dir: Path, options: EngineOptions) -> None:
        import chdb

        self._options = options
        self._reads = BoundedSemaphore(options.reads_max)
        self._others = BoundedSemaphore(options.others_max)
        os.chdir(data_dir)  # a relative name: chDB reads ? and & in a path as options
        _check_version(Path(_VERSION_FILE), str(chdb.engine_version))
        shutil.rmtree(_SCRATCH, ignore_errors=True)
        os.mkdir(_SCRATCH)
        self._connect = chdb.connect
        self._anchor = chdb.connect("data?" + "&".join(_server_options(options.memory_bytes_max)))
        Path(_VERSION_FILE).write_text(f"{chdb.engine_version}\n")

    def run(self, statement: Statement) -> bytes:
        """The result of one statement. EngineBusy; chDB's own RuntimeError when it fails."""
        places = self._reads if _READ.match(statement.sql) else self._others
        with self._connection(statement, places) as connection:
            found = connection.query(
                statement.sql, statement.output_format, params=dict(statement.parameters) or None
            )
            return bytes(found.bytes() or b"")

    def scratch_file(self) -> Path:
        """A new file for the rows of an insert, relative to the working directory."""
        descriptor, name = tempfile.mkstemp(dir=_SCRATCH)
        os.close(descriptor)
        return Path(_SCRATCH) / Path(name).name

    def insert(self, statement: Statement, rows: Path) -> None:
        """Insert what `rows` holds. EngineBusy; chDB's own RuntimeError when it fails.

        From a file and not chDB's streaming insert: that one cuts blocks where the bytes happened to be cut and ignores
        insert_deduplication_token, so a repeated block would not be dropped.
        """
        sql = f"{statement.sql} FROM INFILE '{rows}' FORMAT {statement.rows_format}"
        with self._connection(statement, self._others) as connection:
            connection.query(sql)

    @contextmanager
    def _connection(self, statement: Statement, places: BoundedSemaphore) -> Iterator[Any]:
        if not places.acquire(timeout=self._options.wait_s):
            raise EngineBusy(
                "Code: 202. DB::Exception: Too many simultaneous queries. (TOO_MANY_SIMULTANEOUS_QUERIES)"
            )
        try:
            connection = self._connect("data")
            try:
                self._settle(connection, statement)
                yield connection
            finally:
                connection.close()
        finally:
            places.release()

    def _settle(self, connection: Any, statement: Statement) -> None:
        chosen = {
            "max_memory_usage": str(self._options.memory_bytes_max * 3 // 4),
            **_DEFAULTS,
            **statement.settings,
        }
        connection.query("SET " + ", ".join(f"{k} = {_literal(k, v)}" for k, v in chosen.items()))
        if statement.database:
            connection.query(f"USE {_quoted(statement.database, '`')}")

    def close(self) -> None:
        """Let go of the data directory: parts are on disk already."""
        self._anchor.close()


def _server_options(memory_bytes_max: int) -> list[str]:
    """Caches that suit a laptop: the defaults are those of a server that has the machine for itself."""
    return [
        f"max_server_memory_usage={memory_bytes_max}",
        f"mark_cache_size={memory_bytes_max // 32}",
        f"index_mark_cache_size={memory_bytes_max // 64}",
        "background_pool_size=2",
    ]


def _check_version(file: Path, engine: str) -> None:
    written = file.read_text().strip() if file.exists() else engine
    if _release(written) > _release(engine):
        raise DataProblem(
            f"{file.resolve().parent} was written by ClickHouse {written}, this is {engine}, which is older: "
            "use the newer meterstream, or start with another data_dir"
        )


def _release(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2])


def _literal(name: str, value: str) -> str:
    if not _SETTING.match(name):
        raise RuntimeError(f"Code: 115. DB::Exception: Unknown setting '{name}'. (UNKNOWN_SETTING)")
    return _quoted(value, "'")


def _quoted(text: str, mark: str) -> str:
    escaped = text.replace("\\", "\\\\").replace(mark, "\\" + mark)
    return f"{mark}{escaped}{mark}"
