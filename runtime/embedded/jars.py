"""The broker's jars: fetched once through jgo into the cache, checked against the sums that this repository carries."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
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
    cache.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(cache).free
    if free < _BYTES_NEEDED:
        raise ServiceProblem(
            f"{cache}: {free >> 20} MiB free, Kafka's jars need {_BYTES_NEEDED >> 20} MiB: make room or set METERSTREAM_CACHE_DIR"
        )
    import jgo

    try:
        environment = jgo.build(_COORDINATES, cache_dir=cache / "jgo")
        found = [Path(jar) for jar in environment.all_jars]
    except Exception as error:
        raise ServiceProblem(
            f"Kafka {KAFKA_VERSION} could not be downloaded ({type(error).__name__}: {error}): check the network and run it again; "
            "what was fetched so far is kept"
        ) from error
    expected = _expected()
    target = cache / "kafka"
    target.mkdir(exist_ok=True)
    for stale in target.glob("*.jar"):
        stale.unlink()
    for jar in found:
        if jar.name not in expected or _digest(jar) != expected[jar.name]:
            raise ServiceProblem(
                f"{jar}: not the file that this version was tested with (wrong checksum): delete {cache} and run it again"
            )
        partial = target / (jar.name + ".part")
        shutil.copyfile(jar, partial)
        partial.rename(target / jar.name)
    return sorted(target.glob("*.jar"))


def main() -> None:
    """Fetch the jars now, so that the first start does not."""
    try:
        kafka_class_path(cache_dir())
    except ServiceProblem as problem:
        sys.exit(str(problem))


if __name__ == "__main__":
    main()
