"""Commands that ask services beside a running `meterstream up`: they find its addresses in the data directory."""

from __future__ import annotations

from pathlib import Path

from runtime.config import Config
from runtime.supervisor.errors import StackProblem
from runtime.supervisor.processes import find
from runtime.supervisor.state import read_state


def on_running_services(
    config: Config, data_dir: Path | None = None, *, with_clickhouse: bool = False
) -> Config:
    """`config` with the addresses that it leaves to `meterstream up`. StackProblem when nothing runs there."""
    home = (data_dir or config.data_dir).absolute()
    given = {
        "kafka": config.kafka.bootstrap_servers,
        "postgres": config.postgres.dsn,
        **({"clickhouse": config.clickhouse.url} if with_clickhouse else {}),
    }
    if all(given.values()):
        return config
    running = {
        member.role: member.target
        for member in read_state(home).members
        if member.external or find(member.process) is not None
    }
    found = {role: address or running.get(role) for role, address in given.items()}
    if not all(found.values()):
        keys = "kafka.bootstrap_servers and postgres.dsn"
        if with_clickhouse:
            keys = "kafka.bootstrap_servers, postgres.dsn and clickhouse.url"
        raise StackProblem(
            f"nothing runs on {home}: start it with `meterstream up`, or give {keys}"
        )
    changes = {
        "kafka": config.kafka.model_copy(update={"bootstrap_servers": found["kafka"]}),
        "postgres": config.postgres.model_copy(update={"dsn": found["postgres"]}),
    }
    if with_clickhouse:
        changes["clickhouse"] = config.clickhouse.model_copy(update={"url": found["clickhouse"]})
    return config.model_copy(update=changes)
