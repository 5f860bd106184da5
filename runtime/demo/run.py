"""`meterstream demo`: real flights through the whole pipe, and every number checked against the table they come from."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

from runtime.demo import show
from runtime.demo.errors import DemoProblem
from runtime.demo.flights import Sending, read_flights, sending
from runtime.demo.questions import QUESTIONS, Question
from runtime.demo.sending import send, verdicts, wait_counted
from runtime.demo.stack import Addresses, Stack
from runtime.demo.truth import Answer

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True, kw_only=True)
class _Counting:
    """How it went: seconds from the first event sent until reads saw the last one, and what the worker found."""

    seconds: float
    verdicts: dict[str, int]


def run(data_dir: Path, *, keep: bool) -> bool:
    """Run the demo; True when every number is equal. DemoProblem; its logs are kept then."""
    console = Console(highlight=False)
    began = time.monotonic()
    stack = Stack(data_dir, keep=keep)
    exact, interrupted = False, False
    try:
        stack.start()
        with ThreadPoolExecutor(1) as thread:
            prepared = thread.submit(_prepare)
            addresses = stack.wait_ready(lambda line: console.print(line, style="dim"))
            console.print(f"ready at {addresses.api}", style="dim")
            flights, sent = prepared.result()
        _make_meters(addresses.api)
        counting = _count(console, addresses, sent)
        exact = _ask_and_check(console, addresses.api, flights)
        _conclude(console, sent, counting, exact, time.monotonic() - began)
    except KeyboardInterrupt:
        interrupted = True
        raise
    except httpx.HTTPError as error:
        raise DemoProblem(
            f"no answer ({error}); logs are in {data_dir / 'logs'}, run it again"
        ) from error
    finally:
        stack.stop(forget=exact or interrupted)
    if keep:
        console.print(
            f"\nLeft running: {addresses.api} (meters: {', '.join(q.slug for q in QUESTIONS)}). "
            f"Stop it with: meterstream down --data-dir {data_dir}"
        )
    return exact


def _prepare() -> tuple[pd.DataFrame, Sending]:
    flights = read_flights()
    return flights, sending(flights)


def _make_meters(api: str) -> None:
    for question in QUESTIONS:
        httpx.post(f"{api}/api/v1/meters", json=dict(question.meter), timeout=30).raise_for_status()


def _count(console: Console, addresses: Addresses, sent: Sending) -> _Counting:
    total = len(sent.records)
    console.print(
        f"\n{sent.unique:,} flights as CloudEvents, {sent.duplicates:,} of them sent twice, shuffled inside each day"
    )
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
    ) as progress:
        sending_bar = progress.add_task("sent to Kafka", total=total)
        counted_bar = progress.add_task("counted, readable", total=total)
        began = time.monotonic()
        ends = send(
            addresses.kafka, sent.records, lambda n: progress.update(sending_bar, completed=n)
        )
        wait_counted(addresses.worker, ends, lambda n: progress.update(counted_bar, completed=n))
        seconds = time.monotonic() - began
    return _Counting(seconds=seconds, verdicts=verdicts(addresses.worker))


def _ask_and_check(console: Console, api: str, flights: pd.DataFrame) -> bool:
    console.print()
    exact = True
    for question in QUESTIONS:
        ours, expected = _ask(api, question), question.check(flights)
        if any(len(key) > 1 for key in ours):
            show.show_by_month(console, question.title, ours)
        else:
            show.show_by_carrier(console, question.title, ours)
        wrong = show.differences(ours, expected)
        exact = exact and not wrong
        for line in wrong[:10]:
            console.print(f"  differs: {line}", style="red")
    return exact


def _ask(api: str, question: Question) -> Answer:
    response = httpx.get(
        f"{api}/api/v1/meters/{question.slug}/query", params=dict(question.parameters), timeout=60
    )
    response.raise_for_status()
    body: dict[str, Any] = response.json()
    return question.answer_of(body)


def _conclude(
    console: Console, sent: Sending, counting: _Counting, exact: bool, wall_s: float
) -> None:
    total = len(sent.records)
    found = counting.verdicts.get("duplicate", 0)
    console.print("against pandas on the same table: " + ("exact" if exact else "DIFFERENT"))
    console.print(
        f"{total:,} events in {counting.seconds:.1f} s = {total / counting.seconds:,.0f} events/s, sent to readable"
    )
    console.print(f"duplicates found: {found:,} of {sent.duplicates:,} sent")
    console.print(f"wall time: {wall_s:.1f} s")
