"""`python -m tests.benchmarks.balances [--only latency,reads,folding]`: the table of docs/benchmarks.md, "Balances"."""

from __future__ import annotations

import argparse
import sys

from rich.console import Console

from tests.benchmarks.balances.whole import PARTS, measure, show


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.balances", description=__doc__
    )
    parser.add_argument("--only", default=",".join(PARTS), help="e.g. reads,folding")
    chosen = parser.parse_args()
    show(Console(width=None if sys.stdout.isatty() else 200), measure(chosen.only.split(",")))


if __name__ == "__main__":
    main()
