"""Makes the tables: every statement may run again, and several processes may run them at once."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import resources

from connectors.clickhouse.client import Clients


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """Days since arrival."""

    events_days: int
    usage_days: int


def migrate(clients: Clients, retention: Retention) -> None:
    """Make the database and its tables when they are not there."""
    clients.create_database()
    folder = resources.files("schemas") / "sql" / "clickhouse"
    for file in sorted(folder.iterdir(), key=lambda f: f.name):
        text = re.sub(r"--[^\n]*", "", file.read_text())
        text = text.replace("{events_days}", str(retention.events_days)).replace(
            "{usage_days}", str(retention.usage_days)
        )
        for statement in filter(None, (part.strip() for part in text.split(";"))):
            with clients.client() as client:
                client.command(statement)
