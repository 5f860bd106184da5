"""`make bench`: one table of speeds from one run on one topic, each contestant a process of its own.

(a) librdkafka and a typed decode: the limit. (b) a stock Faust agent that decodes. (c) the worker with the meter agent:
two meters with one group each, changelog and usage topic. (d) the same with the sink to ClickHouse. A run whose totals
are not exact ends the benchmark. See docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tests.benchmarks import ours, table
from tests.benchmarks.events import Totals, Workload
from tests.benchmarks.measure import Run
from tests.benchmarks.stack import NAMES, Stack, fill, last_json, running

_LIMIT_REPEATS = 3


def main() -> None:
    chosen = _arguments()
    console = Console(width=chosen.width or (None if sys.stdout.isatty() else 160))
    workload = Workload(events=chosen.events, minutes=chosen.minutes, even=chosen.even)
    with (
        tempfile.TemporaryDirectory(
            prefix="meterstream-bench-", ignore_cleanup_errors=True
        ) as name,
        running(Path(name)) as stack,
        _progress(console) as progress,
    ):
        totals, ends = fill(stack, workload, progress)
        runs: dict[str, list[Run]] = {}
        for letter in chosen.only:
            for repeat in range(_repeats(letter, chosen.repeats)):
                runs.setdefault(letter, []).append(
                    _run(letter, repeat, stack, totals, ends, chosen.faust_events, progress)
                )
    medians = {letter: _median(found) for letter, found in runs.items()}
    table.show(console, medians, workload, totals, chosen.faust_events)
    if chosen.json:
        chosen.json.write_text(
            json.dumps({letter: [asdict(run) for run in found] for letter, found in runs.items()})
        )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000, help="events on the topic")
    parser.add_argument(
        "--faust-events", type=int, default=100_000, help="how many of them (b) reads"
    )
    parser.add_argument(
        "--only", type=lambda text: text.split(","), default=list("abcd"), help="e.g. a,c"
    )
    parser.add_argument(
        "--repeats", type=int, default=1, help="runs of (b), (c) and (d); the median counts"
    )
    parser.add_argument(
        "--even", action="store_true", help="every subject sends as much as any other"
    )
    parser.add_argument(
        "--minutes", type=float, default=25.0, help="event time that the events are spread over"
    )
    parser.add_argument("--json", type=Path, help="every run's figures go to this file")
    parser.add_argument("--width", type=int, default=None, help="columns of the terminal")
    return parser.parse_args()


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description:42}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
    )


def _repeats(letter: str, asked: int) -> int:
    return max(asked, _LIMIT_REPEATS) if letter == "a" else asked


def _run(
    letter: str,
    repeat: int,
    stack: Stack,
    totals: Totals,
    ends: dict[int, int],
    faust_events: int,
    progress: Progress,
) -> Run:
    wanted = min(faust_events, totals.sent) if letter == "b" else totals.sent
    task = progress.add_task(f"({letter}) {table.NAMES[letter]}, run {repeat + 1}", total=wanted)

    def on_progress(done: int) -> None:
        progress.update(task, completed=done)

    if letter in "cd":
        return ours.run(stack, totals, ends, sink=letter == "d", on_progress=on_progress)
    module = "limit" if letter == "a" else "stock_faust"
    command = [
        sys.executable,
        "-m",
        f"tests.benchmarks.{module}",
        stack.kafka,
        NAMES.events,
        str(wanted),
    ]
    if letter == "b":
        command.append(str(stack.directory / f"stock-faust-{repeat}"))
    child = subprocess.run(command, capture_output=True, text=True)
    if child.returncode:
        sys.exit(f"({letter}) failed: {child.stderr[-4000:]}")
    on_progress(wanted)
    found = last_json(child.stdout)
    sent_once = found.pop("tokens", None)
    if letter == "a" and (found["events"] != totals.sent or sent_once < totals.tokens):
        raise ours.WrongTotals(f"(a) read {found['events']} events of {totals.sent}")
    return Run(**found)


def _median(runs: list[Run]) -> Run:
    """The run with the median rate."""
    middle = statistics.median_low([run.rate for run in runs])
    return next(run for run in runs if run.rate == middle)


if __name__ == "__main__":
    main()
