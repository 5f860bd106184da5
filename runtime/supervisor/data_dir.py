"""The data directory: who may use it, which version wrote it, is there room."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from runtime.supervisor.errors import StackProblem

_FORMAT = 1
"""Grows when an older meterstream could not read what this one writes."""
_ABOUT_SPACE = (errno.ENOSPC, errno.EDQUOT)


class Locked(Exception):
    """Another supervisor holds the directory."""


def make_data_dir(path: Path, *, free_bytes_min: int) -> Path:
    """The directory, absolute, made when it is not there, checked before anything is written. StackProblem."""
    home = path.expanduser().absolute()
    with saying_which(home):
        if home.exists() and not home.is_dir():
            raise StackProblem(
                f"{home} is a file, a directory for the data is needed: name another with --data-dir"
            )
        home.mkdir(parents=True, exist_ok=True)
        (home / "logs").mkdir(exist_ok=True)
        _check_version(home / "VERSION")
    check_room(home, free_bytes_min)
    return home


def check_room(home: Path, free_bytes_min: int) -> None:
    """StackProblem when the disk is nearly full."""
    free = shutil.disk_usage(home).free
    if free < free_bytes_min:
        raise StackProblem(
            f"{home}: {free >> 20} MiB are free on this disk, supervisor.disk_free_bytes_min asks for {free_bytes_min >> 20} MiB: make room, "
            "or name another directory with --data-dir"
        )


@contextmanager
def saying_which(home: Path) -> Iterator[None]:
    """Failures of the file system as one message."""
    try:
        yield
    except OSError as error:
        place = error.filename or home
        hint = "make room" if error.errno in _ABOUT_SPACE else "name another with --data-dir"
        raise StackProblem(
            f"{place}: {error.strerror}: the data directory {home} cannot be used; {hint}"
        ) from error


def hold(home: Path) -> IO[str]:
    """Take the directory for this process until the file is closed; the kernel lets go when the process ends. Locked."""
    file = (home / "supervisor.lock").open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise Locked from None
    return file


def _check_version(file: Path) -> None:
    if not file.exists():
        partial = file.with_name("VERSION.part")
        partial.write_text(f"{_FORMAT}\n")
        os.replace(partial, file)
        return
    written = file.read_text().strip()
    if written != str(_FORMAT):
        raise StackProblem(
            f"{file.parent} was written by another version of meterstream (data version {written[:20]!r}, this one reads {_FORMAT}): "
            "use the version that wrote it, or name another directory with --data-dir"
        )
