"""A database of its own for each test, in the session's ClickHouse."""

from dataclasses import dataclass

import pytest

from connectors.clickhouse.client import Clients, Options
from connectors.clickhouse.listing import EventLister
from connectors.clickhouse.migrations import Retention, migrate
from connectors.clickhouse.reader import UsageReader
from connectors.clickhouse.writer import UsageWriter

NOW_MS = 1_785_000_000_000


@dataclass
class Database:
    clients: Clients
    writer: UsageWriter
    reader: UsageReader
    lister: EventLister
    name: str
    namespace: str = "default"
    topic: str = "om_default_events"

    def ask(self, sql: str):
        with self.clients.client() as client:
            return client.query(sql).result_rows

    def merge(self, table: str) -> None:
        """What ClickHouse does in the background, now."""
        with self.clients.client() as client:
            client.command(f"OPTIMIZE TABLE {table} FINAL")

    def roll(self) -> None:
        """What the api does with days that nothing touches, now."""
        self.reader.roller.roll(quiet_s=0)


@pytest.fixture
def open_database(clickhouse_url, open_database_at):
    """Opens databases of the session's ClickHouse by name."""
    return lambda name: open_database_at(clickhouse_url, name)


@pytest.fixture
def open_database_at():
    """Opens databases by address and name; the test's end closes their threads."""
    opened = []

    def open_one(url: str, name: str) -> Database:
        clients = Clients(Options(url=url, database=name))
        migrate(clients, Retention(events_days=400, usage_days=3650))
        where = {"namespace": "default", "topic": "om_default_events", "threads": 4}
        database = Database(
            clients,
            UsageWriter(clients, lambda: NOW_MS),
            UsageReader(clients, **where),
            EventLister(clients, **where),
            name,
        )
        opened.append(database)
        return database

    yield open_one
    for database in opened:
        database.writer.close()
        database.reader.close()
        database.lister.close()


@pytest.fixture
def database(open_database, unique):
    return open_database(f"t_{unique}")
