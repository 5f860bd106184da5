"""The parts of the product and what each reads and writes: declared here, wired from here, described from here.

A process gets the topics of a part only through `Wires`, which knows no others than the declared ones; a test sees to it that
every declared one is asked for. So `meterstream topology describe` shows what runs.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from domain.errors import DomainError
from schemas.topics import Role, TopicNames


class Store(StrEnum):
    """What is remembered outside Kafka."""

    POSTGRES = "PostgreSQL"
    CLICKHOUSE = "ClickHouse"
    STATE = "RocksDB"


Place = Role | Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """An agent of a worker, or a part of the api. `agent`: its name in worker.agents."""

    name: str
    process: str
    does: str
    reads: tuple[Place, ...] = ()
    writes: tuple[Place, ...] = ()
    agent: str | None = None


INGEST = Part(
    name="ingest",
    process="api",
    does="checks CloudEvents and answers when Kafka has them",
    writes=(Role.EVENTS,),
)
REJECTED = Part(
    name="rejected",
    process="api",
    does="lists refused events with their code",
    reads=(Role.REJECTED,),
)
MANAGEMENT = Part(
    name="management",
    process="api",
    does="meters: each change and its outbox record in one transaction",
    reads=(Store.POSTGRES,),
    writes=(Store.POSTGRES,),
)
RELAY = Part(
    name="relay",
    process="api",
    does="carries the outbox to the catalog topic, one holder among all api processes",
    reads=(Store.POSTGRES,),
    writes=(Role.CATALOG,),
)
QUERY = Part(
    name="query",
    process="api",
    does="meter queries and lists of events",
    reads=(Store.POSTGRES, Store.CLICKHOUSE),
)
READ = Part(
    name="read",
    process="api",
    does="reads balances from the workers, or computes them when no worker has them",
    reads=(Role.OWNERS, Store.POSTGRES, Store.CLICKHOUSE),
)
METER = Part(
    name="meter",
    process="worker",
    agent="meter",
    does="judges, deduplicates and folds events into minutes",
    reads=(Role.EVENTS, Role.CATALOG, Role.CHANGELOG, Store.STATE),
    writes=(
        Role.EVENTS,
        Role.EVENTS_RAW,
        Role.CHANGELOG,
        Role.USAGE,
        Role.REJECTED,
        Store.STATE,
    ),
)
ROUTE = Part(
    name="route",
    process="worker",
    agent="route",
    does="gives events of other keys and partitioners their subject as key",
    reads=(Role.EVENTS_RAW,),
    writes=(Role.EVENTS, Role.REJECTED),
)
SINK = Part(
    name="sink",
    process="worker",
    agent="sink",
    does="writes accepted events and changed rows in repeatable blocks",
    reads=(Role.EVENTS, Store.STATE),
    writes=(Store.CLICKHOUSE, Store.STATE),
)
BALANCE = Part(
    name="balance",
    process="worker",
    agent="balance",
    does="keeps balances and holds, as owner and as standby, publishes what changes, and answers the api",
    reads=(Role.USAGE, Role.OWNERS, Role.HOLDS, Role.BALANCES, Store.CLICKHOUSE, Store.STATE),
    writes=(Role.OWNERS, Role.HOLDS, Role.BALANCES, Role.EVENTS, Store.STATE),
)
STREAM = Part(
    name="stream",
    process="api",
    does="tells clients of changed balances as they come",
    reads=(Role.BALANCES,),
)
PARTS = (INGEST, REJECTED, MANAGEMENT, RELAY, QUERY, READ, METER, SINK, ROUTE, BALANCE, STREAM)

WHY = {
    (METER.name, Role.EVENTS, "writes"): "forwards events of subjects that another partition owns",
    (METER.name, Role.EVENTS_RAW, "writes"): "hands over records whose schema a registry has",
    (METER.name, Role.CHANGELOG, "reads"): "restores the state of a partition that it is given",
    (BALANCE.name, Role.OWNERS, "writes"): "says which partitions it has",
    (BALANCE.name, Role.EVENTS, "writes"): "what a confirmed hold used",
    (BALANCE.name, Role.BALANCES, "reads"): "finds what was not published before it took over",
    (BALANCE.name, Store.CLICKHOUSE, "reads"): "history of an entitlement that begins",
    (SINK.name, Role.EVENTS, "reads"): "reads again what is no longer in memory",
}
"""What an arrow means where its two ends do not say it."""


class NotDeclared(DomainError):
    """A part asks for a topic that its declaration does not name."""

    code = "wire_not_declared"


class Wires:
    """The topics of one part in one namespace, by name."""

    def __init__(self, part: Part, names: TopicNames) -> None:
        self.part = part
        self._names = names
        self.asked: set[tuple[str, Role]] = set()
        """("reads" or "writes", topic) of everything that was wired."""

    def reads(self, role: Role) -> str:
        """The name of a topic that the part reads. NotDeclared."""
        return self._ask("reads", role, self.part.reads)

    def writes(self, role: Role) -> str:
        """The name of a topic that the part writes. NotDeclared."""
        return self._ask("writes", role, self.part.writes)

    @property
    def declared(self) -> set[tuple[str, Role]]:
        """What `asked` must be once the part is wired."""
        return {
            (way, place)
            for way, places in (("reads", self.part.reads), ("writes", self.part.writes))
            for place in places
            if isinstance(place, Role)
        }

    def _ask(self, way: str, role: Role, places: Collection[Place]) -> str:
        if role not in places:
            raise NotDeclared(
                f"{self.part.name} {way} {role.value}, which runtime/topology/parts.py does not say"
            )
        self.asked.add((way, role))
        return self._names.of(role)
