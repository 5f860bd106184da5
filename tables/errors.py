"""What can be wrong with a state, and what to do about each."""

from __future__ import annotations

from pathlib import Path


class StateCorrupt(Exception):
    """The database cannot be read: delete it and restore it from the changelog."""


class StateLocked(Exception):
    """Another process, or another store of this one, has the database open."""


class StateUnavailable(Exception):
    """The machine does not let the database be used: disk full, no permission, too many open files. Deleting it does not help."""


class StateOfAnotherVersion(Exception):
    """The state or its changelog was written by a version with another format."""


class InvariantBroken(Exception):
    """A write would break what the protocol promises: the worker must stop."""


class StateOfAnotherTopic(InvariantBroken):
    """The state was made from another topic or partition than the one it is opened for."""


class StateFull(Exception):
    """More ids than `dedupe.ids_max` inside the dedupe window: events can no longer be judged."""


def translate(path: Path, error: Exception) -> Exception:
    """The type for an error of RocksDB, which reports all of them as Exception with a text.

    The text names paths, and a damaged file is told as "block checksum mismatch": only its beginning is looked at.
    """
    text = str(error)
    message = f"{path}: {text}"
    if text.startswith(("IO error: lock hold", "IO error: While lock file")):
        return StateLocked(message)
    if text.startswith(("Corruption", "IO error: No such file or directory")):
        return StateCorrupt(message)
    return StateUnavailable(message)
