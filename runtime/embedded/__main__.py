"""`python -m runtime.embedded`: fetch and prepare what the embedded services need, so that the first start does not."""

from __future__ import annotations

import sys

from runtime.embedded.class_archive import make_archive
from runtime.embedded.jars import cache_dir, kafka_class_path
from runtime.embedded.service import ServiceProblem


def main() -> None:
    """Fetch the broker's jars, then make its class archive: without the archive it only starts slower."""
    cache = cache_dir()
    try:
        kafka_class_path(cache)
    except ServiceProblem as problem:
        sys.exit(f"setup: {problem}")
    try:
        make_archive(cache)
    except ServiceProblem as problem:
        sys.stderr.write(f"setup: {problem}; Kafka starts without it, a second slower\n")


if __name__ == "__main__":
    main()
