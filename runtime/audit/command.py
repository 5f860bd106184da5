"""`meterstream audit`."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from runtime.command_line import ConfigOption, DataDirOption, fail, read_config, wrong_input

if TYPE_CHECKING:
    from runtime.audit.report import Report
    from runtime.audit.work import Asked
    from runtime.config import Config

DIFFERENCES, UNDECIDED, INTERRUPTED = 5, 6, 130
"""Exit codes; 0 only when everything was compared and is equal."""
_SHOWN_S = 0.2


def audit(
    from_: Annotated[
        str | None,
        typer.Option(
            "--from",
            help="Records appended at or after this time, e.g. 2026-03-05T12:00:00Z. Default: 24 hours before the end, as far as the log holds them.",
        ),
    ] = None,
    to: Annotated[
        str | None, typer.Option("--to", help="Records appended before this time. Default: now.")
    ] = None,
    everything: Annotated[
        bool,
        typer.Option("--all", help="All that the log holds: then rows of usage are compared, too."),
    ] = False,
    subject: Annotated[
        list[str] | None,
        typer.Option("--subject", help="Only events of this subject; repeatable."),
    ] = None,
    customer: Annotated[
        list[str] | None,
        typer.Option(
            "--customer", help="Only events of this customer's subjects, by id or key; repeatable."
        ),
    ] = None,
    partition: Annotated[
        list[int] | None,
        typer.Option("--partition", min=0, help="Only this partition; repeatable."),
    ] = None,
    ids_from_clickhouse: Annotated[
        bool,
        typer.Option(
            "--ids-from-clickhouse",
            help="Take ids from before the range from ClickHouse, not from the log of the dedupe window: faster, less independent.",
        ),
    ] = False,
    wait: Annotated[
        float,
        typer.Option(min=0, max=3600, help="Seconds to wait for ClickHouse to have the range."),
    ] = 15.0,
    report_file: Annotated[
        Path | None,
        typer.Option("--report", help="Write the report to this HTML file, to be handed on."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
) -> None:
    """Read the log again and prove that every event was counted once: sent = accepted + duplicate + rejected + forwarded, and accepted = ClickHouse = rows.

    Judges each event anew and compares it with what ClickHouse, the rejected topic and the workers have, while everything
    runs. What is wrong is named by partition, offset, index, id and subject. Exit code 0 only when all is equal; 5 when
    something differs, 6 when something could not be decided. docs/audit.md has more.

    Examples:

      meterstream audit

      meterstream audit --all --report audit.html

      meterstream audit --from 2026-03-01T00:00:00Z --to 2026-03-02T00:00:00Z --customer acme --json
    """
    from runtime.audit.report import Report
    from runtime.audit.speech import as_json as in_json
    from runtime.audit.speech import show
    from runtime.audit.work import Asked

    if everything and from_ is not None:
        wrong_input("--all and --from: give one of them")
    if partition and (subject or customer):
        wrong_input("--partition: a subject has one partition, leave it out")
    asked = Asked(
        from_ms=_ms("--from", from_),
        to_ms=_ms("--to", to),
        everything=everything,
        subjects=tuple(subject or ()),
        customers=tuple(customer or ()),
        partitions=tuple(partition or ()),
        ids_from_log=not ids_from_clickhouse,
        wait_s=wait,
    )
    if asked.from_ms is not None and asked.to_ms is not None and asked.from_ms >= asked.to_ms:
        wrong_input("--to: not after --from")
    chosen = _config(config, data_dir)
    report = Report()
    _run(chosen, asked, report)
    if as_json:
        typer.echo(in_json(report))
    else:
        from rich.console import Console

        show(report, Console(highlight=False))
    if report_file is not None:
        _write(report, report_file)
    if code := _exit_code(report):
        raise typer.Exit(code)


def _write(report: Report, path: Path) -> None:
    from runtime.audit.page import write_page

    try:
        write_page(report, path)
    except OSError as problem:
        fail(f"--report {path}: {problem.strerror}")


def _exit_code(report: Report) -> int:
    if report.interrupted:
        return INTERRUPTED
    if report.kinds:
        return DIFFERENCES
    return UNDECIDED if report.undecided_count else 0


def _run(config: Config, asked: Asked, report: Report) -> None:
    """Fill the report; Ctrl-C ends it where it stands."""
    from domain.errors import NotFound, Unavailable
    from runtime.audit.speech import progress
    from runtime.audit.work import audit as work

    began = time.monotonic()
    shown = [0.0]

    def on_progress(report: Report) -> None:
        now = time.monotonic()
        if sys.stderr.isatty() and now - shown[0] > _SHOWN_S:
            shown[0] = now
            sys.stderr.write(f"\r\x1b[K{progress(report, now - began)}")
            sys.stderr.flush()

    async def interruptible() -> None:
        running = asyncio.current_task()
        assert running is not None
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, running.cancel)
        try:
            await work(config, asked, report, on_progress)
        except asyncio.CancelledError:
            report.interrupted = True

    try:
        asyncio.run(interruptible())
    except NotFound as unknown:
        fail(str(unknown))
    except Unavailable as down:
        fail(f"not decided: {down}", UNDECIDED)
    finally:
        if shown[0]:
            sys.stderr.write("\r\x1b[K")


def _ms(option: str, text: str | None) -> int | None:
    from api.times import parse_time, unix_ms

    if text is None:
        return None
    try:
        return unix_ms(parse_time(text))
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None


def _config(path: Path | None, data_dir: Path | None) -> Config:
    """With the addresses of a running `meterstream up` where the configuration has none."""
    from runtime.running import on_running_services
    from runtime.supervisor.errors import StackProblem

    try:
        return on_running_services(read_config(path), data_dir, with_clickhouse=True)
    except StackProblem as problem:
        fail(str(problem))
