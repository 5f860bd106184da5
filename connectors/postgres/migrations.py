"""Brings the tables to this version: the files of schemas/sql/postgres in the order of their numbers, each once.

One transaction under one lock: processes that start together wait for each other, and a failure leaves nothing half done.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources

from connectors.postgres.locks import lock_key
from connectors.postgres.pool import SCHEMA, Pool, PostgresProblem, transaction

_TIMEOUT_S_MAX = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """A step from the version before to `number`."""

    number: int
    name: str
    sql: str


async def migrate(pool: Pool) -> None:
    """Apply what is missing. PostgresProblem when a newer version was here; Unavailable."""
    known = known_migrations()
    async with transaction(pool) as connection:
        await connection.execute("SET LOCAL statement_timeout = 0")
        await connection.execute("SET LOCAL lock_timeout = 0")
        await connection.execute(
            "SELECT pg_advisory_xact_lock($1)", lock_key("migrations"), timeout=_TIMEOUT_S_MAX
        )
        # Asked first: `IF NOT EXISTS` needs the right to create schemas even when there is nothing to create.
        if await connection.fetchval("SELECT to_regnamespace($1) IS NULL", SCHEMA):
            await connection.execute(f"CREATE SCHEMA {SCHEMA}")
        await connection.execute(
            "CREATE TABLE IF NOT EXISTS migrations"
            " (number integer PRIMARY KEY, name text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
        )
        applied = {row["number"] for row in await connection.fetch("SELECT number FROM migrations")}
        _refuse_newer(applied, known)
        for migration in known:
            if migration.number not in applied:
                await connection.execute(migration.sql, timeout=_TIMEOUT_S_MAX)
                await connection.execute(
                    "INSERT INTO migrations (number, name) VALUES ($1, $2)",
                    migration.number,
                    migration.name,
                )


def known_migrations() -> list[Migration]:
    """The migrations that this version has, in order."""
    folder = resources.files("schemas") / "sql" / "postgres"
    return [
        Migration(number=int(file.name[:4]), name=file.name, sql=file.read_text())
        for file in sorted(folder.iterdir(), key=lambda file: file.name)
        if file.name.endswith(".sql")
    ]


def _refuse_newer(applied: set[int], known: list[Migration]) -> None:
    newest = known[-1].number
    if applied and max(applied) > newest:
        raise PostgresProblem(
            f"the database was migrated to {max(applied):04d} by a newer meterstream; this one knows up to {newest:04d}:"
            " start the newer version, or restore a backup from before it"
        )
