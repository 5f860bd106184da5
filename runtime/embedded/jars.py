"""The broker's jars: fetched once through jgo into the cache, checked against the sums that this repository carries."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

from runtime.embedded.service import ServiceProblem

KAFKA_VERSION = "4.2.0"
_COORDINATES = f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}+org.slf4j:slf4j-simple:1.7.36"
_SUMS = Path(__file__).with_name("kafka-jars.sha256")
_BYTES_NEEDED = 200 << 20


def cache_dir() -> Path:
    """Where downloads are kept: METERSTREAM_CACHE_DIR, else `.cache` beside the code when it is writable, else the user's."""
    chosen = os.environ.get("METERSTREAM_CACHE_DIR")
    if chosen:
        return Path(chosen)
    checkout = Path(__file__).resolve().parents[2]
    if (checkout / "pyproject.toml").exists() and os.access(checkout, os.W_OK):
        return checkout / ".cache"
    return Path.home() / ".cache" / "meterstream"


def kafka_class_path(cache: Path) -> str:
    """The class path of the broker; ServiceProblem when the jars cannot be had or are not the ones expected."""
    jars = sorted((cache / "kafka").glob("*.jar"))
    if not _complete(jars):
        jars = _fetch(cache)
    return os.pathsep.join(map(str, jars))


def _expected() -> dict[str, str]:
    lines = _SUMS.read_text().splitlines()
    return {name: digest for digest, name in (line.split() for line in lines if line)}


def _complete(jars: list[Path]) -> bool:
    expected = _expected()
    return {jar.name for jar in jars} == set(expected) and all(
        _digest(jar) == expected[jar.name] for jar in jars
    )


def _digest(jar: Path) -> str:
    with jar.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fetch(cache: Path) -> list[Path]:
    try:
        cache.mkdir(parents=True, exist_ok=True)
        _check_room(cache)
        return _take(_download(cache), cache / "kafka")
    except OSError as error:
        raise ServiceProblem(
            f"{error.filename or cache}: {error.strerror}: Kafka's jars are kept there; set METERSTREAM_CACHE_DIR to another folder"
        ) from error


def _check_room(cache: Path) -> None:
    free = shutil.disk_usage(cache).free
    if free < _BYTES_NEEDED:
        raise ServiceProblem(
            f"{cache}: {free >> 20} MiB free, Kafka's jars need {_BYTES_NEEDED >> 20} MiB: make room or set METERSTREAM_CACHE_DIR"
        )


def _download(cache: Path) -> list[Path]:
    try:
        import jgo
    except ModuleNotFoundError:
        raise ServiceProblem("the Python package jgo is missing: run `make setup`") from None
    try:
        environment = jgo.build(_COORDINATES, cache_dir=cache / "jgo")
        return [Path(jar) for jar in environment.all_jars]
    except Exception as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise ServiceProblem(
            f"Kafka {KAFKA_VERSION} could not be downloaded ({reason[0][:300]}): check the network and run it again; "
            "what was fetched so far is kept"
        ) from error


def _take(found: list[Path], target: Path) -> list[Path]:
    """Copy what was downloaded once every file is the one expected: all or nothing changes in `target`."""
    expected = _expected()
    names = {jar.name for jar in found}
    if names != set(expected):
        odd = sorted(names ^ set(expected))
        raise ServiceProblem(
            f"Kafka {KAFKA_VERSION}: other files than expected were downloaded: {', '.join(odd[:5])}"
        )
    for jar in found:
        if _digest(jar) != expected[jar.name]:
            raise ServiceProblem(
                f"{jar}: wrong checksum: not the file that this version was tested with: delete {jar.name} there and run it again"
            )
    target.mkdir(exist_ok=True)
    for stale in set(target.glob("*.jar")):
        if stale.name not in expected:
            stale.unlink()
    for jar in found:
        partial = target / f"{jar.name}.{os.getpid()}.part"
        shutil.copyfile(jar, partial)
        partial.rename(target / jar.name)
    return sorted(target.glob("*.jar"))
