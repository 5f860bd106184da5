"""The topology of a configuration: parts, topics, stores and who reads and writes what; as text and as a Mermaid graph."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from runtime.config import Config
from runtime.topology.parts import INGEST, PARTS, WHY, Part, Place, Store
from runtime.topology.planning import counted
from schemas.topics import Role, Topic

_OUTSIDE = "producer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrow:
    """Data goes from one name to another. `why` where the ends do not say it."""

    source: str
    target: str
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """What runs in one namespace. `unused` are topics of the catalogue that no part of this version reads or writes."""

    namespace: str
    parts: tuple[Part, ...]
    topics: tuple[Topic, ...]
    stores: tuple[Store, ...]
    arrows: tuple[Arrow, ...]
    unused: tuple[Topic, ...]


def topology_of(config: Config, catalogue: Sequence[Topic]) -> Topology:
    """What `config` runs: of the worker's agents those that it chooses."""
    parts = tuple(
        part for part in PARTS if part.agent is None or part.agent in config.worker.agents
    )
    places = {place for part in parts for place in (*part.reads, *part.writes)}
    names = {topic.role: topic.name for topic in catalogue}
    return Topology(
        namespace=config.namespace,
        parts=parts,
        topics=tuple(topic for topic in catalogue if topic.role in places),
        stores=tuple(store for store in Store if store in places),
        arrows=tuple(_arrows(parts, names)),
        unused=tuple(topic for topic in catalogue if topic.role not in places),
    )


def as_mermaid(topology: Topology) -> str:
    """A flowchart as Mermaid draws it; GitHub does so in a fence of kind `mermaid`."""
    lines = ["flowchart LR", f"  {_OUTSIDE}[producer]"]
    for process in dict.fromkeys(part.process for part in topology.parts):
        lines.append(f"  subgraph {process}")
        lines += [
            f"    {part.name}[{part.name}]" for part in topology.parts if part.process == process
        ]
        lines.append("  end")
    lines += [
        f'  {_node(topic.name)}[("{topic.name}<br/>{_kept(topic)}")]' for topic in topology.topics
    ]
    lines += [f"  {_node(store.value)}[({store.value})]" for store in topology.stores]
    for arrow in topology.arrows:
        text = f'|"{arrow.why}"|' if arrow.why else ""
        lines.append(f"  {_node(arrow.source)} -->{text} {_node(arrow.target)}")
    return "\n".join(lines)


def as_text(topology: Topology) -> str:
    """The same for a terminal, one block for each part, then the topics."""
    lines = [f"namespace {topology.namespace}", ""]
    for part in topology.parts:
        lines.append(f"{part.process} / {part.name}: {part.does}")
        lines += [f"  {arrow}" for arrow in _ways(topology, part)]
        lines.append("")
    width = max(len(topic.name) for topic in (*topology.topics, *topology.unused))
    for heading, topics in (
        ("topics", topology.topics),
        ("topics that nothing in this version uses", topology.unused),
    ):
        if topics:
            lines.append(heading)
            lines += [f"  {t.name:<{width}}  {_kept(t):<23}  {t.holds}" for t in topics]
    return "\n".join(lines)


def as_data(topology: Topology) -> dict[str, object]:
    """The same for programs: the shape is documented in docs/topology.md."""
    return {
        "namespace": topology.namespace,
        "parts": [
            {"name": part.name, "process": part.process, "does": part.does}
            for part in topology.parts
        ],
        "topics": [topic_data(t, used=True) for t in topology.topics]
        + [topic_data(t, used=False) for t in topology.unused],
        "stores": [store.value for store in topology.stores],
        "arrows": [
            {"from": arrow.source, "to": arrow.target, "why": arrow.why}
            for arrow in topology.arrows
        ],
    }


def topic_data(topic: Topic, *, used: bool) -> dict[str, object]:
    """One topic with everything that is declared of it."""
    return {
        "name": topic.name,
        "role": topic.role.value,
        "holds": topic.holds,
        "partitions": topic.partitions,
        "keyed": topic.keyed,
        "used": used,
        "settings": dict(topic.config),
    }


def _arrows(parts: Sequence[Part], names: dict[Role, str]) -> Iterable[Arrow]:
    yield Arrow(source=_OUTSIDE, target=INGEST.name)
    for role in (Role.EVENTS, Role.EVENTS_RAW):
        if any(role in part.reads for part in parts):
            yield Arrow(source=_OUTSIDE, target=names[role])

    def name(place: Place) -> str:
        return names[place] if isinstance(place, Role) else place.value

    for part in parts:
        for place in part.reads:
            why = WHY.get((part.name, place, "reads"), "") if isinstance(place, Role) else ""
            yield Arrow(source=name(place), target=part.name, why=why)
        for place in part.writes:
            why = WHY.get((part.name, place, "writes"), "") if isinstance(place, Role) else ""
            yield Arrow(source=part.name, target=name(place), why=why)


def _ways(topology: Topology, part: Part) -> Iterable[str]:
    for arrow in topology.arrows:
        why = f" ({arrow.why})" if arrow.why else ""
        if arrow.target == part.name:
            yield f"<- {arrow.source}{why}"
        elif arrow.source == part.name:
            yield f"-> {arrow.target}{why}"


def _kept(topic: Topic) -> str:
    return f"{counted(topic.partitions, 'partition')}, {'compacted' if topic.cleanup == 'compact' else 'by age'}"


def _node(name: str) -> str:
    return name.replace(" ", "_").lower()
