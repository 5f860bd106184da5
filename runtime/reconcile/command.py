"""`meterstream reconcile`."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from runtime.command_line import ConfigOption, DataDirOption, fail, read_config

if TYPE_CHECKING:
    from runtime.config import Config
    from runtime.reconcile.run import Report

DRIFT, UNSETTLED, INTERRUPTED = 5, 6, 130
"""Exit codes; 0 only when every balance was compared and none drifts."""


def reconcile(
    customer: Annotated[
        list[str] | None,
        typer.Option("--customer", help="Only this customer, by id or key; repeatable."),
    ] = None,
    feature: Annotated[
        list[str] | None,
        typer.Option("--feature", help="Only entitlements to this feature, by key; repeatable."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    metrics: Annotated[
        Path | None,
        typer.Option(
            "--metrics",
            help="Write the figures to this file in Prometheus' text form, for the node exporter's textfile collector.",
        ),
    ] = None,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
) -> None:
    """Recompute balances from the events in ClickHouse and compare them with what the workers say, while everything runs.

    Exit code 0 only when all were compared and none differs; 5 when one drifts, 6 when some could not be compared.

    Examples:

      meterstream reconcile

      meterstream reconcile --customer acme --feature tokens --json

      meterstream reconcile --metrics /var/lib/node_exporter/meterstream.prom
    """
    from runtime.reconcile.run import Report
    from runtime.reconcile.speech import as_json as in_json
    from runtime.reconcile.speech import show, write_metrics

    chosen = _config(config, data_dir)
    report = Report()
    _run(chosen, tuple(customer or ()), tuple(feature or ()), report)
    if as_json:
        typer.echo(in_json(report))
    else:
        from rich.console import Console

        show(report, Console(highlight=False))
    if metrics is not None and not report.interrupted:
        from runtime import clock

        try:
            write_metrics(report, metrics, clock.wall_now().timestamp())
        except OSError as problem:
            fail(f"--metrics {metrics}: {problem.strerror}")
    if code := _exit_code(report):
        raise typer.Exit(code)


def _exit_code(report: Report) -> int:
    if report.interrupted:
        return INTERRUPTED
    if report.drifting:
        return DRIFT
    return UNSETTLED if report.unsettled_customers else 0


def _run(
    config: Config, customers: tuple[str, ...], features: tuple[str, ...], report: Report
) -> None:
    """Fill the report; Ctrl-C ends it where it stands."""
    from connectors.postgres.pool import PostgresProblem
    from domain.errors import NotFound, Unavailable
    from runtime.reconcile.speech import progress
    from runtime.reconcile.work import reconcile as work

    shown = [""]

    def on_batch(report: Report) -> None:
        if sys.stderr.isatty() and (line := progress(report)) != shown[0]:
            shown[0] = line
            sys.stderr.write(f"\r\x1b[K{line}")
            sys.stderr.flush()

    async def interruptible() -> None:
        running = asyncio.current_task()
        assert running is not None
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, running.cancel)
        try:
            await work(config, customers, features or None, report, on_batch)
        except asyncio.CancelledError:
            report.interrupted = True

    try:
        asyncio.run(interruptible())
    except NotFound as unknown:
        fail(f"--customer: {unknown}")
    except Unavailable as down:
        fail(str(down), UNSETTLED)
    except PostgresProblem as problem:
        fail(str(problem))
    finally:
        if shown[0]:
            sys.stderr.write("\r\x1b[K")


def _config(path: Path | None, data_dir: Path | None) -> Config:
    """With the addresses of a running `meterstream up` where the configuration has none."""
    from runtime.running import on_running_services
    from runtime.supervisor.errors import StackProblem

    try:
        return on_running_services(read_config(path), data_dir, with_clickhouse=True)
    except StackProblem as problem:
        fail(str(problem))
