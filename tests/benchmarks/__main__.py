"""`make bench`: one table of speeds from one run on one stream of events, each contestant a process of its own.

Who they are: `contestants.py`. A run of ours whose totals are not exact ends the benchmark; a peer's difference is shown.
See docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tests.benchmarks import children, http_ingest, meter_query, ours, table
from tests.benchmarks.balances import whole as balances
from tests.benchmarks.contestants import CONTESTANTS
from tests.benchmarks.events import Workload
from tests.benchmarks.measure import Run
from tests.benchmarks.stack import Filled, Stack, fill, running


def main() -> None:
    chosen = _arguments()
    parts = _parts(chosen)
    console = Console(width=chosen.width or (None if sys.stdout.isatty() else 160))
    workload = Workload(events=chosen.events, minutes=chosen.minutes, even=chosen.even)
    with (
        tempfile.TemporaryDirectory(
            prefix="meterstream-bench-", ignore_cleanup_errors=True
        ) as name,
        running(Path(name)) as stack,
        _progress(console) as progress,
    ):
        heads = {parts[letter] for letter in chosen.only if CONTESTANTS[letter].peer}
        filled = fill(stack, workload, progress, heads)
        runs: dict[str, list[Run]] = {}
        for letter in chosen.only:
            for repeat in range(max(chosen.repeats, CONTESTANTS[letter].repeats_min)):
                runs.setdefault(letter, []).append(
                    _run(letter, repeat, stack, filled, parts[letter], progress)
                )
    medians = {letter: _median(found) for letter, found in runs.items()}
    table.show(console, medians, workload, filled.totals, parts)
    if "http" in chosen.also:
        http_ingest.show(console, http_ingest.measure([1, 16], 8.0))
    if "query" in chosen.also:
        found = [one for events in (1_000_000, 10_000_000) for one in meter_query.measure(events)]
        meter_query.show(console, found)
    if "balances" in chosen.also:
        balances.show(console, balances.measure())
    if chosen.json:
        chosen.json.write_text(
            json.dumps({letter: [asdict(run) for run in found] for letter, found in runs.items()})
        )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000, help="events on the topic")
    parser.add_argument(
        "--faust-events",
        type=int,
        default=CONTESTANTS["b"].part,
        help="how many of them (b) reads",
    )
    parser.add_argument(
        "--peer-events",
        type=int,
        help="how many each peer, (e) to (g), reads; by default as many as take it about 20 s",
    )
    parser.add_argument("--only", type=_letters, default=list(CONTESTANTS), help="e.g. a,c")
    parser.add_argument(
        "--repeats", type=int, default=1, help="runs of each but (a); the median counts"
    )
    parser.add_argument(
        "--even", action="store_true", help="every subject sends as much as any other"
    )
    parser.add_argument(
        "--minutes", type=float, default=25.0, help="event time that the events are spread over"
    )
    parser.add_argument(
        "--also",
        type=lambda text: text.split(","),
        default=["http", "query", "balances"],
        help="tables that follow: http,query,balances (about ten minutes) or none",
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


def _letters(text: str) -> list[str]:
    letters = text.split(",")
    unknown = [letter for letter in letters if letter not in CONTESTANTS]
    if unknown:
        raise argparse.ArgumentTypeError(
            f"{','.join(unknown)}: choose from {','.join(CONTESTANTS)}"
        )
    return letters


def _parts(chosen: argparse.Namespace) -> dict[str, int | None]:
    """How many records each contestant reads, None: all."""
    parts = {letter: found.part for letter, found in CONTESTANTS.items()}
    parts["b"] = chosen.faust_events
    for letter, found in CONTESTANTS.items():
        if found.peer:
            parts[letter] = min(chosen.peer_events or found.part, chosen.events)
    return parts


def _run(
    letter: str,
    repeat: int,
    stack: Stack,
    filled: Filled,
    part: int | None,
    progress: Progress,
) -> Run:
    contestant = CONTESTANTS[letter]
    wanted = min(part or filled.totals.sent, filled.totals.sent)
    task = progress.add_task(f"({letter}) {contestant.name}, run {repeat + 1}", total=wanted)

    def on_progress(done: int) -> None:
        progress.update(task, completed=done)

    if contestant.module is None:
        return ours.run(
            stack, filled.totals, filled.ends, sink=contestant.sink, on_progress=on_progress
        )
    run = children.run_peer if contestant.peer else children.run_part
    found = run(contestant, stack, filled, part, f"contestant-{letter}-{repeat}")
    on_progress(wanted)
    return found


def _median(runs: list[Run]) -> Run:
    """The run with the median rate."""
    middle = statistics.median_low([run.rate for run in runs])
    return next(run for run in runs if run.rate == middle)


if __name__ == "__main__":
    main()
