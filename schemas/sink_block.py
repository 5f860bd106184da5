"""A block on its way to ClickHouse: the events of positions `[first, next)` of one partition and the rows they changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from domain.metering.rows import Row
from schemas.state import Applied


@dataclass(slots=True, eq=False)
class EventColumns:
    """Events as parallel columns; times in Unix seconds and milliseconds, `datas` JSON text or b""."""

    ids: list[str] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    types: list[str] = field(default_factory=list)
    subjects: list[str] = field(default_factory=list)
    seconds: list[int] = field(default_factory=list)
    datas: list[bytes] = field(default_factory=list)
    ingested_ms: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    accepted: list[bool] = field(default_factory=list)


class BlockRow(NamedTuple):
    """A row of usage as of the end of the block or later; it is absolute, so writing it again changes nothing."""

    meter: str
    version: int
    subject: str
    groups: tuple[str, ...]
    minute: int
    row: Row


@dataclass(frozen=True, slots=True)
class BlockUnique:
    """One distinct value of a row of a UNIQUE_COUNT meter."""

    meter: str
    version: int
    subject: str
    groups: tuple[str, ...]
    minute: int
    hash: bytes
    position: int


@dataclass(slots=True, eq=False)
class Block:
    """What one write brings. `visible`: the position up to which reads may see the partition afterwards."""

    namespace: str
    topic: str
    partition: int
    first: int
    next: int
    visible: int
    newest_ms: int
    events: EventColumns = field(default_factory=EventColumns)
    rows: Sequence[BlockRow] = ()
    uniques: Sequence[BlockUnique] = ()
    ranges: Sequence[Applied] = ()

    @property
    def token(self) -> str:
        """Names the block: the same positions of the same partition are the same block."""
        return f"{self.topic}:{self.partition}:{self.first}:{self.next}"
