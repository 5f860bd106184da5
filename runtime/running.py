"""Commands that ask services beside a running `meterstream up`: they find its addresses in the data directory."""

from __future__ import annotations

from pathlib import Path

from runtime.config import Config
from runtime.supervisor.errors import StackProblem
from runtime.supervisor.processes import find
from runtime.supervisor.state import read_state


def on_running_services(config: Config, data_dir: Path | None = None) -> Config:
    """`config` with the addresses that it leaves to `meterstream up`. StackProblem when nothing runs there."""
    home = (data_dir or config.data_dir).absolute()
    if config.kafka.bootstrap_servers and config.postgres.dsn:
        return config
    running = {
        member.role: member.target
        for member in read_state(home).members
        if member.external or find(member.process) is not None
    }
    kafka = config.kafka.bootstrap_servers or running.get("kafka")
    dsn = config.postgres.dsn or running.get("postgres")
    if kafka is None or dsn is None:
        raise StackProblem(
            f"nothing runs on {home}: start it with `meterstream up`, or give kafka.bootstrap_servers and postgres.dsn"
        )
    return config.model_copy(
        update={
            "kafka": config.kafka.model_copy(update={"bootstrap_servers": kafka}),
            "postgres": config.postgres.model_copy(update={"dsn": dsn}),
        }
    )
