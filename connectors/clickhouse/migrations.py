"""Brings the tables to the schema that this program knows, and retention to what the configuration says.

Every statement may run again and several processes may run them at once: a version is noted after its statements, so a
process that dies in between leaves work that the next one repeats. A database of a newer program is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import resources
from typing import Any

from connectors.clickhouse.client import Clients

_FILE = re.compile(r"(\d{4})_\w+\.sql\Z")
_NOTED = (
    "CREATE TABLE IF NOT EXISTS schema_versions (version UInt32, name String, at DateTime64(3, 'UTC')) "
    "ENGINE = ReplacingMergeTree(at) ORDER BY version"
)


class SchemaTooNew(Exception):
    """The database was migrated by a newer program: this one would not understand what is there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """Days since arrival."""

    events_days: int
    usage_days: int


@dataclass(frozen=True, slots=True)
class Migration:
    """Statements that lead to schema `version`."""

    version: int
    name: str
    statements: tuple[str, ...]


def migrate(clients: Clients, retention: Retention) -> None:
    """Make the database and bring it up to date; SchemaTooNew, Unavailable."""
    clients.create_database()
    with clients.client() as client:
        client.command(_NOTED)
        applied = _applied(client)
        known = migrations()
        newest = max(applied, default=0)
        if newest > known[-1].version:
            raise SchemaTooNew(
                f"ClickHouse's database {client.database} has schema {newest}, this program knows up to "
                f"{known[-1].version}: run the newer program"
            )
        for migration in known:
            if migration.version not in applied:
                _apply(client, migration)
        for table, column, days in (
            ("events", "ingested_at", retention.events_days),
            ("usage", "updated_at", retention.usage_days),
            ("uniques", "updated_at", retention.usage_days),
            ("usage_days", "updated_at", retention.usage_days),
            ("day_rolls", "updated_at", retention.usage_days),
        ):
            _retain(client, table, column, days)


def migrations() -> list[Migration]:
    """What this program knows, in order."""
    folder = resources.files("schemas") / "sql" / "clickhouse"
    files = {file.name: file for file in folder.iterdir() if _FILE.match(file.name)}
    found = []
    for name in sorted(files):
        text = re.sub(r"--[^\n]*", "", files[name].read_text("utf-8"))
        statements = tuple(filter(None, (part.strip() for part in text.split(";"))))
        found.append(Migration(int(name[:4]), name, statements))
    return found


def _applied(client: Any) -> set[int]:
    return {int(row[0]) for row in client.query("SELECT version FROM schema_versions").result_rows}


def _apply(client: Any, migration: Migration) -> None:
    for statement in migration.statements:
        client.command(statement)
    client.command(
        "INSERT INTO schema_versions SELECT {version:UInt32}, {name:String}, now64(3)",
        parameters={"version": migration.version, "name": migration.name},
    )


def _retain(client: Any, table: str, column: str, days: int) -> None:
    """Set the table's retention when it is another; ClickHouse then applies it to what is there, in the background."""
    ((engine,),) = client.query(
        "SELECT engine_full FROM system.tables WHERE database = currentDatabase() AND name = {table:String}",
        parameters={"table": table},
    ).result_rows
    wanted = f"toDateTime({column}) + toIntervalDay({days})"
    if f"TTL {wanted} " not in f"{engine} ":
        client.command(f"ALTER TABLE {table} MODIFY TTL {wanted}")
