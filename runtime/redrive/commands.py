"""`meterstream events rejected` and `meterstream events redrive`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from domain.metering.rejected import RejectedListing
from runtime.command_line import ConfigOption, DataDirOption, fail, read_config
from runtime.config import Config

if TYPE_CHECKING:
    from runtime.redrive.run import Report

events = typer.Typer(
    help="What was refused on its way through Kafka: see it, and send it again after a fix.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

CodeOption = Annotated[
    list[str] | None,
    typer.Option("--code", help="Only records refused with this code; repeatable."),
]
FromOption = Annotated[
    str | None,
    typer.Option("--from", help="Refused at or after this time, e.g. 2026-03-05T12:00:00Z."),
]
ToOption = Annotated[str | None, typer.Option("--to", help="Refused before this time.")]
TopicOption = Annotated[
    str | None, typer.Option("--topic", help="Topic that the record came in by.")
]
PartitionOption = Annotated[
    int | None, typer.Option("--partition", min=0, help="Partition that the record came in by.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="For programs.")]


@events.command("rejected")
def rejected(
    code: CodeOption = None,
    from_: FromOption = None,
    to: ToOption = None,
    topic: TopicOption = None,
    partition: PartitionOption = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Records to show.")] = 20,
    as_json: JsonOption = False,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
) -> None:
    """List refused records, newest first: when, code and field, topic/partition/offset/index, message.

    Examples:

      meterstream events rejected

      meterstream events rejected --code time_out_of_range --from 2026-03-01T00:00:00Z --json
    """
    from api.answers import json_bytes
    from api.v1.rejected import rejected_json
    from runtime.redrive.speech import listed
    from runtime.redrive.work import page

    chosen = _config(config, data_dir)
    listing = _listing(code, from_, to, topic, partition, limit)
    with _failing():
        found, redriven = page(chosen, listing)
    if as_json:
        for one in found.records:
            typer.echo(json_bytes(rejected_json(one, redriven.get(one.id))))
        return
    for line in listed(found.records, redriven):
        typer.echo(line)
    if not found.records:
        typer.echo("nothing was refused" + (" among the newest records" if found.next else ""))
    if found.next is not None:
        typer.echo("there may be older ones: narrow it with --to, or raise --limit", err=True)


@events.command("redrive")
def redrive(
    code: CodeOption = None,
    from_: FromOption = None,
    to: ToOption = None,
    topic: TopicOption = None,
    partition: PartitionOption = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="ATTRIBUTE=VALUE for every event that is sent: source, specversion, subject, time or type; repeatable.",
        ),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Records to send at most.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be done.")
    ] = False,
    beyond_window: Annotated[
        bool,
        typer.Option(
            "--beyond-window",
            help="Also what was refused longer ago than dedupe.window: sure that nobody has sent it again meanwhile?",
        ),
    ] = False,
    as_json: JsonOption = False,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
) -> None:
    """Send refused records again, after a fix: those that would be taken now, to the partition of each event's subject.

    Each is sent once, however often this runs or is interrupted. What would be refused again is not sent but counted.

    Examples:

      meterstream events redrive --dry-run

      meterstream events redrive --code not_a_cloudevent --set specversion=1.0 --limit 1000
    """
    from runtime.redrive.run import Order, Report
    from runtime.redrive.work import redrive as work
    from schemas import topics

    chosen = _config(config, data_dir)
    names = topics.names(chosen.namespace)
    order = Order(
        namespace=chosen.namespace,
        listing=_listing(code, from_, to, topic, partition, 1),
        topics=(names.events, names.events_raw),
        window=chosen.dedupe.window,
        changes=_changes(changes or []),
        limit=limit,
        dry_run=dry_run,
        beyond_window=beyond_window,
    )
    report = Report()
    try:
        with _failing():
            work(chosen, order, report, _show_progress if sys.stderr.isatty() else _show_nothing)
    except typer.Exit:
        if report.found:  # it broke off in the middle
            _tell(report, dry_run=dry_run, as_json=as_json)
        raise
    _tell(report, dry_run=dry_run, as_json=as_json)


def _tell(report: Report, *, dry_run: bool, as_json: bool) -> None:
    import msgspec

    from runtime.redrive.speech import as_values, told

    if as_json:
        typer.echo(msgspec.json.encode(as_values(report, dry_run=dry_run)))
        return
    for line in told(report, dry_run=dry_run):
        typer.echo(line)


def _show_nothing(report: Report) -> None:
    pass


def _show_progress(report: Report) -> None:
    typer.echo(f"{report.found} found, {report.sent} sent again", err=True)


@contextmanager
def _failing() -> Iterator[None]:
    """Ends the command with one line when a service cannot be used."""
    from connectors.postgres.pool import PostgresProblem
    from domain.errors import Unavailable

    try:
        yield
    except (Unavailable, PostgresProblem) as problem:
        fail(str(problem))


def _config(path: Path | None, data_dir: Path | None) -> Config:
    """With the addresses of a running `meterstream up` where the configuration has none."""
    from runtime.running import on_running_services
    from runtime.supervisor.errors import StackProblem

    try:
        return on_running_services(read_config(path), data_dir)
    except StackProblem as problem:
        fail(str(problem))


def _listing(
    codes: list[str] | None,
    since: str | None,
    until: str | None,
    topic: str | None,
    partition: int | None,
    limit: int,
) -> RejectedListing:
    return RejectedListing(
        codes=tuple(codes or ()),
        since_ms=_ms("--from", since),
        until_ms=_ms("--to", until),
        topic=topic,
        partition=partition,
        limit=limit,
    )


def _ms(option: str, text: str | None) -> int | None:
    from api.times import parse_time, unix_ms

    if text is None:
        return None
    try:
        return unix_ms(parse_time(text))
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None


def _changes(given: list[str]) -> dict[str, str]:
    from runtime.redrive.judging import SETTABLE

    changes: dict[str, str] = {}
    for text in given:
        name, _, value = text.partition("=")
        if name not in SETTABLE or not value:
            raise typer.BadParameter(
                f"{text!r}: write ATTRIBUTE=VALUE with one of {', '.join(SETTABLE)}",
                param_hint="--set",
            )
        changes[name] = value
    return changes
