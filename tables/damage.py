"""A database that was found damaged says so until it is deleted: a file beside RocksDB's own, looked for at each opening."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tables.errors import StateCorrupt, translate

_CONDEMNED = "CORRUPT"


def refuse_condemned(path: Path) -> None:
    """StateCorrupt when a read has found damage in the database at `path`."""
    condemned = path / _CONDEMNED
    if condemned.exists():
        raise StateCorrupt(f"{path}: damage was found: {condemned.read_text()}")


@contextmanager
def errors_translated(path: Path) -> Iterator[None]:
    """Gives errors of RocksDB their type; remembers damage, so that the next opening reports it."""
    try:
        yield
    except Exception as error:
        if type(error) is not Exception:  # rocksdict raises the bare type for RocksDB's own
            raise
        failure = translate(path, error)
        if isinstance(failure, StateCorrupt) and path.is_dir():
            (path / _CONDEMNED).write_text(str(error))
        raise failure from error
