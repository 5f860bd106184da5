"""The command `meterstream`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from runtime.config import Config, ConfigProblem, load

app = typer.Typer(
    name="meterstream",
    help="Usage metering and real-time balances as a stream on Kafka. Start with: meterstream up",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

ConfigOption = Annotated[
    Path | None, typer.Option("--config", help="YAML file; METERSTREAM_… variables win over it.")
]


def read_config(path: Path | None) -> Config:
    """The configuration, or one clear line and exit code 2."""
    try:
        return load(path)
    except ConfigProblem as problem:
        typer.echo(str(problem), err=True)
        raise typer.Exit(2) from None


@app.callback()
def about() -> None:
    """Usage metering and real-time balances as a stream on Kafka."""


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


def main() -> None:
    """Entry point."""
    app()


if __name__ == "__main__":
    main()
