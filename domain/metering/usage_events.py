"""Stored events as the usage that they are: what a balance can be followed down to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class EventPlace(NamedTuple):
    """The order of events: by time, then where they stand in the log."""

    second: int
    partition: int
    position: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageEvent:
    """One event of a meter's type. `counts`: it was accepted, and not a duplicate of an earlier one.

    `value`: what the meter reads from it, as JSON text; None for COUNT and where there is none. `is_number`: it adds up.
    """

    place: EventPlace
    id: str
    source: str
    subject: str
    arrived_ms: int
    counts: bool
    groups: tuple[str, ...]
    value: str | None
    is_number: bool
