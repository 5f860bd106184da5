"""Makes a cluster what a plan says, one change after the other.

Every change is the whole of what it says and can be made twice. So an apply that was cut short is resumed by a new one: its plan
has what is left.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Protocol

from domain.errors import Unavailable
from runtime.topology.planning import Create, Grow, Plan, Repair, Set, counted, make_plan
from schemas.cluster import Cluster
from schemas.topics import Topic

_ASK_AGAIN_S = 0.1


class Admin(Protocol):
    """What sees and changes topics."""

    def look(self, wanted: Collection[str], *, begins: bool = False) -> Cluster:
        """The brokers, and those of the topics that are there."""
        ...

    def create(self, topics: Sequence[Topic], replication: int) -> None:
        """Make those that are not there."""
        ...

    def grow(self, name: str, partitions: int) -> None:
        """More partitions."""
        ...

    def change(self, name: str, settings: Mapping[str, str]) -> None:
        """Other values."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a cluster should have."""

    topics: Sequence[Topic]
    replication: int


def plan_for(admin: Admin, wanted: Wanted, *, begins: bool = False) -> Plan:
    """The plan for what the cluster has now."""
    cluster = admin.look([topic.name for topic in wanted.topics], begins=begins)
    return make_plan(wanted.topics, wanted.replication, cluster)


def carry_out(
    admin: Admin, plan: Plan, *, repair: bool = False, say: Callable[[str], None] = lambda _: None
) -> None:
    """Make the changes of `plan`, with `repair` also the repairs; `say` is told of each when it is made.

    One topic is one request: all new settings of a topic hold at once, or none. The caller has looked at the refusals.
    """
    for create in (change for change in plan.changes if isinstance(change, Create)):
        admin.create([create.topic], create.replication)
        say(spoken(create))
    for grow in (change for change in plan.changes if isinstance(change, Grow)):
        admin.grow(grow.topic, grow.wanted)
        say(spoken(grow))
    sets: list[Set | Repair] = [change for change in plan.changes if isinstance(change, Set)]
    sets += plan.repairs if repair else ()
    for topic, group in groupby(sorted(sets, key=lambda one: one.topic), lambda one: one.topic):
        together = list(group)
        admin.change(topic, {one.name: one.wanted for one in together})
        for one in together:
            say(spoken(one))


def wait_until(
    admin: Admin, wanted: Wanted, ended: Callable[[Plan], bool], timeout_s: float
) -> Plan:
    """Look until the plan is as `ended` says: brokers hear of a change a moment after it was made. Unavailable when they do not."""
    deadline = time.monotonic() + timeout_s
    while not ended(plan := plan_for(admin, wanted)):
        if time.monotonic() > deadline:
            raise Unavailable(
                f"the cluster does not show within {timeout_s:g} s what was changed: look again with `meterstream topology plan`"
            )
        time.sleep(_ASK_AGAIN_S)
    return plan


def spoken(change: Create | Grow | Set | Repair) -> str:
    """A change in one line, as something done."""
    match change:
        case Create(topic=topic, replication=replication):
            counts = f"{counted(topic.partitions, 'partition')}, {counted(replication, 'copy')}"
            return f"{topic.name}: created, {counts}"
        case Grow():
            return f"{change.topic}: partitions {change.found} to {change.wanted}"
        case Set() | Repair():
            return f"{change.topic}: {change.name} {change.found} to {change.wanted}"
