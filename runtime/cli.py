"""The command `meterstream`. What a command needs is imported when it runs, so that `--help` is quick."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from runtime.audit.command import audit
from runtime.command_line import (
    NOTHING_RUNS,
    PROBLEM,
    ConfigOption,
    DataDirOption,
    fail,
    read_config,
    wrong_input,
)
from runtime.explain import explain
from runtime.reconcile.command import reconcile
from runtime.redrive.commands import events
from runtime.simulate.kind import Kind
from runtime.topology.commands import topology

app = typer.Typer(
    name="meterstream",
    help="Usage metering and real-time balances as a stream on Kafka. Start with: meterstream up",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

app.add_typer(events, name="events")
app.add_typer(topology)
app.command("reconcile")(reconcile)
app.command("audit")(audit)
app.command("explain")(explain)


@app.callback()
def about() -> None:
    """Usage metering and real-time balances as a stream on Kafka."""


@app.command()
def up(
    data_dir: DataDirOption = None,
    port: Annotated[
        int | None,
        typer.Option(
            min=0, max=65_535, help="Port of the API; 0 is a free one. Default: api.port, 8888."
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, max=64, help="Worker processes. Default: supervisor.workers, 1."),
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Run everything on this machine: Kafka, PostgreSQL, ClickHouse's engine, the API and workers.

    Prints each service's address as it comes up, then `ready URL`. Ctrl-C stops everything; the next start finds the data again.
    What the configuration gives a real address for is not run but used.

    Examples:

      meterstream up

      meterstream up --data-dir /var/lib/meterstream --port 9000 --workers 2

      meterstream up --port 0 --config with-our-kafka.yaml
    """
    from runtime.embedded.service import ServiceProblem
    from runtime.supervisor.errors import StackProblem
    from runtime.supervisor.speech import Speech
    from runtime.supervisor.stack import Order, run_stack

    chosen = read_config(config)
    changes = {} if port is None else {"api": chosen.api.model_copy(update={"port": port})}
    order = Order(
        config=chosen.model_copy(
            update={**changes, "data_dir": chosen.data_dir if data_dir is None else data_dir}
        ),
        config_file=config,
        workers=workers or chosen.supervisor.workers,
    )
    try:
        run_stack(order, Speech())
    except (StackProblem, ServiceProblem) as problem:
        fail(str(problem))


@app.command()
def status(
    data_dir: DataDirOption = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="A list of objects: name, role, pid, address, ready.")
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Say what runs on a data directory, asked live. Exit code 3 when nothing does.

    Examples:

      meterstream status

      meterstream status --data-dir /var/lib/meterstream --json
    """
    from rich.console import Console

    from runtime.supervisor import control
    from runtime.supervisor.errors import StackProblem

    home = data_dir or read_config(config).data_dir
    try:
        parts = control.status(home.absolute())
    except StackProblem as problem:
        fail(str(problem))
    if as_json:
        import msgspec

        typer.echo(msgspec.json.format(msgspec.json.encode(parts)).decode())
    elif parts:
        control.show(parts, Console(highlight=False))
    else:
        typer.echo(f"nothing runs on {home.absolute()}", err=True)
    if not parts:
        raise typer.Exit(NOTHING_RUNS)


@app.command()
def down(data_dir: DataDirOption = None, config: ConfigOption = None) -> None:
    """Stop what runs on a data directory, also what a killed supervisor left, and wait until it is down.

    Examples:

      meterstream down

      meterstream down --data-dir /var/lib/meterstream
    """
    from runtime.supervisor import control
    from runtime.supervisor.errors import StackProblem

    home = (data_dir or read_config(config).data_dir).absolute()
    try:
        stopped = control.down(home)
    except StackProblem as problem:
        fail(str(problem))
    typer.echo(f"stopped {', '.join(stopped)}" if stopped else f"nothing runs on {home}")


@app.command()
def worker(
    config: ConfigOption = None,
    name: Annotated[
        str, typer.Option(help="Names the state directory under data_dir.")
    ] = "worker-1",
    port: Annotated[int, typer.Option(help="Port for health, metrics and status.")] = 0,
) -> None:
    """Run a stream worker against the services of the configuration.

    Example: meterstream worker --config prod.yaml --name worker-2 --port 9102
    """
    from runtime import worker as process

    process.run(read_config(config), name=name, port=port)


@app.command()
def api(
    config: ConfigOption = None,
    port: Annotated[
        int | None, typer.Option(help="Port to listen on; 0 is a free one. Default: api.port.")
    ] = None,
) -> None:
    """Run the HTTP interface against the services of the configuration.

    Example: meterstream api --config prod.yaml --port 8888
    """
    from runtime import api as process

    process.run(read_config(config), port=port)


@app.command()
def demo(
    data_dir: Annotated[
        Path, typer.Option("--data-dir", help="The demo's own directory; made anew, then removed.")
    ] = Path(".meterstream/demo"),
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the stack and its data when done.")
    ] = False,
) -> None:
    """Count 336,776 real flights through the whole pipe and check every number. Exit code 0 only when all are equal.

    Examples:

      meterstream demo

      meterstream demo --keep
    """
    from runtime.demo.errors import DemoProblem
    from runtime.demo.run import run

    try:
        exact = run(data_dir, keep=keep)
    except DemoProblem as problem:
        fail(str(problem))
    if not exact:
        raise typer.Exit(PROBLEM)


@app.command()
def simulate(
    kind: Annotated[Kind, typer.Argument(help="What the cases are about.")],
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="JSON: one case or an array of them; - is stdin.")
    ],
    explain: Annotated[
        bool, typer.Option("--explain", help="A readable account instead of JSON.")
    ] = False,
    plot: Annotated[
        bool, typer.Option("--plot", help="Draw a balance over time in the terminal (credits).")
    ] = False,
    png: Annotated[
        Path | None, typer.Option("--png", help="Draw it into this PNG file (credits).")
    ] = None,
) -> None:
    """Ask the rules without a server: what is left of these credits, what does this price charge, when does this recur.

    Prints the result of every case as JSON, in order. Wrong input is one line on standard error that names the field, and exit
    code 2. In an array the result of a case that the rules refuse is {"error": {"code", "message"}}, and the others go on. The
    formats are in docs/simulate.md.

    Examples:

      meterstream simulate rating bill.json

      meterstream simulate rating bill.json --explain

      meterstream simulate credits grants.json --explain --plot

      meterstream simulate periods - < phase.json
    """
    from domain.errors import Refused
    from runtime.simulate.command import Request, answer, said_of
    from runtime.simulate.reading import WrongInput

    request = Request(kind=kind, source=file, explain=explain, plot=plot, png=png)
    try:
        said = answer(request)
    except WrongInput as wrong:
        wrong_input(str(wrong))
    except Refused as refused:
        wrong_input(f"{said_of(refused)} ({refused.code})")
    for line in said.warned:
        typer.echo(f"meterstream: {line}", err=True)
    typer.echo(said.text)


def main() -> None:
    """Entry point."""
    try:
        app()
    except ModuleNotFoundError as missing:
        sys.exit(f"meterstream: the Python package {missing.name} is missing: run `make setup`")


if __name__ == "__main__":
    main()
