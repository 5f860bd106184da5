"""What the commands share: options that several have, and how a command ends that cannot do its work."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, NoReturn

import typer

from runtime.config import Config, ConfigProblem, load

ConfigOption = Annotated[
    Path | None, typer.Option("--config", help="YAML file; METERSTREAM_… variables win over it.")
]
DataDirOption = Annotated[
    Path | None,
    typer.Option("--data-dir", help="Directory of the data. Default: data_dir, .meterstream."),
]
PROBLEM, WRONG_CONFIGURATION, NOTHING_RUNS, UNSAFE = 1, 2, 3, 4
"""Exit codes beside 0."""


def read_config(path: Path | None) -> Config:
    """The configuration, or one clear line and exit code 2."""
    try:
        return load(path)
    except ConfigProblem as problem:
        typer.echo(str(problem), err=True)
        raise typer.Exit(WRONG_CONFIGURATION) from None


def fail(message: str, code: int = PROBLEM) -> NoReturn:
    """One message for the person at the terminal, and an exit code."""
    typer.echo(f"meterstream: {message}", err=True)
    raise typer.Exit(code)


def wrong_input(message: str) -> NoReturn:
    """One line that names what is wrong with the input, and exit code 2."""
    line = " ".join(message.split())
    typer.echo(f"meterstream: {line}", err=True)
    raise typer.Exit(WRONG_CONFIGURATION)
