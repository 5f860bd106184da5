"""`meterstream topology`: what would change on the cluster, change it, show what runs."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from runtime.command_line import UNSAFE, ConfigOption, DataDirOption, fail, read_config

if TYPE_CHECKING:
    from pathlib import Path

    from connectors.kafka.admin import TopicAdmin
    from runtime.config import Config
    from runtime.topology.applying import Wanted

topology = typer.Typer(
    name="topology",
    help="See and change the topics that everything lives on.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
_TIMEOUT_S = 10.0
_LOG_COLUMNS = 200

JsonOption = Annotated[bool, typer.Option("--json", help="For programs; see docs/topology.md.")]


@topology.command()
def plan(
    data_dir: DataDirOption = None, as_json: JsonOption = False, config: ConfigOption = None
) -> None:
    """Say what `apply` would change on the cluster; changes nothing. Asks the Kafka of the configuration, or of a running `meterstream up`.

    Exit codes: 0 nothing is unsafe, whether or not there is something to change; 1 Kafka does not answer; 2 wrong configuration;
    4 something is unsafe or refused, with the reason.

    Examples:

      meterstream topology plan

      meterstream topology plan --config prod.yaml --json
    """
    from rich.console import Console

    from connectors.kafka.admin import TopicProblem
    from domain.errors import Unavailable
    from runtime.topology.applying import plan_for
    from runtime.topology.showing import plan_data, show_plan

    admin, wanted = _asking(config, data_dir)
    try:
        found = plan_for(admin, wanted, begins=True)
    except (Unavailable, TopicProblem) as problem:
        fail(str(problem))
    if as_json:
        _print_json(plan_data(found))
    else:
        width = None if sys.stdout.isatty() else _LOG_COLUMNS  # a log has no edge to fold at
        show_plan(found, Console(highlight=False, soft_wrap=True, width=width))
    if not found.safe:
        raise typer.Exit(UNSAFE)


@topology.command()
def apply(
    data_dir: DataDirOption = None,
    repair: Annotated[
        bool,
        typer.Option(
            "--repair",
            help="Set unsafe settings, too. What they did before stays done: read their reasons first.",
        ),
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Make what is missing and set what differs, saying each change once it is made. Changes nothing when something is refused.

    Can be repeated and interrupted: the next one makes what is left. Exit codes: 0 the cluster is as declared; 1 Kafka does not answer
    or refuses a change; 2 wrong configuration; 4 refused, with the reason, and nothing was changed.

    Examples:

      meterstream topology apply --config prod.yaml

      meterstream topology apply --config prod.yaml --repair
    """
    from connectors.kafka.admin import TopicProblem
    from domain.errors import Unavailable
    from runtime.topology.applying import carry_out, plan_for, wait_until
    from runtime.topology.planning import problems

    admin, wanted = _asking(config, data_dir)
    made = 0

    def say(line: str) -> None:
        nonlocal made
        made += 1
        typer.echo(f"[{made}/{total}] {line}")

    total = 0
    try:
        found = plan_for(admin, wanted)
        if found.refusals or (found.repairs and not repair):
            fail("nothing was changed:\n" + "\n".join(problems(found)), UNSAFE)
        total = len(found.changes) + len(found.repairs)
        carry_out(admin, found, repair=repair, say=say)
        if total:
            wait_until(admin, wanted, lambda now: now.done, _TIMEOUT_S)
    except (Unavailable, TopicProblem) as problem:
        left = f"{problem}; {made} of {total} changes were made, run it again for the others"
        fail(left if total else str(problem))
    typer.echo(f"{made} of {total} changes made" if total else "nothing to do")


@topology.command()
def describe(
    mermaid: Annotated[
        bool, typer.Option("--mermaid", help="A graph as Mermaid and GitHub draw it.")
    ] = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Show what runs with this configuration: parts, topics, state, databases, and who reads and writes what. Asks no cluster.

    Examples:

      meterstream topology describe

      meterstream topology describe --mermaid > topology.mmd
    """
    from runtime.topics import wanted_topics
    from runtime.topology.describing import as_data, as_mermaid, as_text, topology_of

    if mermaid and as_json:
        raise typer.BadParameter("--mermaid or --json, not both")
    chosen = read_config(config)
    running = topology_of(chosen, wanted_topics(chosen).topics)
    if as_json:
        _print_json(as_data(running))
    else:
        typer.echo(as_mermaid(running) if mermaid else as_text(running))


def _asking(config: Path | None, data_dir: Path | None) -> tuple[TopicAdmin, Wanted]:
    from connectors.kafka.admin import TopicAdmin
    from runtime.topics import wanted_topics

    chosen = read_config(config)
    return TopicAdmin(_kafka_of(chosen, data_dir), _TIMEOUT_S), wanted_topics(chosen)


def _kafka_of(config: Config, data_dir: Path | None) -> str:
    """Kafka's address: the configured one, else that of what runs on the data directory."""
    from runtime.supervisor.errors import StackProblem
    from runtime.supervisor.processes import find
    from runtime.supervisor.state import read_state

    if config.kafka.bootstrap_servers is not None:
        return config.kafka.bootstrap_servers
    home = (data_dir or config.data_dir).absolute()
    try:
        members = read_state(home).members if home.is_dir() else ()
    except StackProblem as problem:
        fail(str(problem))
    for member in members:
        if member.role == "kafka" and (member.external or find(member.process) is not None):
            return member.target
    fail(
        f"no Kafka to ask: kafka.bootstrap_servers has no value, and nothing runs on {home}: start `meterstream up`, or name the "
        "configuration with --config"
    )


def _print_json(data: dict[str, object]) -> None:
    import msgspec

    typer.echo(msgspec.json.format(msgspec.json.encode(data)).decode())
